"""A denoiser that can only take away: of every frequency about a place, what is no stronger than the noise found there.

Coifman and Donoho, Translation-invariant de-noising, 1995, with the cosine transform; what is kept of a frequency is
learned, from the power of all of them.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.images.tomography import STORED_HU
from training.networks.denoiser import level_of, mean_of, noise_of

# B batch, K frequencies, H rows, W columns

AT, STEEP = 0.5, 2.0  # power in units of the noise's, of which half is kept at first; and how fast that grows with it
NEAR = 3  # pixels each way, over which power is averaged


class Shrinkage(nn.Module):
    """float32 [B, H, W] in HU to the same without noise; H and W are any numbers.

    Frequencies are those of `side` by `side` pixels about each place, without their mean. So it can lay nothing over a
    slice that was not there, whatever a discriminator would like to see.
    """

    basis_K1HW: Tensor  # noqa: N815

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        self.register_buffer("basis_K1HW", _cosines(side))
        count = side**2 - 1
        self.kept = nn.Conv2d(count, count, 1)
        with torch.no_grad():
            self.kept.weight.copy_(STEEP * torch.eye(count)[:, :, None, None])
            self.kept.bias.fill_(-STEEP * math.log(AT))  # type: ignore[union-attr]

    def forward(self, slice: Tensor) -> Tensor:
        return slice - self.correction(slice)

    def correction(self, slice: Tensor) -> Tensor:
        """What is taken from the slice, in HU [B, H, W]."""
        hu_B1HW, about = slice[:, None].clamp(*STORED_HU), self.side - 1
        level_B1HW = level_of(noise_of(hu_B1HW), hu_B1HW)
        here_BKHW = F.conv2d(F.pad(hu_B1HW, (about,) * 4, mode="replicate"), self.basis_K1HW)
        before = about // 2
        noise_B1HW = F.pad(level_B1HW, (before, about - before) * 2, mode="replicate").square()
        power_BKHW = ((mean_of(here_BKHW.square(), NEAR, 1) + 1) / (noise_B1HW + 1)).log()
        taken_BKHW = here_BKHW * (1 - torch.sigmoid(self.kept(power_BKHW)))
        whole_B1HW = F.conv_transpose2d(taken_BKHW, self.basis_K1HW) / self.side**2
        correction_BHW = whole_B1HW[:, 0, about:-about, about:-about]
        return correction_BHW.masked_fill(slice < STORED_HU[0], 0)  # padding has no noise


def _cosines(side: int) -> Tensor:
    """The orthonormal basis of squares of pixels, but for the mean [K, 1, H, W]."""
    number_K1 = torch.arange(side)[:, None]
    lines_KW = torch.cos(math.pi * (torch.arange(side) + 0.5) * number_K1 / side) * math.sqrt(2 / side)
    lines_KW[0] /= math.sqrt(2)
    return torch.einsum("ah,bw->abhw", lines_KW, lines_KW).reshape(side**2, 1, side, side)[1:]

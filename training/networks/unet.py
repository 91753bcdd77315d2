"""A small U-Net for pictures of 28x28, told a time and a label (Ronneberger et al., MICCAI 2015; Ho et al., 2020).

Two by two pixels become channels of one place, so that the finest convolutions run over 14x14 places, the others over
7x7. Time and label scale and shift what is normalised in each block (Perez et al., FiLM, AAAI 2018).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

# B batch, C channels, H height, W width, M numbers that modulate all blocks

PATCH = 2  # pixels
GROUP = 8  # channels that are normalised together
FREQUENCIES = 32


class Modulated(nn.Module):
    """A residual block of two convolutions: [B, C, H, W] and its modulation [B, 2 C] to [B, C, H, W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(channels // GROUP, channels)
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        nn.init.zeros_(self.second.weight)

    def forward(self, features_BCHW: Tensor, modulation_BM: Tensor) -> Tensor:
        scale_BC11, shift_BC11 = modulation_BM[..., None, None].chunk(2, 1)
        hidden = F.silu(self.norm(features_BCHW) * (1 + scale_BC11) + shift_BC11)
        changed: Tensor = self.second(F.silu(self.first(hidden)))
        return features_BCHW + changed


class UNet(nn.Module):
    """Pictures [B, 28, 28] and their modulation [B, M] to pictures."""

    def __init__(self, labels: int, fine: int, coarse: int, depth: int, embedding: int = 128) -> None:
        """`fine` and `coarse` are the channels at 14x14 and 7x7, `depth` is the number of blocks at 7x7."""
        super().__init__()
        self.parts = [2 * fine, *[2 * coarse] * depth, 2 * fine]
        self.time = nn.Sequential(nn.Linear(2 * FREQUENCIES, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.label = nn.Embedding(labels + 1, embedding)
        self.modulate = nn.Linear(embedding, sum(self.parts))
        self.stem = nn.Conv2d(PATCH**2, fine, 3, padding=1)
        self.down, self.up = Modulated(fine), Modulated(fine)
        self.reduce = nn.Conv2d(fine, coarse, 3, stride=2, padding=1)
        self.middle = nn.ModuleList(Modulated(coarse) for _ in range(depth))
        self.enlarge = nn.Conv2d(coarse, 4 * fine, 1)
        self.last = nn.Sequential(nn.GroupNorm(fine // GROUP, fine), nn.SiLU(), nn.Conv2d(fine, PATCH**2, 3, padding=1))

    def modulation(self, time_B: Tensor, label_B: Tensor) -> Tensor:
        """[B, M] of times in [0, 1] and labels, of which the last stands for any."""
        modulation_BM: Tensor = self.modulate(F.silu(self.time(waves(time_B)) + self.label(label_B)))
        return modulation_BM

    def forward(self, picture_BHW: Tensor, modulation_BM: Tensor) -> Tensor:
        first, *middle, last = torch.split(modulation_BM, self.parts, 1)
        fine = self.down(self.stem(F.pixel_unshuffle(picture_BHW[:, None], PATCH)), first)
        coarse = self.reduce(fine)
        for block, part in zip(self.middle, middle, strict=True):
            coarse = block(coarse, part)
        fine = self.up(fine + F.pixel_shuffle(self.enlarge(coarse), 2), last)
        return F.pixel_shuffle(self.last(fine), PATCH)[:, 0]


def waves(time_B: Tensor) -> Tensor:
    """Cosines and sines [B, 2 * FREQUENCIES] of times in [0, 1], from a quarter of a turn to 64 turns."""
    turns = torch.logspace(-2, 6, FREQUENCIES, base=2.0, device=time_B.device)
    angle = 2 * math.pi * time_B[:, None] * turns
    return torch.cat([angle.cos(), angle.sin()], 1)

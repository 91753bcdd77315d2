"""The noise that slices have themselves, and more of the same kind: to learn from scans of which there is no truth.

Two neighbouring slices show nearly the same, under noise of their own: where their difference is calmest, in even soft
tissue, it is noise alone, and says how noise at one pixel goes with that at others. How strong it is at each place is
read off the slice, as `training/networks/denoiser.py` does, whose readings of the noise that is drawn set the scale.

With as much noise of that kind again, a slice becomes two whose noises know nothing of each other: more is added to one
and taken from the other, in the inverse ratio. Who learns to make the second of the first cannot do better than to give
what they have in common: no pixel is left out, so noise that goes with its neighbours', as that of CT does, may stay.
Sources: Pang et al., Recorrupted-to-recorrupted, CVPR 2021; Lehtinen et al., Noise2Noise, ICML 2018.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from training.data import DataError, Volume
from training.images.ct_pairs import DRAWS, PART, SOFT_HU, TOGETHER, Pairs, Sample
from training.images.tomography import STORED_HU
from training.networks.denoiser import noise_of

# B slices, N blocks, K draws of the noise, H rows, W columns

BLOCK, APART = 32, 16  # pixels of a block that is looked at for its noise, and from one to the next
REACH = 15  # pixels, beyond which noise is taken to know nothing of its neighbours'
CALM, LEAST = 0.3, 24  # the share of the blocks that is looked at, and how many there must be
FAR, UNRELATED = (5, 10), 0.02  # pixels, and what noise has in common over them at the most; more is what slices show
MOST = 0.75  # of what is read in soft tissue, the quantile that no place has more noise than
UNREAD = 0.5  # HU: less is read where a scanner fills in one value
PAIRS = 40  # of neighbours that are looked at, at the most
MORE = 0.7  # of the noise again is added; what is taken is divided by it
UNSEEN = 1 / (1 + MORE**2)  # the share of the difference of the two that is noise of the second


@dataclass(frozen=True)
class Recorrupted(Pairs):
    """Parts as they are, and draws of noise of their own kind."""

    def sample(self, row: int, window: tuple[slice, slice]) -> Sample:
        angle = float(2 * math.pi * torch.rand(()))
        mix_K = torch.tensor([math.cos(angle), math.sin(angle)])  # any of it is as strong
        noise = torch.einsum("k,khw->hw", mix_K, self.noise[(row, slice(None), *window)].float())
        seen = self.clean[(row, *window)].float()
        return *_two(seen, noise), torch.zeros_like(seen), math.hypot(1, MORE) * noise.std()


def make(volume: Volume, rows: list[int], sets: int, seed: int) -> Recorrupted:
    """`sets` times TOGETHER parts of the slices, less those that show nothing but air.

    Raises DataError where neighbours have too little even tissue in common.
    """
    covariance = covariance_of(volume, rows)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    clean, noise = [], []
    for _ in range(sets):
        chosen = rng.choice(rows, TOGETHER).tolist()
        top, left = rng.integers(0, volume.hu.shape[-1] - PART + 1, 2).tolist()
        own_BHW, next_BHW = _neighbours(volume, chosen)
        strength_BHW = _strength(own_BHW, next_BHW)  # of whole slices: not every part has soft tissue
        part_BHW, strength_BHW = (x[:, top : top + PART, left : left + PART] for x in (own_BHW, strength_BHW))
        noise_BKHW = torch.stack([_drawn(strength_BHW, covariance, generator) for _ in range(DRAWS)], dim=1)
        shown = part_BHW.mean((1, 2)) > -950
        clean.append(part_BHW[shown].to(torch.int16))
        noise.append(noise_BKHW[shown].half())
    return Recorrupted(torch.cat(clean), torch.cat(noise))


def covariance_of(volume: Volume, rows: list[int]) -> Tensor:
    """Of the noise, by distance of -REACH to REACH pixels each way, in units of its variance."""
    hu = torch.from_numpy(volume.hu)
    first = sorted({*rows} & {row - 1 for row in rows})
    looked_at = first[:: -(-len(first) // PAIRS) or 1]
    blocks = torch.cat(
        [_differences(hu[row].float(), hu[row + 1].float()) for row in looked_at] or [torch.empty(0, 1, 1)]
    )
    count = int(CALM * len(blocks))
    if count < LEAST:
        raise DataError("neighbouring slices have too little even soft tissue to tell their noise by: more are needed")
    calm = blocks[blocks.var((1, 2)).argsort()[:count]]
    side = BLOCK + REACH
    centred, ones = calm - calm.mean((1, 2), keepdim=True), torch.ones(1, BLOCK, BLOCK)
    sums, counts = (
        torch.fft.ifft2(torch.fft.fft2(x, (side, side)).abs().square().mean(0)).real for x in (centred, ones)
    )
    lags = (sums / counts).roll((REACH, REACH), (0, 1))[: 2 * REACH + 1, : 2 * REACH + 1]
    found: Tensor = lags / lags[REACH, REACH]
    far = torch.hypot(*torch.meshgrid(*[torch.arange(-REACH, REACH + 1.0)] * 2, indexing="ij"))
    if found[(far >= FAR[0]) & (far < FAR[1])].mean() > UNRELATED:
        raise DataError(
            "neighbouring slices differ by more than noise: thinner ones are needed, or none between left out"
        )
    return found


def _differences(one: Tensor, next: Tensor) -> Tensor:
    """Between two slices, in units of the noise, in blocks [N, BLOCK, BLOCK] where both show soft tissue."""
    both = torch.stack([one, next])[:, None]
    reading = _reading(both).mean(0, keepdim=True) + 1
    shown = torch.cat([(next - one)[None, None] / reading, both.transpose(0, 1)], dim=1)[0]
    blocks_3N = shown.unfold(1, BLOCK, APART).unfold(2, BLOCK, APART).flatten(1, 2)
    means_2N = avg_pool2d(blocks_3N[1:], 8).flatten(2)
    soft_N = ((means_2N > SOFT_HU[0]) & (means_2N < SOFT_HU[1])).all(-1).all(0)
    return blocks_3N[0][soft_N]


def two_of(volume: Volume, rows: list[int], covariance: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Slices with more noise, and the same with noise that knows nothing of that."""
    own_BHW, next_BHW = _neighbours(volume, rows)
    return _two(own_BHW, like(own_BHW, next_BHW, covariance, torch.Generator().manual_seed(seed)))


def _neighbours(volume: Volume, rows: list[int]) -> tuple[Tensor, Tensor]:
    """The slices, and for each the next, or the one before."""
    nearest = [row + 1 if row + 1 < len(volume.hu) else row - 1 for row in rows]
    return torch.from_numpy(volume.hu[rows]).float(), torch.from_numpy(volume.hu[nearest]).float()


def _two(hu: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    return (hu + MORE * noise).clamp(*STORED_HU), hu - noise / MORE


def like(own_BHW: Tensor, next_BHW: Tensor, covariance: Tensor, generator: torch.Generator) -> Tensor:
    """Noise as the slices have it, drawn anew."""
    return _drawn(_strength(own_BHW, next_BHW), covariance, generator)


def _drawn(strength_BHW: Tensor, covariance: Tensor, generator: torch.Generator) -> Tensor:
    unit_BHW = _unit(strength_BHW.shape, covariance, generator)
    return strength_BHW / _strength(unit_BHW, unit_BHW.flip(1, 2)).mean() * unit_BHW


def _strength(own_BHW: Tensor, next_BHW: Tensor) -> Tensor:
    """What is read of the noise at each place, of a slice and of its difference from a neighbour the lesser: fine
    structure stands out less in that.

    No place has more than most soft tissue of its slice: vessels in a lung read as noise in both.
    """
    own_B1HW, next_B1HW = (x[:, None].clamp(*STORED_HU) for x in (own_BHW, next_BHW))
    reading_BHW = torch.minimum(_reading(own_B1HW), _reading((own_B1HW - next_B1HW) / math.sqrt(2)))[:, 0]
    smooth_BHW = avg_pool2d(own_B1HW, 9, 1, padding=4, count_include_pad=False)[:, 0]
    soft_BHW = (smooth_BHW > SOFT_HU[0]) & (smooth_BHW < SOFT_HU[1]) & (reading_BHW > UNREAD)
    calm = [
        torch.quantile(x[soft], MOST) if soft.any() else x.min() for x, soft in zip(reading_BHW, soft_BHW, strict=True)
    ]
    return torch.minimum(reading_BHW, torch.stack(calm)[:, None, None])


def _unit(size: torch.Size, covariance: Tensor, generator: torch.Generator) -> Tensor:
    """Of a standard deviation of 1."""
    rows, columns = (side + REACH for side in size[1:])
    lags = torch.zeros(rows, columns)
    lags[: 2 * REACH + 1, : 2 * REACH + 1] = covariance
    power = torch.fft.fft2(lags.roll((-REACH, -REACH), (0, 1))).real.clamp(min=0)
    white = torch.randn(size[0], rows, columns, generator=generator)
    noise: Tensor = torch.fft.ifft2(torch.fft.fft2(white) * (power / power.mean()).sqrt()).real
    return noise[:, : size[1], : size[2]]


def _reading(hu_B1HW: Tensor) -> Tensor:
    """Of the noise at each place, in two bands of its spectrum together [B, 1, H, W]."""
    coarse = noise_of(hu_B1HW)[:, :2].square().sum(1, keepdim=True).sqrt()
    finer = interpolate(coarse, scale_factor=4.0, mode="bilinear", align_corners=False)
    return finer[..., : hu_B1HW.shape[-2], : hu_B1HW.shape[-1]]

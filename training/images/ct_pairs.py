"""What the network learns from: parts of slices, and the noise of a simulated scanner at the same places.

Three parts in five are of a patient, at the scan's own pixel spacing or resampled to another; the others show drawn
anatomy. Scanners, doses and kernels change every few parts. Making them takes longer than an epoch, so they are kept
and used many times, each time with more or less of either of two draws of the noise, or of both.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from training.data import Volume
from training.images.anatomy import ANATOMIES, Rng, add_lesions, random_lesions
from training.images.scanner import COARSE_MM, Exposure, Kernel, Scanner, parallel, pixel_centres
from training.images.tomography import STORED_HU

# N parts, K draws of the noise, H rows, W columns

SPACINGS_MM = 0.35, 1.4
PART, TOGETHER, DRAWS = 160, 8, 2  # a part's pixels each way; parts of one scanner and place; draws of the noise
LESION, APART = (3.0, 16.0), 32  # pixels: least and largest diameter of the lesions of a patch, and between two of them
SOFT_HU = -150.0, 250.0
FIELD_MM = {"chest": 430.0, "abdomen": 430.0, "head": 230.0, "breast": 170.0}  # what a drawn slice shows each way


Sample: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]  # with noise, without, lesions [H, W]; its deviation in HU


@dataclass(frozen=True)
class Pairs:
    """`clean` int16 [N, H, W] in HU; `noise` float16 [N, K, H, W] in HU, to be added."""

    clean: Tensor
    noise: Tensor

    def save(self, path: Path) -> None:
        staged = path.with_suffix(".staged")
        torch.save({"clean": self.clean, "noise": self.noise}, staged)
        staged.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        return cls(**torch.load(path, weights_only=True))

    def sample(self, row: int, window: tuple[slice, slice]) -> Sample:
        """A patch of a part, under more or less of its noise, maybe with lesions in it."""
        weights_K = _weights()
        plain = self.clean[(row, *window)].float()
        lesions = _lesions(plain)
        noise = torch.einsum("k,khw->hw", weights_K, self.noise[(row, slice(None), *window)].float())
        spread_K = self.noise[row, :, ::4, ::4].float().std((1, 2))
        clean = plain + lesions
        return (clean + noise).clamp(*STORED_HU), clean, lesions, (weights_K * spread_K).norm()


def make(volume: Volume, rows: list[int], sets: int, seed: int) -> Pairs:
    """`sets` times TOGETHER parts, less those that show nothing but air."""
    clean, noise = [], []
    for number in range(sets):
        rng = np.random.default_rng([seed, number])
        generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
        clean_NHW, noise_NKHW = _patient(volume, rows, rng, generator) if number % 5 < 3 else _drawn(rng, generator)
        shown = clean_NHW.mean((1, 2)) > -950
        clean.append(clean_NHW[shown].round().to(torch.int16))
        noise.append(noise_NKHW[shown].half())
    return Pairs(torch.cat(clean), torch.cat(noise))


def resampled(hu_BHW: Tensor, ratio: float) -> Tensor:
    """Slices on a grid with pixels `1 / ratio` as large; what a coarser one cannot hold is smoothed away first."""
    side = round(hu_BHW.shape[-1] * ratio)
    return interpolate(hu_BHW[:, None], (side, side), mode="bicubic", antialias=True)[:, 0]


def _patient(volume: Volume, rows: list[int], rng: Rng, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    own = volume.spacing[-1]
    spacing_mm = own if rng.random() < 0.35 else _between(rng, *SPACINGS_MM)
    hu_BHW = torch.from_numpy(volume.hu[rng.choice(rows, TOGETHER)]).float().clamp(*STORED_HU)
    if spacing_mm != own:
        hu_BHW = resampled(hu_BHW, own / spacing_mm)
        spacing_mm = own * volume.hu.shape[-1] / hu_BHW.shape[-1]
    hu_BHW, side = hu_BHW.clamp(*STORED_HU), hu_BHW.shape[-1]
    scanner = _scanner(rng, side, spacing_mm)
    left, top = rng.integers(0, side - PART + 1, 2).tolist()
    x_W, y_H = pixel_centres(left, PART, side, spacing_mm), pixel_centres(top, PART, side, spacing_mm)
    part_BHW = hu_BHW[:, top : top + PART, left : left + PART].clone()
    for part in part_BHW.numpy():
        if rng.random() < 0.5:  # lesions where there is soft tissue
            marked, middle = part.copy(), (float(x_W.mean()), float(y_H.mean()))
            lesions = random_lesions(rng, 12, (PART / 2 * spacing_mm,) * 2, middle)
            add_lesions(marked, lesions, x_W.numpy(), y_H.numpy())
            np.copyto(part, marked, where=gaussian_filter(part, 2) > -150)
    exposure = Exposure(hu_BHW, spacing_mm, scanner)
    return part_BHW, _noise(exposure, spacing_mm, x_W, y_H, rng, generator)


def _drawn(rng: Rng, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    kind = str(rng.choice(list(ANATOMIES), p=(0.45, 0.3, 0.15, 0.1)))
    bodies = [ANATOMIES[kind](rng) for _ in range(TOGETHER)]
    field_mm, spacing_mm = FIELD_MM[kind], _between(rng, *SPACINGS_MM)
    side = max(PART, round(field_mm / spacing_mm))
    inner = max(0, round(0.15 * side))  # little but air lies further out
    left, top = rng.integers(
        min(inner, (side - PART) // 2), max(side - PART - inner, (side - PART) // 2) + 1, 2
    ).tolist()
    x_W, y_H = pixel_centres(left, PART, side, spacing_mm), pixel_centres(top, PART, side, spacing_mm)
    clean = np.stack([body.draw(x_W.numpy(), y_H.numpy()) for body in bodies]).clip(*STORED_HU)
    coarse_side = round(side * spacing_mm / COARSE_MM)
    coarse_W = pixel_centres(0, coarse_side, coarse_side, COARSE_MM).numpy()
    whole = torch.from_numpy(np.stack([body.draw(coarse_W, coarse_W) for body in bodies]))
    exposure = Exposure(whole, COARSE_MM, _scanner(rng, side, spacing_mm))
    return torch.from_numpy(clean), _noise(exposure, spacing_mm, x_W, y_H, rng, generator)


def _scanner(rng: Rng, side: int, spacing_mm: float) -> Scanner:
    if rng.random() < 0.5:
        views = 360 if rng.random() < 0.6 else int(rng.integers(240, 1000))
        return parallel(side=side, pixel_mm=spacing_mm, views=views)
    pitch_mm = rng.uniform(0.4, 0.75)
    return Scanner(
        views=int(rng.integers(360, 1160)),
        bins=2 * math.ceil(260 / pitch_mm),
        pitch_mm=pitch_mm,
        source_mm=rng.uniform(500, 620),
        bow_tie_mm=rng.uniform(150, 300) if rng.random() < 0.5 else 0.0,
        modulation=rng.uniform(0, 0.6) if rng.random() < 0.5 else 0.0,
    )


def _noise(
    exposure: Exposure, spacing_mm: float, x_W: Tensor, y_H: Tensor, rng: Rng, generator: torch.Generator
) -> Tensor:
    """[B, K, H, W]: two kernels and doses; one set in ten has white noise, more or less smoothed, instead."""
    draws = []
    nyquist = 0.5 / exposure.scanner.pitch_mm
    white = rng.random() < 0.1
    for _ in range(DRAWS):
        flux_B = torch.tensor([_between(rng, 1.2e4, 4e5) for _ in range(TOGETHER)])
        softest = 0.55 * nyquist if exposure.scanner.source_mm is None else 0.3
        kernel = Kernel(cutoff=_between(rng, softest, nyquist), boost=rng.uniform(0, 2) if rng.random() < 0.3 else 0.0)
        if white:
            smooth = rng.uniform(0.3, 1.2) if rng.random() < 0.5 else 0.0
            drawn = rng.standard_normal((TOGETHER, len(y_H), len(x_W))).astype(np.float32)
            drawn = gaussian_filter(drawn, (0, smooth, smooth))
            deviation = np.exp(rng.uniform(np.log(2), np.log(60), (TOGETHER, 1, 1)))
            draws.append(torch.from_numpy((deviation * drawn / drawn.std()).astype(np.float32)))
        else:
            # Small pixels and low doses give more noise than any protocol lets pass.
            noise_BHW = exposure.noise(flux_B, kernel, x_W, -y_H, generator)
            draws.append(noise_BHW * (120 / noise_BHW.std((1, 2), keepdim=True)).clamp(max=1))
    return torch.stack(draws, dim=1)


def batch(pairs: Pairs, rows: Tensor, patch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A patch from some place of each part: with noise, without, what was laid over both, and the noise in HU."""
    low, clean, lesions, deviation = zip(*(_sample(pairs, int(row), patch) for row in rows), strict=True)
    return torch.stack(low), torch.stack(clean), torch.stack(lesions), torch.stack(deviation)


def _sample(pairs: Pairs, row: int, patch: int) -> Sample:
    top, left = torch.randint(PART - patch + 1, (2,)).tolist()
    *seen, deviation = pairs.sample(row, (slice(top, top + patch), slice(left, left + patch)))
    turns, flipped = torch.randint(4, (2,)).tolist()
    turned = torch.rot90(torch.stack(seen), turns, (1, 2))
    low, clean, lesions = turned.flip(1) if flipped % 2 else turned
    return low, clean, lesions, deviation


def _lesions(hu: Tensor) -> Tensor:
    """In HU [H, W], to be added: in every other patch discs of one size and contrast, where it shows soft tissue."""
    chosen, size, shade = torch.rand(3).tolist()
    if chosen < 0.5:
        return torch.zeros_like(hu)
    diameter, contrast = LESION[0] * (LESION[1] / LESION[0]) ** size, -30 + 90 * shade
    count = len(hu) // APART
    places = APART * (torch.arange(count) + 0.5)
    jitter = (torch.rand(2, count, count) - 0.5) * (APART - LESION[1])
    y, x = (places[:, None] + jitter[0]).flatten(), (places + jitter[1]).flatten()
    at = torch.arange(len(hu))
    far = torch.hypot(at[:, None, None] - y, at[:, None] - x).amin(-1)
    smooth = avg_pool2d(hu[None], 5, 1, padding=2, count_include_pad=False)[0]
    soft = (smooth > SOFT_HU[0]) & (smooth < SOFT_HU[1])
    discs: Tensor = (diameter / 2 - far + 0.5).clamp(0, 1) * soft
    return math.copysign(max(abs(contrast), 8), contrast) * discs


def _weights() -> Tensor:
    """How much of either draw of the noise: mostly of one alone, else of both; now and then little, or none at all."""
    mix, strength, weak = torch.rand(3).tolist()
    strength = 0.0 if weak < 0.06 else 0.15 * strength if weak < 0.18 else 0.4 + 1.1 * strength
    angle = 0.0 if mix < 1 / 3 else math.pi / 2 if mix < 2 / 3 else (3 * mix - 2) * math.pi / 2
    return strength * torch.tensor([math.cos(angle), math.sin(angle)])


def _between(rng: Rng, low: float, high: float) -> float:
    """Evenly in its logarithm."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))

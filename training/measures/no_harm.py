"""Whether a denoiser harms anything, in a grid of anatomy, pixel spacing, kernel, views and dose.

Drawn anatomy is a truth without noise; slices of a patient are one with the noise of their own scan. Every cell shows
one part of a slice. The output must not be further from the truth than the input is, by PSNR and SSIM, must keep its
edges, and must leave a slice alone to which no noise was added.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data import Volume
from training.images.anatomy import ANATOMIES
from training.images.ct_pairs import FIELD_MM, resampled
from training.images.scanner import COARSE_MM, Exposure, Kernel, Scanner, parallel, pixel_centres
from training.images.tomography import STORED_HU
from training.measures.image_quality import psnr, rmse, sharpness, ssim

Slice = NDArray[np.float32]
Denoise = Callable[[NDArray[np.float32]], NDArray[np.float32]]

SPACINGS_MM = 0.5, 0.63, 0.98, 1.25
FLUX = {"100 %": 4e5, "50 %": 2e5, "25 %": 1e5, "10 %": 4e4}
CLEAN = "clean"
KERNELS = {"soft": 0.45, "sharp": 0.9}  # share of the highest frequency that bins or pixels hold
VIEWS = 360, 984
SIDE = 192  # pixels of a part
WINDOW = (-1000.0, 400.0)  # HU
KEPT, CHANGE_HU = 0.95, 3.0  # the least sharpness, and the most that a clean slice may change
NOTHING_HU = 0.5  # an error that rounding to whole HU would nearly make
NOTHING_DB = 20 * math.log10((WINDOW[1] - WINDOW[0]) / NOTHING_HU)
LEFT_MM = {"chest": 60.0, "patient": 60.0}  # of the middle, where the heart and a lung are


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What a denoiser did to some parts of slices, to the one that came off worst: `before` and `gain` are in dB,
    `similarity` is after less before, `sharpness` after over before, `change` in HU."""

    anatomy: str
    spacing_mm: float
    kernel: str
    views: int
    dose: str
    before: float
    gain: float
    similarity: float
    sharpness: float
    change: float

    @property
    def harms(self) -> list[str]:
        """In words; none is as it should be. An error of NOTHING_HU may always be left."""
        if self.dose == CLEAN:
            return [f"changed by {self.change:.1f} HU"] if self.change > CHANGE_HU else []
        visible = self.before + self.gain < NOTHING_DB
        found = [f"PSNR {self.gain:+.2f} dB"] if visible and self.gain < 0 else []
        found += [f"SSIM {self.similarity:+.4f}"] if visible and self.similarity < 0 else []
        return found + ([f"edges {self.sharpness:.3f}"] if self.sharpness < KEPT else [])


@dataclass(frozen=True)
class Part:
    """Of several slices of one anatomy: `clean` [N, H, W] in HU at `x` and `y` in mm, and the whole slices about it."""

    clean: Tensor
    x: Tensor
    y: Tensor
    whole: Tensor
    whole_mm: float


def measure(
    denoise: Denoise,
    patient: Volume,
    rows: list[int],
    spacings: Sequence[float] = SPACINGS_MM,
    anatomies: Sequence[str] = (*ANATOMIES, "patient"),
) -> list[Cell]:
    """Every cell; `rows` are those of the patient's slices to take."""
    cells = []
    for spacing_mm in spacings:
        for anatomy in anatomies:
            drawn = anatomy != "patient"
            part = _drawn(anatomy, spacing_mm) if drawn else _of_patient(patient, rows, spacing_mm)
            clean, where = part.clean.numpy(), {"anatomy": anatomy, "spacing_mm": spacing_mm}
            cells.append(_cell(denoise, clean, clean, kernel="", views=0, dose=CLEAN, **where))
            for low, how in _scans(part, spacing_mm):
                cells.append(_cell(denoise, clean, low, **where, **how))
    return cells


def _cell(denoise: Denoise, clean: Slice, low: Slice, **named: Any) -> Cell:
    """Of some parts, the worst of each figure."""
    after = denoise(low)
    noisy = low is not clean
    before = psnr(low, clean, WINDOW) if noisy else np.zeros(len(low))
    return Cell(
        before=float(before.min()),
        gain=float((psnr(after, clean, WINDOW) - before).min()) if noisy else 0.0,
        similarity=float((ssim(after, clean, WINDOW) - ssim(low, clean, WINDOW)).min()) if noisy else 0.0,
        sharpness=float(np.nanmin((*(sharpness(after, clean) / sharpness(low, clean)), 1.0))),
        change=float(rmse(after, low).max()),
        **named,
    )


def _scans(part: Part, spacing_mm: float) -> Iterator[tuple[Slice, dict[str, Any]]]:
    for views in VIEWS:
        side = round(part.whole.shape[-1] * part.whole_mm / spacing_mm)
        scanner = parallel(side=side, pixel_mm=spacing_mm, views=views) if views == 360 else Scanner(views=views)
        flux = torch.tensor(list(FLUX.values())).repeat_interleave(len(part.whole))
        exposure = Exposure(part.whole.repeat(len(FLUX), 1, 1), part.whole_mm, scanner)
        for kernel, share in KERNELS.items():
            cutoff = share * 0.5 / max(scanner.pitch_mm, spacing_mm)
            generator = torch.Generator().manual_seed(views)
            noise = exposure.noise(flux, Kernel(cutoff=cutoff), part.x, -part.y, generator)
            for dose, added in zip(FLUX, noise.split(len(part.whole)), strict=True):  # type: ignore[no-untyped-call]
                low = (part.clean + added).clamp(*STORED_HU).numpy()
                yield low, {"views": views, "kernel": kernel, "dose": dose}


def _of_patient(volume: Volume, rows: list[int], spacing_mm: float) -> Part:
    own_BHW = torch.from_numpy(volume.hu[rows]).float().clamp(*STORED_HU)
    whole = resampled(own_BHW, volume.spacing[-1] / spacing_mm).clamp(*STORED_HU)
    side = whole.shape[-1]
    top = (side - SIDE) // 2
    left = max(0, top - round(LEFT_MM["patient"] / spacing_mm))
    x, y = (pixel_centres(first, SIDE, side, spacing_mm) for first in (left, top))
    return Part(whole[:, top : top + SIDE, left : left + SIDE], x, y, whole, spacing_mm)


def _drawn(anatomy: str, spacing_mm: float) -> Part:
    """Bodies that no training draws: its seeds are pairs of numbers, and these are triples."""
    bodies = [ANATOMIES[anatomy](np.random.default_rng([0, 0, number])) for number in range(2)]
    y = pixel_centres(0, SIDE, SIDE, spacing_mm)
    x = y - LEFT_MM.get(anatomy, 0.0)
    side = round(FIELD_MM[anatomy] / COARSE_MM)
    grid = pixel_centres(0, side, side, COARSE_MM).numpy()
    clean = np.stack([body.draw(x.numpy(), y.numpy()) for body in bodies]).clip(*STORED_HU)
    whole = np.stack([body.draw(grid, grid) for body in bodies])
    return Part(torch.from_numpy(clean), x, y, torch.from_numpy(whole), COARSE_MM)

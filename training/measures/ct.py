"""What a CT denoiser is measured by: patients, drawn bodies, lesions, a real phantom; and the classical filters."""

import io
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pydicom
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.bundle import Metric
from training.data import Volume, phantom_ct
from training.images.anatomy import ANATOMIES, Body, Shape, lesion
from training.images.ct_pairs import FIELD_MM, resampled
from training.images.scanner import Kernel, low_dose, parallel, pixel_centres
from training.images.tomography import STORED_HU
from training.measures.classical import STRENGTHS, filters, tuned
from training.measures.evaluation import bootstrapped, proportion
from training.measures.image_quality import contrast, psnr, rmse, sharpness, ssim
from training.measures.no_harm import CHANGE_HU, CLEAN, Cell

Slices = NDArray[np.float32]
Denoise = Callable[[Slices], Slices]

VIEWS, KERNEL = 360, 0.8  # of the simulator; its kernel ends at that share of the highest frequency of the pixels
NORMAL_FLUX = 4e5  # photons per ray
DOSES = {"quarter dose": NORMAL_FLUX / 4, "tenth dose": NORMAL_FLUX / 10}
WIDE, NARROW, LUNG = (-1000.0, 400.0), (-160.0, 240.0), (-1350.0, 150.0)  # HU: windows
DRAWN_MM, BODIES = 0.7, 4  # pixels of the drawn bodies that are measured, and how many of each kind
LESION_MM, LESION_HU, SCANS = (3.0, 5.0, 8.0, 12.0), (-30.0, 20.0, 60.0), 8


def simulated(hu_BHW: Tensor, pixel_mm: float, flux: float, seed: int, margin: int = 0) -> Tensor:
    """The slices at a low dose, as every figure here takes them; the same seed gives the same noise."""
    scanner = parallel(side=hu_BHW.shape[-1], pixel_mm=pixel_mm, views=VIEWS)
    kernel, generator = Kernel(cutoff=KERNEL * 0.5 / pixel_mm), torch.Generator().manual_seed(seed)
    return low_dose(hu_BHW, pixel_mm, scanner, kernel, flux, generator, margin)


def slices_of(volume: Volume, rows: Sequence[int], spacing_mm: float | None = None) -> Tensor:
    """In HU [B, H, W], at the scan's own spacing or resampled to another."""
    hu_BHW = torch.from_numpy(volume.hu[list(rows)]).float().clamp(*STORED_HU)
    return hu_BHW if spacing_mm is None else resampled(hu_BHW, volume.spacing[-1] / spacing_mm).clamp(*STORED_HU)


def average(name: str, values: Any, unit: str, description: str, split: str = "test") -> Metric:
    return bootstrapped(name, np.mean, np.asarray(values), unit=unit, description=description, split=split)


def patient_figures(dose: str, clean: Slices, low: Slices, denoised: Slices) -> list[Metric]:
    """Means over slices of a patient."""
    wide = f"clipped to {WIDE[0]:g} to {WIDE[1]:g} HU"
    body = clean > -950
    pairs = list(zip(denoised, clean, body, strict=True))
    metrics = [average(f"PSNR gain, {dose}", psnr(denoised, clean, WIDE) - psnr(low, clean, WIDE), "dB", wide)]
    for name, window in {"soft tissue": NARROW, "the lung window": LUNG}.items():
        gain = psnr(denoised, clean, window) - psnr(low, clean, window)
        metrics.append(average(f"PSNR gain in {name}, {dose}", gain, "dB", f"{window[0]:g} to {window[1]:g} HU"))
    for when, shown in {"before": low, "after": denoised}.items():
        metrics += [
            average(f"PSNR {when}, {dose}", psnr(shown, clean, WIDE), "dB", wide),
            average(f"SSIM {when}, {dose}", ssim(shown, clean, WIDE), "", wide),
            average(f"RMSE {when}, {dose}", rmse(shown, clean), "HU", "all values"),
        ]
    bias = [(x - y)[inside].mean() for x, y, inside in pairs]
    metrics.append(average(f"mean error, {dose}", bias, "HU", "denoised less reference, within the body"))
    edges = sharpness(denoised, clean) / sharpness(low, clean)
    metrics.append(average(f"sharpness kept, {dose}", edges, "", "slope of edges after over before"))
    return metrics


def own_gain(low: Slices, other: Slices, denoised: Slices, unseen: float) -> NDArray[np.float64]:
    """What PSNR gains where there is no truth, by `other`, the same slices whose noise knows nothing of that of `low`:
    the share `unseen` of their difference is its own."""
    apart, left = (np.square(x - other).mean((1, 2)) for x in (low, denoised))
    return np.asarray(10 * np.log10((1 - unseen) * apart / np.maximum(left - unseen * apart, 1e-3)), np.float64)


def own_figure(gain_B: NDArray[np.float64]) -> Metric:
    told = (
        "on slices with half as much of their own noise added: no truth is known, and the error is told by expectation"
    )
    return average("PSNR gain, own noise", gain_B, "dB", told)


def beside_classical(
    where: str, denoise: Denoise, validation: tuple[Slices, Slices], test: tuple[Slices, Slices], names: Sequence[str]
) -> list[Metric]:
    """What classical filters gain on the same slices, each at the strength best on `validation`: low dose, clean.

    BM3D is told the covariance of the very noise of those slices.
    """
    (tune_low, tune_clean), (low, clean) = validation, test
    before = psnr(low, clean, WIDE)
    ours = psnr(denoise(low), clean, WIDE) - before
    known, metrics = filters(tune_low - tune_clean), []
    for name in names:
        best = tuned(known[name], STRENGTHS[name], tune_low, tune_clean)
        smooth = filters(low - clean)[name]
        gain = psnr(smooth(low, best), clean, WIDE) - before
        why = f"for comparison; strength {best:g}, the best on validation slices"
        metrics.append(average(f"PSNR gain of {name}, {where}", gain, "dB", why))
        if name == "BM3D":
            told = "PSNR on the same slices"
            metrics.append(average(f"lead over BM3D, {where}", ours - gain, "dB", told))
    return metrics


def body_figures(denoise: Denoise) -> list[Metric]:
    """What drawn bodies gain at a quarter of the dose, whose truth has no noise."""
    metrics = []
    for kind, draw in ANATOMIES.items():
        side = round(FIELD_MM[kind] / DRAWN_MM)
        grid = pixel_centres(0, side, side, DRAWN_MM).numpy()
        bodies = [draw(np.random.default_rng([0, 1, number])) for number in range(BODIES)]
        clean = torch.from_numpy(np.stack([body.draw(grid, grid) for body in bodies]).clip(*STORED_HU))
        low = simulated(clean, DRAWN_MM, DOSES["quarter dose"], seed=1).numpy()
        gain = psnr(denoise(low), clean.numpy(), WIDE) - psnr(low, clean.numpy(), WIDE)
        told = f"drawn, no noise in the truth, {DRAWN_MM:g} mm pixels; least {gain.min():.2f}"
        metrics.append(average(f"PSNR gain, drawn {kind}, quarter dose", gain, "dB", told, "drawn"))
    return metrics


def lesion_figures(denoise: Denoise) -> list[Metric]:
    """The contrast that lesions in even soft tissue keep at a quarter of the dose, and the noise left beside them."""
    side = 384
    grid = pixel_centres(0, side, side, DRAWN_MM).numpy()
    trunk = Shape(x=0, y=0, a=130, b=100, hu=50)
    places = [(30.0 * column - 45, 40.0 * row - 40) for row in range(3) for column in range(4)]
    sizes = [(diameter, hu) for hu in LESION_HU for diameter in LESION_MM]
    lesions = tuple(lesion(*place, *size) for place, size in zip(places, sizes, strict=True))
    clean = torch.from_numpy(Body(shapes=(trunk,), lesions=lesions).draw(grid, grid))
    low = simulated(clean.expand(SCANS, -1, -1), DRAWN_MM, DOSES["quarter dose"], seed=2).numpy()
    denoised, metrics = denoise(low), []
    for (x, y), (diameter, hu) in zip(places, sizes, strict=True):
        far = np.hypot(grid - x, grid[:, None] - y)
        inside, around = far < 0.35 * diameter, (far > diameter / 2 + 2) & (far < diameter / 2 + 6)
        truth = contrast(clean.numpy()[None], inside, around)
        kept = contrast(denoised, inside, around) / truth
        told = "of the drawn contrast, quarter dose, even soft tissue"
        metrics.append(average(f"contrast kept, {diameter:g} mm, {hu:+g} HU", kept, "", told, "drawn"))
    return metrics


def no_harm_figures(cells: list[Cell]) -> list[Metric]:
    """How many cells of the grid nothing harms, at each size of pixels; what PSNR gains there, and what changes."""
    metrics = [_unharmed("cells of the no-harm grid", cells)]
    for spacing in sorted({cell.spacing_mm for cell in cells}):
        there = [cell for cell in cells if cell.spacing_mm == spacing]
        gains = [cell.gain for cell in there if cell.dose != CLEAN]
        told = f"least {min(gains):.2f}; worst of the parts of each cell"
        metrics += [
            _unharmed(f"cells at {spacing:g} mm", there),
            average(f"PSNR gain in the grid at {spacing:g} mm", gains, "dB", told, "validation"),
        ]
    changes = [cell.change for cell in cells if cell.dose == CLEAN]
    told = f"most {max(changes):.2f}, {CHANGE_HU:g} allowed; worst of the parts of each cell"
    return [*metrics, average("change of a clean part in the grid", changes, "HU", told, "validation")]


def _unharmed(name: str, cells: list[Cell]) -> Metric:
    """The share of cells without harm, and of what kinds the harm is in the others."""
    harmed = [cell.harms for cell in cells if cell.harms]
    kinds = Counter(harm.split()[0] for harms in harmed for harm in harms)
    told = ", ".join(f"{count} by {kind}" for kind, count in kinds.items()) or "none"
    what = f"anatomy x spacing x kernel x views x dose without harm; harmed: {told}"
    return proportion(name, len(cells) - len(harmed), len(cells), description=what, split="validation")


def scanned_figures(denoise: Denoise) -> list[Metric]:
    """A real low-dose scan from a cone-beam machine unlike those simulated: the even module of a CatPhan phantom."""
    dicoms = [pydicom.dcmread(io.BytesIO(data)) for data in phantom_ct()[14:25]]
    low = np.stack([d.pixel_array * d.RescaleSlope + d.RescaleIntercept for d in dicoms]).astype(np.float32)
    middle = (slice(None), slice(236, 276), slice(236, 276))
    before, after = low[middle], denoise(low)[middle]
    where, split = "40x40 pixels in the middle of an even phantom, real scan", "another scanner"
    return [
        average("noise before, phantom", before.std((1, 2)), "HU", where, split),
        average("noise after, phantom", after.std((1, 2)), "HU", where, split),
        average("mean shift, phantom", after.mean((1, 2)) - before.mean((1, 2)), "HU", where, split),
    ]

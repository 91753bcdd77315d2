"""Pictures of CT slices before and after, of noise, of lesions and of the grid of harm, as PNG bytes."""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from service.bundle import Metric
from training.measures.ct import LESION_HU, LESION_MM, LUNG, NARROW
from training.measures.no_harm import CLEAN, Cell
from training.report import pictures

Slice = NDArray[np.float32]
SHOWN = slice(150, 350), slice(110, 310)  # the part of a slice
ERRORS, GAINS = (-60.0, 60.0), (-4.0, 12.0)  # HU, dB


def before_and_after(low: Slice, classical: Slice, denoised: Slice, clean: Slice) -> bytes:
    """A part of one slice in two windows, and the errors that are left."""
    figure = Figure(figsize=(9.2, 4.4), layout="constrained")
    shown = {"low dose": low, "BM3D": classical, "this model": denoised, "reference": clean}
    errors = {"error of BM3D": classical - clean, "error of this model": denoised - clean}
    windows = {"lung": LUNG, "soft tissue": NARROW}
    for row, (name, window), (error_title, error) in zip(
        figure.subplots(2, 5), windows.items(), errors.items(), strict=True
    ):
        images = [(title, image, window) for title, image in shown.items()] + [(error_title, error, ERRORS)]
        for axes, (title, image, (black, white)) in zip(row, images, strict=True):
            axes.imshow(image[SHOWN], cmap="gray", vmin=black, vmax=white)
            axes.set_title(f"{title}\n{black:g} to {white:g} HU", fontsize=8)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=9)
    return pictures.png(figure)


def panels(shown: dict[str, Slice]) -> bytes:
    """A part of each slice in two windows."""
    figure = Figure(figsize=(1.9 * len(shown), 4.4), layout="constrained")
    for row, (name, (black, white)) in zip(
        figure.subplots(2, len(shown)), {"lung": LUNG, "soft tissue": NARROW}.items(), strict=True
    ):
        for axes, (title, image) in zip(row, shown.items(), strict=True):
            axes.imshow(image[SHOWN], cmap="gray", vmin=black, vmax=white)
            axes.set_title(title, fontsize=8)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"{name}, {black:g} to {white:g} HU", fontsize=8)
    return pictures.png(figure)


def noise_spectra(frequency: NDArray[np.float64], powers: dict[str, NDArray[np.float64]]) -> bytes:
    """HU^2 mm^2 by frequency per mm."""
    figure = Figure(figsize=(4.6, 3.0), layout="constrained")
    axes = figure.subplots()
    for name, power in powers.items():
        axes.plot(frequency, power, label=name, linestyle="--" if name == "theory" else "-")
    axes.set(xlabel="frequency, 1/mm", ylabel="noise power, HU² mm²")
    axes.legend(fontsize=8)
    return pictures.png(figure)


def by_size_and_contrast(metrics: list[Metric]) -> bytes:
    """What lesions keep of their contrast, and how well a model observer sees them, by size and contrast."""
    found = {metric.name: metric.value for metric in metrics}
    figure = Figure(figsize=(7.6, 3.0), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("contrast kept", "detectability"), strict=True):
        for hu in LESION_HU:
            values = [found[f"{name}, {diameter:g} mm, {hu:+g} HU"] for diameter in LESION_MM]
            axes.plot(LESION_MM, values, marker="o", label=f"{hu:+g} HU")
        axes.set(xlabel="diameter, mm", ylabel=name, ylim=(0, None))
        axes.legend(fontsize=8)
    return pictures.png(figure)


def harm_grid(cells: list[Cell]) -> bytes:
    """What PSNR gains in each cell, in dB; of a slice without noise, what changes, in HU. A frame says harm."""
    rows = list(dict.fromkeys((cell.anatomy, cell.spacing_mm) for cell in cells))
    columns = list(dict.fromkeys(_scan(cell) for cell in cells))
    figure = Figure(figsize=(0.5 * len(columns) + 1.6, 0.26 * len(rows) + 1.6), layout="constrained")
    axes = figure.subplots()
    gains = np.full((len(rows), len(columns)), np.nan)
    for cell in cells:
        y, x = rows.index((cell.anatomy, cell.spacing_mm)), columns.index(_scan(cell))
        clean = cell.dose == CLEAN
        gains[y, x] = np.nan if clean else cell.gain
        box = {"boxstyle": "square,pad=0.25", "fill": False, "edgecolor": "black"} if cell.harms else None
        text = f"{cell.change:.1f} HU" if clean else f"{cell.gain:+.1f}"
        axes.text(x, y, text, fontsize=6, ha="center", va="center", bbox=box)
    axes.imshow(gains, cmap="RdYlGn", vmin=GAINS[0], vmax=GAINS[1], aspect="auto")
    axes.set_yticks(range(len(rows)), [f"{anatomy}, {spacing:g} mm" for anatomy, spacing in rows], fontsize=7)
    axes.set_xticks(range(len(columns)), columns, fontsize=6, rotation=90)
    return pictures.png(figure)


def _scan(cell: Cell) -> str:
    return CLEAN if cell.dose == CLEAN else f"{cell.kernel}, {cell.views} views, {cell.dose}"

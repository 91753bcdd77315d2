"""Pictures for model cards, as PNG bytes. Drawn without a screen."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from PIL import Image

BLUE, ORANGE = "#1f6fb4", "#e07b1a"
UNITS = {"nats": "nats", "hu": "HU", "db": "dB"}


def png(figure: Figure, dpi: int = 90, colours: int = 256) -> bytes:
    """The figure with a palette of its commonest colours, a fraction of the size of all of them."""
    drawn, reduced = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=dpi)
    palette = Image.open(drawn).convert("RGB").quantize(colours, dither=Image.Dither.NONE)
    palette.save(reduced, format="png", optimize=True)
    return reduced.getvalue()


def learning_curve(rows: Sequence[dict[str, float]]) -> bytes:
    """One panel per quantity; `train_x` and `validation_x` share panel x. A last word such as `_hu` is x's unit."""
    panels: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for row in rows for name in row if name != "epoch"):
        panels.setdefault(name.removeprefix("train_").removeprefix("validation_"), []).append(name)
    figure = Figure(figsize=(4.2 * len(panels), 3.2), layout="constrained")
    for axes, (quantity, series) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for name in series:
            points = [(row["epoch"], row[name]) for row in rows if name in row]
            colour = ORANGE if name.startswith("validation_") else BLUE
            label = name.removesuffix(quantity).strip("_") or _quantity_label(quantity)
            axes.plot(*zip(*points, strict=True), color=colour, label=label, marker="." if len(points) < 40 else "")
        values = [row[name] for row in rows for name in series if name in row]
        if min(values) > 0 and max(values) > 20 * min(values):
            axes.set_yscale("log")
        axes.set(xlabel="epoch", ylabel=_quantity_label(quantity))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return png(figure)


def _quantity_label(name: str) -> str:
    quantity, _, unit = name.rpartition("_")
    return f"{quantity.replace('_', ' ')} ({UNITS[unit.lower()]})" if unit.lower() in UNITS else name.replace("_", " ")


def confusion_matrix(
    truth: NDArray[Any],
    predicted: NDArray[Any],
    labels: Sequence[object],
    names: tuple[str, str] = ("true", "predicted"),
) -> bytes:
    """Counts of (true, predicted) label indices; the colour shows the mistakes, which the diagonal would drown."""
    size = len(labels)
    counts = np.bincount(truth * size + predicted, minlength=size * size).reshape(size, size)
    mistakes = counts * (1 - np.eye(size, dtype=counts.dtype))
    figure = Figure(figsize=(5.2, 4.8), layout="constrained")
    axes = figure.subplots()
    axes.imshow(mistakes, cmap="Oranges", vmax=max(1, 1.6 * mistakes.max()))
    for row, column in np.ndindex(size, size):
        if counts[row, column]:
            weight = "bold" if row == column else "normal"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, weight=weight)
    ticks = [str(label) for label in labels]
    axes.set(xlabel=names[1], ylabel=names[0], xticks=range(size), yticks=range(size), xticklabels=ticks)
    axes.set_yticklabels(ticks)
    if max(map(len, ticks)) > 2:
        axes.set_xticklabels(ticks, rotation=40, ha="right", rotation_mode="anchor")
    return png(figure)


def image_sheet(
    images_NHW: NDArray[Any],
    columns: int,
    captions: Sequence[str] = (),
    row_names: Sequence[str] = (),
    limits: tuple[float, float] = (0, 255),
) -> bytes:
    """Grey images in rows of `columns`, black at the lower of `limits`, each under its caption in type that fits."""
    rows = -(-len(images_NHW) // columns)
    cell = 0.95 if captions else 0.62
    lines = [line for caption in captions for line in caption.split("\n")]
    letters, deep = max(map(len, lines), default=0), max((caption.count("\n") + 1 for caption in captions), default=0)
    size = (columns * cell, rows * (cell + 0.06 * deep + (0.16 if captions else 0)))
    layout = ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.03 if captions else 0.01, wspace=0.02, hspace=0.02)
    figure = Figure(figsize=size, layout=layout)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[], frame_on=False)
    for axes, image in zip(grid.flat, images_NHW, strict=False):
        axes.imshow(image, cmap="gray", vmin=limits[0], vmax=limits[1])
    for axes, caption in zip(grid.flat, captions, strict=False):
        axes.set_title(caption, fontsize=min(8, 125 / letters), pad=2)
    for axes, name in zip(grid[:, 0], row_names, strict=False):
        axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    return png(figure, colours=32)

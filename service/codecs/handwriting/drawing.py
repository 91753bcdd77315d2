"""A digit drawn the way MNIST's were: fitted into its box, in strokes that can be seen, its mass in the middle."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from service.codecs.handwriting.ink import SOFT, Floats
from service.codecs.handwriting.morphology import Mask, widened
from service.codecs.handwriting.pieces import Pieces
from service.codecs.handwriting.reading import Span

Side = tuple[int, int]

FINE = 4  # pixels per pixel of the graph, where strokes are measured and thickened
MIN_STROKE, STROKE = 1.25, 2.0  # pixels of 28: thinner strokes, a pen's on a large page, become this thick


class Box(NamedTuple):
    """In pixels of the picture."""

    left: int
    top: int
    width: int
    height: int


class Patch(NamedTuple):
    """The ink of some pieces alone [h, w], 0..1, and where in the picture it is."""

    ink: Floats
    left: int
    top: int


class Digit(NamedTuple):
    """`image` has the graph's size, 0..255, white on black; `span` says what of the others it is a part of."""

    image: Floats
    box: Box
    span: Span = Span(0, 1)


def cut_out(ink_HW: Floats, pieces: Pieces) -> Patch:
    top, left = max(0, int(pieces.top.min()) - 1), max(0, int(pieces.left.min()) - 1)
    here = np.s_[top : int(pieces.bottom.max()) + 1, left : int(pieces.right.max()) + 1]
    mask = widened(np.isin(pieces.labels[here], pieces.number), 1)  # the soft edge of a stroke belongs to it
    return Patch(np.where(mask, np.minimum(ink_HW[here], 1), np.float32(0)), left, top)


def draw(patch: Patch, side: Side) -> Digit:
    """The ink as one digit, the way MNIST's were drawn."""
    (up, down), (before, behind) = (extent(patch.ink.max(axis=axis) > SOFT) for axis in (1, 0))
    fitted = _fitted(patch.ink[up:down, before:behind], side)
    return Digit(_centred(fitted, side), Box(patch.left + before, patch.top + up, behind - before, down - up))


def _fitted(ink: Floats, side: Side) -> Floats:
    """Ink 0..1 -> grey 0..255, its longer side 20/28 of the graph's, in strokes that are not too thin to be seen."""
    scale = 20 / 28 * min(side) / max(ink.shape)
    height, width = (max(1, round(scale * length)) for length in ink.shape)
    how = Image.Resampling.BOX if scale * FINE < 1 else Image.Resampling.BICUBIC
    fine = Image.fromarray(ink).resize((FINE * width, FINE * height), how)
    unit = FINE * min(side) / 28
    stroke = _stroke_width(np.asarray(fine) > 0.5) / unit
    if stroke < MIN_STROKE:
        fine = fine.filter(ImageFilter.MaxFilter(1 + 2 * round((STROKE - stroke) * unit / 2)))
    small = np.asarray(fine.resize((width, height), Image.Resampling.BOX))
    grey: Floats = np.clip(small * (255 / small.max()), 0, 255)
    return grey


def _stroke_width(mask: Mask) -> float:
    """Pixels: twice the area of a stroke, over the length of its outline."""
    padded = np.pad(mask, 1)
    steps = sum(int((np.diff(padded, axis=axis)).sum()) for axis in (0, 1))
    return 2 * int(mask.sum()) / max(1.0, steps * np.pi / 4)  # an outline of steps is 4 / pi too long on average


def _centred(small: Floats, side: Side) -> Floats:
    """The centre of mass of MNIST digits lies at index 14.0 of 28, in the mean of all of them."""
    canvas = np.zeros(side, np.float32)
    start = [
        int(np.clip(round(length / 2 - centre(small, axis)), 0, length - small.shape[axis]))
        for axis, length in enumerate(side)
    ]
    canvas[start[0] : start[0] + small.shape[0], start[1] : start[1] + small.shape[1]] = small
    return canvas


def extent(drawn: Mask) -> tuple[int, int]:
    places = np.flatnonzero(drawn)
    return int(places[0]), int(places[-1]) + 1


def centre(ink: NDArray[np.generic], axis: int) -> float:
    """Centre of mass along an axis, as an index."""
    mass = ink.sum(axis=1 - axis, dtype=np.float64)
    return float(mass @ np.arange(len(mass)) / mass.sum())

"""Squared and ruled paper whose lines are as dark as ink: many thin lines, parallel, from border to border."""

import numpy as np
from numpy.typing import NDArray

from service.codecs.handwriting.ink import Floats

SLANTS = np.arange(-12, 13) / 100  # pixels across for each along
EVERY = 8  # columns are looked at
LINE = 0.25  # of the contrast: more is ink on a line, which strokes may interrupt
THROUGHOUT = 0.6  # of the picture's width a line has ink
SEVERAL = 4  # lines, or it may be strokes that happen to be straight
MOST = 300  # lines, as millimetre paper has on a page
THIN = 0.02  # of the shorter side, a line's width at most


def without_ruling(ink_HW: Floats) -> Floats:
    """The ink without the lines of squared or ruled paper; where a stroke crosses a line it stays."""
    for axis in (0, 1):
        rows_HW = ink_HW if axis == 0 else ink_HW.T
        slant, lines = _lines(rows_HW)
        if not SEVERAL <= len(lines) <= MOST:
            break  # no paper is ruled upright alone, as the boxes of a form in a row seem to be
        cleared = _cleared(rows_HW, slant, lines)
        ink_HW = cleared if axis == 0 else np.ascontiguousarray(cleared.T)
    return ink_HW


def _lines(ink_HW: Floats) -> tuple[float, list[tuple[int, int]]]:
    """The slant at which most lines run across, and first and last row of each where it begins."""
    height, width = ink_HW.shape
    thickest = max(2, round(THIN * min(height, width)))
    columns = np.arange(0, width, EVERY)
    best: tuple[float, list[tuple[int, int]]] = (0.0, [])
    marked = ink_HW[:, ::EVERY] > LINE
    if marked.any(axis=0).mean() <= THROUGHOUT:  # as where a digit or two stand on plain paper
        return best
    for slant in SLANTS.tolist():
        rows = (np.arange(height)[:, None] + np.rint(slant * (columns - width / 2)).astype(np.int64)) % height
        through = np.take_along_axis(marked, rows, 0).mean(1) > THROUGHOUT
        edges = np.flatnonzero(np.diff(through, prepend=False, append=False))
        lines = [(start, end - 1) for start, end in edges.reshape(-1, 2).tolist() if end - start <= thickest]
        if len(lines) > len(best[1]):
            best = slant, lines
    return best


def _cleared(ink_HW: Floats, slant: float, lines: list[tuple[int, int]]) -> Floats:
    height, width = ink_HW.shape
    columns = np.arange(width)
    lean = np.rint(slant * (columns - width / 2)).astype(np.int64)
    cleared = ink_HW.copy()
    for first, last in lines:
        above = _nearby(ink_HW, np.clip(first - 2 + lean, 0, height - 1), columns)
        below = _nearby(ink_HW, np.clip(last + 2 + lean, 0, height - 1), columns)
        for row in range(first - 1, last + 2):
            places = np.clip(row + lean, 0, height - 1), columns
            cleared[places] = np.minimum(cleared[places], np.maximum(above, below))
    return cleared


def _nearby(ink_HW: Floats, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Floats:
    """The most ink within a pixel to either side, for strokes cross lines at a slant."""
    values = np.pad(ink_HW[rows, columns], 1)
    nearby: Floats = np.maximum.reduce([values[:-2], values[1:-1], values[2:]])
    return nearby

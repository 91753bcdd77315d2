"""Which pieces of ink are strokes of digits: neither specks, nor frames, rims and lines around or along them."""

import numpy as np

from service.codecs.handwriting.ink import CELLS, Floats
from service.codecs.handwriting.morphology import Mask, widened
from service.codecs.handwriting.pieces import MAX_GROUPED, Integers, Pieces, label

INK = 0.35  # of the contrast: what is darker belongs to a stroke
STRONG = 0.6  # of the contrast: a tenth of a stroke is darker than that
SPECK = 0.2  # of the largest piece's length and, squared, of its area
SPECKS = 1000  # of them would fill the picture: less ink is no digit
FINEST = 0.04  # of the longest piece's length: what is shorter shows no frame
AROUND = 0.8  # of the sides of a piece: so much of them a frame has ink before
CORNERED = 0.8  # of a rectangle's diagonals; those of an ellipse are 0.75 of them at most
THIN = 0.2  # of a line's length: its other side, turned a little
LINE, LONGER = 0.9, 1.25  # of the picture's height, of the longest other piece: strokes are shorter than ruled lines
FINE = 0.04  # of the shorter side: a line's thickness at most, less than that of most pens
LOOKED_INTO = 16  # of what a frame may hold, the longest pieces: a hostile picture has thousands of pairs


def strokes_of(ink_HW: Floats) -> Pieces:
    """The pieces of ink that are neither faint nor specks, nor around or along the digits: rims, frames, lines.

    There may be none: lines alone are no digits.
    """
    pieces = label(ink_HW > INK)
    strong = np.bincount(pieces.labels[ink_HW > STRONG], minlength=len(pieces.area))
    if (dark := strong > pieces.area / 10).any():
        pieces = pieces.only(dark)
    if (lines := _through(pieces)).any():
        pieces = pieces.only(~lines)
        if pieces.area.sum() <= pieces.labels.size / SPECKS:
            return pieces.only(np.zeros(len(pieces.number), np.bool_))
    pieces = _but(_rims(pieces), pieces)
    whole = _frames(pieces)
    others = pieces.only(~whole)
    rest = others.only(~_broken_frames(others, pieces.number[whole]))
    pieces = rest if len(rest.number) else others  # what a broken frame is around may be faint
    pieces = _but(_lines(pieces), pieces)
    length = _length(pieces)
    return pieces.only((length > SPECK * length.max()) | (pieces.area > SPECK**2 * pieces.area.max()))


def _but(dropped: Mask, pieces: Pieces) -> Pieces:
    """The pieces without some, if what remains is more than a speck of the picture."""
    rest = pieces.only(~dropped)
    return rest if rest.area.sum() > pieces.labels.size / SPECKS else pieces


def _length(pieces: Pieces) -> Integers:
    length: Integers = np.maximum(pieces.right - pieces.left, pieces.bottom - pieces.top)
    return length


def _rims(pieces: Pieces) -> Mask:
    """Which pieces lie along a whole side of the picture."""
    height, width = pieces.labels.shape
    rims: Mask = (pieces.right - pieces.left > 0.9 * width) & ((pieces.top == 0) | (pieces.bottom == height))
    rims |= (pieces.bottom - pieces.top > 0.9 * height) & ((pieces.left == 0) | (pieces.right == width))
    return rims


def _through(pieces: Pieces) -> Mask:
    """Which pieces are fine lines from border to border: folds, edges of shadows, rules; no pen begins outside."""
    found = np.zeros(len(pieces.number), np.bool_)
    for start, end, length in (
        (pieces.top, pieces.bottom, pieces.labels.shape[0]),
        (pieces.left, pieces.right, pieces.labels.shape[1]),
    ):
        near = max(2, length // 100)
        fine = pieces.area < FINE * length * min(pieces.labels.shape)
        found |= (start <= near) & (end >= length - near) & fine & _thin(pieces)
    return found


def _lines(pieces: Pieces) -> Mask:
    """Which pieces are thin and longer than the others: a dash under the digit, the margin line of a pad.

    A 1 is as thin, and may be higher than its neighbours, so a line that stands is one from border to border only.
    """
    across, along = pieces.right - pieces.left, pieces.bottom - pieces.top
    thin: Mask = _thin(pieces) & ((across > along) | (along > LINE * pieces.labels.shape[0]))
    thin &= _length(pieces) > LONGER * _length(pieces)[~thin].max(initial=0)
    return thin


def _thin(pieces: Pieces) -> Mask:
    across, along = pieces.right - pieces.left, pieces.bottom - pieces.top
    thin: Mask = np.minimum(across, along) < THIN * np.maximum(across, along)
    return thin


def _frames(pieces: Pieces) -> Mask:
    """Which pieces are drawn around others: boxes of a form, one or joined, the desk around a sheet, a circle.

    What is in a round one must be large, or it is a blot in a 0.
    """
    length, found = _length(pieces), np.zeros(len(pieces.number), np.bool_)
    places = np.flatnonzero(length > FINEST * length.max())
    if 1 < len(places) <= MAX_GROUPED:
        large = pieces.only(places)
        held_by = _held(large)
        for one in np.flatnonzero(held_by.any(axis=1)).tolist():
            found[places[one]] = _is_frame(large, one, np.flatnonzero(held_by[one]))
    return found


def _broken_frames(pieces: Pieces, whole: Integers) -> Mask:
    """Which pieces are parts of a frame with gaps narrower than a cell, as the edge of a desk is often found.

    Other parts may be faint, but none is of the `whole` ones: a digit that is near to one would be part of it.
    """
    gap = min(pieces.labels.shape) // CELLS // 2
    if gap == 0 or len(pieces.number) < 2:
        return np.zeros(len(pieces.number), np.bool_)
    inked = pieces.labels >= 0
    if len(whole):
        inked &= ~np.isin(pieces.labels, whole)
    joined = label(widened(inked, gap))
    of_piece = np.zeros(pieces.labels.max() + 1, np.int64)
    of_piece[pieces.labels[inked]] = joined.labels[inked]
    found: Mask = (_frames(joined) & (np.bincount(of_piece) > 1))[of_piece[pieces.number]]
    return found


def _held(pieces: Pieces) -> Mask:
    """Whether the bounds of one piece hold those of another: [N, N]."""
    _, _, left, top, right, bottom, _ = pieces
    held: Mask = np.less.outer(left, left) & np.less.outer(top, top)
    held &= np.greater.outer(right, right) & np.greater.outer(bottom, bottom)
    return held


def _is_frame(pieces: Pieces, one: int, held: Integers) -> bool:
    """Whether a piece is around any of those that its bounds hold, and large."""
    _, number, left, top, right, bottom, _ = pieces
    ink = pieces.labels[top[one] : bottom[one], left[one] : right[one]] == number[one]
    length = _length(pieces)
    held = held[np.argsort(-length[held], kind="stable")[:LOOKED_INTO]]
    if not _has_corners(ink):
        held = held[length[held] > SPECK * length[one]]
    rows, columns = _first_and_last(ink, 1), _first_and_last(ink, 0)
    return any(
        _encloses(rows, slice(*among), *within) and _encloses(columns, slice(*within), *among)
        for within, among in zip(
            (np.stack([left, right]).T[held] - left[one]).tolist(),
            (np.stack([top, bottom]).T[held] - top[one]).tolist(),
            strict=True,
        )
    )


def _first_and_last(ink: Mask, axis: int) -> tuple[Integers, Integers]:
    """Of every row (`axis` 1) or column (0): where its first pixel of ink is, and its last. There is one."""
    return ink.argmax(axis=axis), ink.shape[axis] - 1 - np.flip(ink, axis).argmax(axis=axis)


def _encloses(ends: tuple[Integers, Integers], there: slice, start: int, end: int) -> bool:
    """Whether most rows or columns have ink before `start`, and most have some from `end` on."""
    return bool((ends[0][there] < start).mean() > AROUND and (ends[1][there] >= end).mean() > AROUND)


def _has_corners(ink: Mask) -> bool:
    """Whether ink that fills its bounds extends to all four corners, as a rectangle does."""
    rows = np.arange(ink.shape[0])
    first, last = _first_and_last(ink, 1)
    falling, rising = np.ptp([rows - first, rows - last]), np.ptp([rows + first, rows + last])
    return bool(min(falling, rising) > CORNERED * sum(ink.shape))

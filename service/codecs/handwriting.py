"""Pictures of handwriting, as people send them, made into digits as MNIST has them.

    picture -ink_of-> ink -label-> pieces -strokes_of, group-> digits -draw-> [28, 28], white on black

Light, paper and polarity are taken out by a morphological closing (Serra, Image Analysis and Mathematical Morphology,
1982). Strokes are told from specks and rims by their connected pieces. A digit is fitted into a box of 20/28 of the
side, its centre of mass in the middle (LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998,
section III.A). NumPy and Pillow alone: training prepares pictures with this module, too.

Suffixes: H, W are the sides of the picture; h, w those of the grid on which the paper is estimated.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Grey = NDArray[np.uint8]
Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Mask = NDArray[np.bool_]
Side = tuple[int, int]

DARK, BRIGHT = 16, 160  # grey values of a border that is as good as black, and of ink that is bright enough
CELLS = 32  # of the shorter side, where the paper is estimated
WINDOW = 0.35  # of the sides' geometric mean: strokes are narrower, shadows wider
COVERED = 0.2  # weight of the ink against the roughness of the paper: strokes are less than ten cells wide
DEEPEST = 0.6  # of the brightest paper's light: a shadow, no deeper
MIN_CONTRAST, SURE_CONTRAST = 16, 64  # grey values between paper and ink, or what may be grain, and surely is none
MIN_CLARITY = 3.0  # contrast, in multiples of what the paper itself shows
INK = 0.35  # of the contrast: what is darker belongs to a stroke
STRONG = 0.6  # of the contrast: a tenth of a stroke is darker than that
SOFT = 0.1  # of the contrast: the edge of a stroke
SPECK = 0.2  # of the largest piece's length and, squared, of its area
FINEST = 0.04  # of the longest piece's length: what is shorter shows no frame
AROUND = 0.8  # of the sides of a piece: so much of them a frame has ink before
CORNERED = 0.8  # of a rectangle's diagonals; those of an ellipse are 0.75 of them at most
THIN = 0.2  # of a line's length: its other side, turned a little
LINE, LONGER = 0.9, 1.25  # of the picture's height, of the longest other piece: strokes are shorter than ruled lines
LOW = 0.35  # of the usual height of digits: what is lower is none
LOOKED_INTO = 16  # of what a frame may hold, the longest pieces: a hostile picture has thousands of pairs
MAX_GROUPED = 1000  # pieces: with more of them it is no page of digits
FINE = 4  # pixels per pixel of the graph, where strokes are measured and thickened
MIN_STROKE, STROKE = 1.25, 2.0  # pixels of 28: thinner strokes, a pen's on a large page, become this thick


class Box(NamedTuple):
    """In pixels of the picture."""

    left: int
    top: int
    width: int
    height: int


class Digit(NamedTuple):
    """`image` has the graph's size, 0..255, white on black."""

    image: Floats
    box: Box


class Pieces(NamedTuple):
    """Connected pieces of ink: numbers in `labels` [H, W], -1 off the ink; bounds, ends exclusive; areas."""

    labels: Integers
    number: Integers
    left: Integers
    top: Integers
    right: Integers
    bottom: Integers
    area: Integers

    def only(self, kept: Mask | Integers) -> "Pieces":
        return Pieces(self.labels, *(column[kept] for column in self[1:]))


def read_digit(picture: Grey, side: Side) -> Digit | None:
    """The digit that a picture [H, W] or [H, W, 3] is of, or None when there is no ink in it.

    What has the form of an MNIST digit already is taken as it is.
    """
    if picture.shape == side and _is_ready(picture):
        return Digit(picture.astype(np.float32), Box(0, 0, side[1], side[0]))
    ink_HW = ink_of(picture)
    return None if ink_HW is None else draw(ink_HW, strokes_of(ink_HW), side)


def read_digits(picture: Grey, side: Side) -> Iterator[Digit]:
    """The digits of a picture [H, W] or [H, W, 3], line by line, from left to right. They must not touch each other."""
    ink_HW = ink_of(picture)
    if ink_HW is not None:
        pieces = strokes_of(ink_HW)
        yield from (draw(ink_HW, pieces.only(digit), side) for digit in group(pieces))


def _is_ready(grey: Grey) -> bool:
    """Whether it is dark around, and as large and as central as all 60,000 training digits of MNIST are."""
    peak = int(grey.max())
    if peak < BRIGHT or np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])) > DARK:
        return False
    extents = []
    for axis, length in enumerate(grey.shape):
        start, end = _extent(grey.max(axis=1 - axis) > SOFT * peak)
        extents.append((end - start) / length)
        if abs(_centre(grey, axis) / length - 1 / 2) > 1 / 28:
            return False
    return bool(17 <= 28 * max(extents) <= 21)


def _extent(drawn: Mask) -> tuple[int, int]:
    places = np.flatnonzero(drawn)
    return int(places[0]), int(places[-1]) + 1


def _centre(ink: NDArray[np.generic], axis: int) -> float:
    """Centre of mass along an axis, as an index."""
    mass = ink.sum(axis=1 - axis, dtype=np.float64)
    return float(mass @ np.arange(len(mass)) / mass.sum())


def ink_of(picture: Grey) -> Floats | None:
    """How much ink is where [H, W], about 1 in a stroke; None where nothing stands out from the paper."""
    channels = picture[None] if picture.ndim == 2 else np.moveaxis(picture, 2, 0)
    ink_HW: Floats = np.maximum.reduce([_off_paper(np.ascontiguousarray(grey)) for grey in channels])
    at_most = np.cumsum(np.bincount(ink_HW.astype(np.uint8).ravel(), minlength=256))
    few = max(1, ink_HW.size // 4096)  # pixels: the darkest one alone may be dust
    usual, contrast = np.searchsorted(at_most, (ink_HW.size // 2, ink_HW.size - few), side="right").tolist()
    if contrast < min(max(MIN_CONTRAST, MIN_CLARITY * usual), SURE_CONTRAST):
        return None
    ink_HW /= contrast
    return ink_HW


def _off_paper(grey_HW: Grey) -> Floats:
    """How far each pixel is from the paper, to the side where the ink is: darker or lighter. In grey values.

    The paper is what remains when all that is narrower than a window is filled: dark strokes by a closing, light ones
    by an opening. The wrong one keeps the strokes, so the smoother one is the paper.
    """
    height, width = grey_HW.shape
    cell = max(1, min(height, width) // CELLS)
    if cell > 3:  # there are pixels enough to take the grain out
        grey_HW = np.asarray(Image.fromarray(grey_HW).filter(ImageFilter.BoxBlur(1)))
    coarse_hw = np.asarray(Image.fromarray(grey_HW).reduce(cell) if cell > 1 else grey_HW).astype(np.float32)
    closed, opened = _closed_and_opened(coarse_hw, max(1, round(WINDOW * coarse_hw.size**0.5)))
    dark = _implausibility(closed, coarse_hw) <= _implausibility(opened, coarse_hw)
    paper_hw: Floats = closed if dark else opened
    paper_HW = paper_hw
    if cell > 1:
        box = (0, 0, width / cell, height / cell)
        paper_HW = np.asarray(Image.fromarray(paper_hw).resize((width, height), Image.Resampling.BILINEAR, box))
    off: Floats = paper_HW - grey_HW if dark else grey_HW - paper_HW
    if dark:  # paper reflects a share of the light, so what is in a shadow counts as it would outside
        brightest = float(paper_hw.max())
        off *= brightest / np.maximum(paper_HW, max(1.0, brightest * DEEPEST))
    return np.clip(off, 0, 255, out=off)


def _implausibility(paper_hw: Floats, grey_hw: Floats) -> float:
    """Of a guess at the paper: how rough it is and, less, how much ink it would take."""
    down, across = paper_hw[1:] - paper_hw[:-1], paper_hw[:, 1:] - paper_hw[:, :-1]
    return float(np.abs(down).sum() + np.abs(across).sum() + COVERED * np.abs(paper_hw - grey_hw).sum())


def _closed_and_opened(grey_hw: Floats, window: int) -> Floats:
    """Closing and opening by a square: [2, h, w].

    Beyond its border the picture goes on as it comes, light that fades included.
    """
    pads = [min(window, length) - 1 for length in grey_hw.shape]
    padded = np.pad(grey_hw, [(pad, pad) for pad in pads], mode="reflect", reflect_type="odd")
    both = np.stack([padded, -padded])
    for _ in ("dilate", "erode"):
        for axis, pad in enumerate(pads, 1):
            both = _running_max(both, pad + 1, axis)
        both = -both
    return both * np.array([[[1]], [[-1]]], np.float32)


def _running_max(array: Any, window: int, axis: int) -> Any:
    """The maximum of `window` neighbours, in logarithmically many steps; the axis gets `window` - 1 shorter."""
    rows, width = array.swapaxes(0, axis), 1
    while width < window:
        step = min(width, window - width)
        rows, width = np.maximum(rows[:-step], rows[step:]), width + step
    return rows.swapaxes(0, axis)


def label(mask_HW: Mask) -> Pieces:
    """The connected pieces of a mask that is not empty. Neighbours touch at sides and corners."""
    edges = np.diff(mask_HW.astype(np.int8), axis=1, prepend=0, append=0)
    row, start = np.nonzero(edges == 1)
    end = np.nonzero(edges == -1)[1]
    # Each run of a row touches runs of the next one from `first` on, if any, for they are sorted.
    stride = mask_HW.shape[1] + 2
    first = np.searchsorted(row * stride + end, (row + 1) * stride + start)
    count = np.searchsorted(row * stride + start, (row + 1) * stride + end, side="right") - first
    below = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
    number = _joined(len(row), np.repeat(np.arange(len(row)), count), below)
    labels = np.full(mask_HW.shape, -1)
    labels[mask_HW] = np.repeat(number, end - start)
    return _merged(labels, number, start, row, end, row + 1, end - start)


def _joined(count: int, these: Integers, those: Integers) -> Integers:
    """Numbers 0, 1, ... of the sets that `count` things fall into when each of `these` is with its one of `those`.

    Each takes the smallest number around, then follows where it leads (Shiloach and Vishkin, J. Algorithms 3, 1982).
    """
    root = np.arange(count)
    while (apart := root[these] != root[those]).any():
        these, those = these[apart], those[apart]
        np.minimum.at(root, np.maximum(root[these], root[those]), np.minimum(root[these], root[those]))
        while (root[root] != root).any():
            root = root[root]
    numbers: Integers = np.unique(root, return_inverse=True)[1]
    return numbers


def _merged(
    labels: Integers,
    number: Integers,
    left: Integers,
    top: Integers,
    right: Integers,
    bottom: Integers,
    area: Integers,
) -> Pieces:
    """Bounds and areas of sets, from those of the parts that each `number` has."""
    order = np.argsort(number, kind="stable")
    starts = np.searchsorted(number[order], np.arange(number.max() + 1))
    return Pieces(
        labels,
        np.arange(len(starts)),
        np.minimum.reduceat(left[order], starts),
        np.minimum.reduceat(top[order], starts),
        np.maximum.reduceat(right[order], starts),
        np.maximum.reduceat(bottom[order], starts),
        np.add.reduceat(area[order], starts),
    )


def strokes_of(ink_HW: Floats) -> Pieces:
    """The pieces of ink that are neither faint nor specks, nor around or along the digits: rims, frames, lines."""
    pieces = label(ink_HW > INK)
    strong = np.bincount(pieces.labels[ink_HW > STRONG], minlength=len(pieces.area))
    if (dark := strong > pieces.area / 10).any():
        pieces = pieces.only(dark)
    pieces = _but(_rims(pieces), pieces)
    whole = _frames(pieces)
    others = pieces.only(~whole)
    pieces = others.only(~_broken_frames(others, pieces.number[whole]))
    pieces = _but(_lines(pieces), pieces)
    length = _length(pieces)
    return pieces.only((length > SPECK * length.max()) | (pieces.area > SPECK**2 * pieces.area.max()))


def _but(dropped: Mask, pieces: Pieces) -> Pieces:
    """The pieces without some, if what remains is more than a speck of the picture."""
    rest = pieces.only(~dropped)
    return rest if rest.area.sum() > pieces.labels.size / 1000 else pieces


def _length(pieces: Pieces) -> Integers:
    length: Integers = np.maximum(pieces.right - pieces.left, pieces.bottom - pieces.top)
    return length


def _rims(pieces: Pieces) -> Mask:
    """Which pieces lie along a whole side of the picture."""
    height, width = pieces.labels.shape
    rims: Mask = (pieces.right - pieces.left > 0.9 * width) & ((pieces.top == 0) | (pieces.bottom == height))
    rims |= (pieces.bottom - pieces.top > 0.9 * height) & ((pieces.left == 0) | (pieces.right == width))
    return rims


def _lines(pieces: Pieces) -> Mask:
    """Which pieces are thin and longer than the others: a dash under the digit, the margin line of a pad.

    A 1 is as thin, and may be higher than its neighbours, so a line that stands is one from border to border only.
    """
    across, along = pieces.right - pieces.left, pieces.bottom - pieces.top
    thin: Mask = (across < THIN * along) & (along > LINE * pieces.labels.shape[0])
    thin |= along < THIN * across
    thin &= _length(pieces) > LONGER * _length(pieces)[~thin].max(initial=0)
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
    joined = label(_widened(inked, gap))
    of_piece = np.zeros(pieces.labels.max() + 1, np.int64)
    of_piece[pieces.labels[inked]] = joined.labels[inked]
    found: Mask = (_frames(joined) & (np.bincount(of_piece) > 1))[of_piece[pieces.number]]
    return found


def _widened(mask: Mask, by: int) -> Mask:
    """A mask and all around it, within its bounds."""
    mask = np.pad(mask, by)
    for axis in (0, 1):
        mask = _running_max(mask, 2 * by + 1, axis)
    return mask


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


def group(pieces: Pieces) -> Iterator[Mask]:
    """Which pieces each digit has, in reading order. Marks much lower than the digits, such as points, are none."""
    digit = np.arange(len(pieces.area))
    if len(digit) <= MAX_GROUPED:
        digit = _joined(len(digit), *np.nonzero(_together(pieces)))
    whole = _merged(pieces.labels, digit, *pieces[2:])
    height = whole.bottom - whole.top
    order = np.argsort(height)
    half = np.searchsorted(np.cumsum(whole.area[order]), whole.area.sum() / 2)
    for one in _in_reading_order(whole.only(height > LOW * height[order[half]])):
        yield digit == one


def _in_reading_order(digits: Pieces) -> Iterator[int]:
    """Their numbers, line by line, from left to right.

    From the left on, each digit follows the one whose rows it shares most, half of the lower one's or more. So a line
    may slant. With countless digits there are no lines.
    """
    order = np.argsort(digits.left, kind="stable")
    height, middle = digits.bottom - digits.top, (digits.top + digits.bottom) / 2
    if len(order) > MAX_GROUPED:
        return iter(digits.number[order].tolist())
    lines: list[list[int]] = []
    for one in order.tolist():
        last = [line[-1] for line in lines]
        share = np.minimum(digits.bottom[one], digits.bottom[last]) - np.maximum(digits.top[one], digits.top[last])
        share = share / np.minimum(height[one], height[last])
        if last and share.max() > 1 / 2:
            lines[share.argmax()].append(one)
        else:
            lines.append([one])
    lines.sort(key=lambda line: float(middle[line].mean()))
    return iter(digits.number[[one for line in lines for one in line]].tolist())


def _together(pieces: Pieces) -> Mask:
    """Whether two pieces are of one digit, like the bar of a 5 above its body: [N, N].

    They share columns, are near to each other, and do not stand side by side as slanted neighbours do.
    """
    _, _, left, top, right, bottom, _ = pieces
    across = np.minimum.outer(right, right) - np.maximum.outer(left, left)
    along = np.minimum.outer(bottom, bottom) - np.maximum.outer(top, top)
    narrower = np.minimum.outer(right - left, right - left)
    lower, higher = (choose.outer(bottom - top, bottom - top) for choose in (np.minimum, np.maximum))
    near: Mask = -along < np.where(lower < higher / 2, 0.25, 0.08) * higher
    near &= across > np.where(along < lower / 2, 0.3, 0.8) * narrower
    return near


def draw(ink_HW: Floats, pieces: Pieces, side: Side) -> Digit:
    """The pieces as one digit, the way MNIST's were drawn."""
    top, left = max(0, int(pieces.top.min()) - 1), max(0, int(pieces.left.min()) - 1)
    here = np.s_[top : int(pieces.bottom.max()) + 1, left : int(pieces.right.max()) + 1]
    mask = _widened(np.isin(pieces.labels[here], pieces.number), 1)  # the soft edge of a stroke belongs to it
    ink = np.where(mask, np.minimum(ink_HW[here], 1), np.float32(0))
    (up, down), (before, behind) = (_extent(ink.max(axis=axis) > SOFT) for axis in (1, 0))
    fitted = _fitted(ink[up:down, before:behind], side)
    return Digit(_centred(fitted, side), Box(left + before, top + up, behind - before, down - up))


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
        int(np.clip(round(length / 2 - _centre(small, axis)), 0, length - small.shape[axis]))
        for axis, length in enumerate(side)
    ]
    canvas[start[0] : start[0] + small.shape[0], start[1] : start[1] + small.shape[1]] = small
    return canvas

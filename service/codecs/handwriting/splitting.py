"""Digits that touch: what is too wide for one is cut wherever little ink is in the way, oftener than it has digits.

A cut is the path of least ink from the top to the bottom through a place where that is less than beside it, as seams
are found (Avidan and Shamir, Seam Carving, SIGGRAPH 2007). Which cuts lie between digits only a model can say: what is
between any two of them may be a digit, and those are read that are likeliest together (Casey and Lecolinet, A Survey
of Methods and Strategies in Character Segmentation, IEEE PAMI 18, 1996, section 4).

Suffixes: h, w are the sides of a piece at the height at which it is cut; K counts cuts.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

from service.codecs.handwriting.drawing import Patch
from service.codecs.handwriting.ink import Floats
from service.codecs.handwriting.pieces import Integers
from service.codecs.handwriting.reading import Span
from service.codecs.handwriting.strokes import INK

WIDE, WIDEST = 0.9, 10.0  # heights: what is narrower is one digit, what is wider no line of them
BROADEST, LOWEST = 1.5, 0.35  # heights of the piece that one digit is wide at most, and high at least
HEIGHT = 48  # pixels at which a piece is cut
THROUGH = 0.1, 0.25, 0.5, 0.75, 0.9  # of the height: rows in which narrow places are looked for
NARROWEST = HEIGHT // 16  # pixels to either side have more ink in the way
SIDESTEP = 1.0  # pixels of ink that one to the side is worth
MOST_INK = 0.8  # of the height that a cut runs through
APART = 0.01  # of the height, squared: cuts with less ink between them are the same
OFTEN = 4  # cuts in a width of one height


def parts(patch: Patch) -> Iterator[tuple[Span, Patch]]:
    """What may be a digit of a piece that may be several, first the whole piece. Its ends count as cuts."""
    paths_KH = _cuts(patch.ink)
    last = len(paths_KH) - 1
    yield Span(0, last), patch
    for start in range(last):
        for end in range(start + 1, last + (start > 0)):
            if part := _between(patch, paths_KH[start], paths_KH[end]):
                yield Span(start, end, whole=False), part


def _between(patch: Patch, before_H: Integers, behind_H: Integers) -> Patch | None:
    """None where it has not the size of a digit."""
    left, right = int(before_H.min()), int(behind_H.max())
    columns = np.arange(left, right)
    inside = (before_H[:, None] <= columns) & (columns < behind_H[:, None])
    ink = np.where(inside, patch.ink[:, left:right], np.float32(0))
    across, along = ((ink.max(axis=axis, initial=0) > INK).nonzero()[0] for axis in (0, 1))
    height = len(ink)
    if not len(across) or np.ptp(across) > BROADEST * height or np.ptp(along) < LOWEST * height:
        return None
    return Patch(ink, patch.left + left, patch.top)


def _cuts(ink: Floats) -> Integers:
    """From left to right, the column of each cut in each row [K, H]; the first and the last are the ends."""
    height, width = ink.shape
    ends = np.zeros((1, height), np.int64), np.full((1, height), width)
    if not WIDE * height <= width <= WIDEST * height:
        return np.concatenate(ends)
    across = max(1, round(width * HEIGHT / height))
    how = Image.Resampling.BOX if height > HEIGHT else Image.Resampling.BILINEAR
    small_hw = np.asarray(Image.fromarray(ink).resize((across, HEIGHT), how))
    paths_Kh = _apart(small_hw, *_paths(small_hw))
    rows = np.arange(height) * HEIGHT // height
    paths_KH = np.rint(paths_Kh[:, rows] * (width / across)).astype(np.int64)
    return np.concatenate([ends[0], paths_KH, ends[1]])


def _paths(ink_hw: Floats) -> tuple[Integers, Floats]:
    """Paths of least ink [K, h], and the ink that each runs through [K]."""
    above, below = _least(ink_hw), _least(ink_hw[::-1])[::-1]
    through = above + below - ink_hw
    starts = [(row, column) for row in (int(share * (HEIGHT - 1)) for share in THROUGH)
              for column in _lowest(through[row])]  # fmt: skip
    rows, columns = np.array(starts).reshape(-1, 2).T
    paths = np.repeat(columns[:, None], HEIGHT, axis=1)
    _follow(paths, rows, below)
    _follow(paths[:, ::-1], HEIGHT - 1 - rows, above[::-1])
    return paths, through[rows, columns]


def _least(ink_hw: Floats) -> Floats:
    """The least ink on any path from the top to each pixel, both included."""
    least = np.pad(ink_hw, ((0, 0), (1, 1)), constant_values=np.inf)
    for above, here in zip(least[:-1], least[1:], strict=True):
        beside = np.minimum(above[:-2], above[2:]) + np.float32(SIDESTEP)
        here[1:-1] += np.minimum(above[1:-1], beside)
    return least[:, 1:-1]


def _lowest(values: Floats) -> Iterator[int]:
    """The middles of the places that are lower than all around them."""
    padded = np.pad(values, NARROWEST, constant_values=np.inf)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * NARROWEST + 1).min(axis=1)
    places = np.flatnonzero(values <= around + 1e-6)
    for run in np.split(places, np.flatnonzero(np.diff(places) > 1) + 1):
        if len(run):
            yield int(run[len(run) // 2])


def _follow(paths_Kh: Integers, rows_K: Integers, least_hw: Floats) -> None:
    """Let each path, from the row where it starts, go on to the bottom, to which `least_hw` ink is in the way."""
    least = np.pad(least_hw, ((0, 0), (1, 1)), constant_values=np.inf)
    for row in range(HEIGHT - 1):
        here = paths_Kh[:, row]
        beside = SIDESTEP + np.stack([least[row + 1, here], least[row + 1, here + 2]])
        steps = np.argmin([least[row + 1, here + 1], *beside], axis=0)  # straight on, to the left, to the right
        on_their_way = rows_K <= row
        paths_Kh[on_their_way, row + 1] = (here + np.array([0, -1, 1])[steps])[on_their_way]


def _apart(ink_hw: Floats, paths_Kh: Integers, ink_K: Floats) -> Integers:
    """The cuts that have ink between them, from left to right; of those alike the one through the least ink."""
    before = np.pad(ink_hw.cumsum(axis=1), ((0, 0), (1, 0)))
    left_K = before[np.arange(HEIGHT), paths_Kh].sum(axis=1)  # ink to the left of each cut
    taken: list[int] = []
    most, apart = OFTEN * ink_hw.shape[1] // HEIGHT, APART * HEIGHT**2
    for one in np.argsort(ink_K, kind="stable").tolist():
        near = min(left_K[one], before[:, -1].sum() - left_K[one], *abs(left_K[taken] - left_K[one]))
        if len(taken) < most and ink_K[one] < MOST_INK * HEIGHT and near > apart:
            taken.append(one)
    return paths_Kh[sorted(taken, key=lambda one: float(left_K[one]))]

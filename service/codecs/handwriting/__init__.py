"""Pictures of handwriting, as people send them, made into digits as MNIST has them.

    picture -enlarging, ink-> ink -pieces-> pieces -strokes, grouping, splitting-> digits -drawing-> [28, 28]

Light, paper and polarity are taken out by a morphological closing (Serra, Image Analysis and Mathematical Morphology,
1982). Strokes are told from specks and rims by their connected pieces. A digit is fitted into a box of 20/28 of the
side, its centre of mass in the middle (LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998,
section III.A). NumPy and Pillow alone: training prepares pictures with this package, too.

Suffixes: H, W are the sides of the picture; h, w those of the grid on which the paper is estimated.
"""

from collections.abc import Iterator
from itertools import islice

import numpy as np

from service.codecs.handwriting.drawing import Box as Box
from service.codecs.handwriting.drawing import Digit, Side, centre, cut_out, draw, extent
from service.codecs.handwriting.enlarging import Enlarged, enlarged
from service.codecs.handwriting.grouping import group
from service.codecs.handwriting.ink import COVERED, FILLED, SOFT, Floats, Grey, ink_of
from service.codecs.handwriting.leaning import upright
from service.codecs.handwriting.pieces import Pieces
from service.codecs.handwriting.reading import Span as Span
from service.codecs.handwriting.reading import likeliest as likeliest
from service.codecs.handwriting.ruling import without_ruling
from service.codecs.handwriting.splitting import parts
from service.codecs.handwriting.strokes import INK, strokes_of

LINE = 64  # pixels that a line of digits is high, or it is enlarged
DARK, BRIGHT = 16, 160  # grey values of a border that is as good as black, and of ink that is bright enough


def read_digit(picture: Grey, side: Side) -> Digit | None:
    """The digit that a picture [H, W] or [H, W, 3] is of, or None when there is no ink in it.

    What has the form of an MNIST digit already is taken as it is.
    """
    if picture.shape == side and _is_ready(picture):
        return Digit(picture.astype(np.float32), Box(0, 0, side[1], side[0]))
    large = enlarged(picture, min(side))
    if not (written := _written(large)):
        return None
    digit = draw(cut_out(*written), side)
    return digit._replace(box=large.in_picture(digit.box, *picture.shape[:2]))


def read_digits(picture: Grey, side: Side, spare: int = 0) -> Iterator[Digit]:
    """The digits of a picture [H, W] or [H, W, 3], line by line, from left to right.

    Of what is too wide for one digit also what may be digits in it, `spare` such parts in all: only a model can say
    which of them are read.
    """
    large = enlarged(picture, LINE)
    if not (written := _written(large)):
        return
    (ink_HW, pieces), cuts = written, 0
    if line := upright(ink_HW, pieces):
        ink_HW, pieces = line.ink, strokes_of(line.ink)
    for members in group(pieces):
        patch = cut_out(ink_HW, pieces.only(members))
        some = list(islice(parts(patch), 1 + spare)) if spare else [(Span(0, 1), patch)]
        for span, part in some:
            digit = draw(part, side)
            box = line.in_picture(digit.box) if line else digit.box
            box = large.in_picture(box, *picture.shape[:2])
            yield Digit(digit.image, box, span.after(cuts))
        spare, cuts = spare + 1 - len(some), cuts + some[0][0].end


def _written(large: Enlarged) -> tuple[Floats, Pieces] | None:
    """The ink without the lines of the paper, and its strokes; None where there are none."""
    ink_HW = ink_of(large.picture, FILLED if large.margin else COVERED)
    if ink_HW is None:
        return None
    ink_HW = without_ruling(ink_HW)
    if ink_HW.max() <= INK:
        return None
    pieces = strokes_of(ink_HW)
    return (ink_HW, pieces) if len(pieces.number) else None


def _is_ready(grey: Grey) -> bool:
    """Whether it is dark around, and as large and as central as all 60,000 training digits of MNIST are."""
    peak = int(grey.max())
    if peak < BRIGHT or np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])) > DARK:
        return False
    extents = []
    for axis, length in enumerate(grey.shape):
        start, end = extent(grey.max(axis=1 - axis) > SOFT * peak)
        extents.append((end - start) / length)
        if abs(centre(grey, axis) / length - 1 / 2) > 1 / 28:
            return False
    return bool(17 <= 28 * max(extents) <= 21)

"""A line of digits that leans: turned back, for a digit that leans with it is another one."""

from math import ceil, cos, floor, radians, sin
from typing import NamedTuple

import numpy as np
from PIL import Image

from service.codecs.handwriting.drawing import Box
from service.codecs.handwriting.ink import Floats
from service.codecs.handwriting.pieces import Pieces
from service.codecs.handwriting.strokes import INK

LARGE = 0.5  # of the longest piece's length: what is shorter says little of the line
FEWEST = 3  # pieces make a line
LEAST, MOST = 8.0, 45.0  # degrees
STRAIGHT = 0.12  # spread across the line, of that along it


class Upright(NamedTuple):
    """Ink [H, W] turned by `degrees`, anticlockwise, about the middle of a picture of `height` x `width`."""

    ink: Floats
    degrees: float
    height: int
    width: int

    def in_picture(self, box: Box) -> Box:
        """What holds the box in the picture as it was."""
        turn, (high, wide) = radians(self.degrees), self.ink.shape
        across = np.array([box.left, box.left + box.width] * 2) - wide / 2
        along = np.repeat([box.top, box.top + box.height], 2) - high / 2
        x = cos(turn) * across - sin(turn) * along + self.width / 2
        y = sin(turn) * across + cos(turn) * along + self.height / 2
        left, top = (min(max(0, floor(one.min())), end - 1) for one, end in ((x, self.width), (y, self.height)))
        right, bottom = min(ceil(x.max()), self.width), min(ceil(y.max()), self.height)
        return Box(left, top, max(1, right - left), max(1, bottom - top))


def lean(pieces: Pieces) -> float:
    """Degrees by which the only line of the pieces falls to the right, or 0 where there is no such line."""
    length = np.maximum(pieces.right - pieces.left, pieces.bottom - pieces.top)
    large = pieces.only(length > LARGE * length.max())
    if len(large.number) < FEWEST:
        return 0
    middles = np.stack([large.left + large.right, large.top + large.bottom]) / 2
    spread, axes = np.linalg.eigh(np.cov(middles))
    degrees = float(np.degrees(np.arctan2(axes[1, 1], axes[0, 1])))
    degrees = (degrees + 90) % 180 - 90
    leans = LEAST < abs(degrees) < MOST and spread[0] < STRAIGHT**2 * spread[1]
    return degrees if leans else 0


def upright(ink_HW: Floats, pieces: Pieces) -> Upright | None:
    """None where no line leans, or where it is too fine to be turned."""
    if not (degrees := lean(pieces)):
        return None
    picture = Image.fromarray(ink_HW).rotate(degrees, Image.Resampling.BICUBIC, expand=True)
    turned = np.maximum(np.asarray(picture), np.float32(0))
    return Upright(turned, degrees, *ink_HW.shape) if turned.max() > INK else None

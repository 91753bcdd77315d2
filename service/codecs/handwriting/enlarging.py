"""Small pictures, of scanners and of thumbnails, are enlarged; they and what was cut out tightly get a margin.

Between strokes of a pixel or two there is nothing to cut at, and paper is not found around what fills its frame.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.codecs.handwriting.drawing import Box
from service.codecs.handwriting.ink import Grey

SMALL = 96  # pixels of the shorter side: what is no longer always gets a margin
INKED = 0.5  # of the range of values: what on the border of a larger picture differs so much from the paper is ink
WHOLE = 0.9  # of a side: more ink is a rim
REACHED = 3  # sides: a digit that was cut out ends at all four, but for a soft edge, a margin line at two
UNEVEN = 0.6  # of the border at most is no paper
ENOUGH, LONGEST = 96, 448  # pixels of the shorter side once it is enlarged, and of the longer one at most
MARGIN = 0.25  # of the shorter side
ALIKE = 1 / 8  # of the range of values: what differs less from the paper is paper
QUIET = 0.4  # of the border: with less of it paper, light or a desk runs through it


class Enlarged(NamedTuple):
    """A picture [H, W] or [H, W, 3]; `zoom` pixels a side for each that was sent, and `margin` around all of them."""

    picture: Grey
    zoom: int = 1
    margin: int = 0

    def in_picture(self, box: Box, height: int, width: int) -> Box:
        """A box in pixels of the picture that was sent, height x width."""
        ends = []
        for start, length, limit in ((box.left, box.width, width), (box.top, box.height, height)):
            first = min(max(0, (start - self.margin) // self.zoom), limit - 1)
            end = min(-(-(start + length - self.margin) // self.zoom), limit)
            ends.append((first, max(1, end - first)))
        (left, across), (top, along) = ends
        return Box(left, top, across, along)


def enlarged(picture: Grey, least: int) -> Enlarged:
    """Of less than `least` pixels on its shorter side a picture is enlarged."""
    height, width = picture.shape[:2]
    zoom, large = 1, picture
    if min(height, width) < least:
        zoom = max(1, min(-(-ENOUGH // min(height, width)), LONGEST // max(height, width)))
    if zoom > 1:
        large = np.asarray(Image.fromarray(picture).resize((zoom * width, zoom * height), Image.Resampling.BICUBIC))
    paper = _paper(picture, min(height, width) < SMALL)
    if paper is None:
        return Enlarged(large, zoom)
    margin = round(MARGIN * zoom * min(height, width))
    framed = np.empty((large.shape[0] + 2 * margin, large.shape[1] + 2 * margin, *large.shape[2:]), np.uint8)
    framed[...] = paper
    framed[margin : margin + large.shape[0], margin : margin + large.shape[1]] = large
    return Enlarged(framed, zoom, margin)


def _paper(picture: Grey, small: bool) -> Grey | None:
    """What most of the border is, unless it is too uneven to be told or, of a large picture, no stroke ends there."""
    sides = picture[0], picture[-1], picture[:, 0], picture[:, -1]
    paper: NDArray[np.float64] = np.median(np.concatenate(sides), axis=0)
    spread = max(1, int(picture.max()) - int(picture.min()))
    off = [_most(abs(side - paper)) / spread for side in sides]
    if (np.concatenate(off) <= ALIKE).mean() < QUIET:
        return None
    if not small:
        inked = [0 < (side > INKED).mean() < WHOLE for side in off]
        if sum(inked) < REACHED or (np.concatenate(off) > ALIKE).mean() > UNEVEN:
            return None
    return paper.astype(np.uint8)


def _most(off: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the colours, where there are any, the one that is farthest off."""
    most: NDArray[np.float64] = off if off.ndim == 1 else off.max(axis=1)
    return most

"""Small pictures, of scanners that cut digits out and of thumbnails: enlarged, and given the margin that they lack.

Between strokes of a pixel or two there is nothing to cut at, and paper is not found around what fills its frame.
"""

from typing import NamedTuple

import numpy as np
from PIL import Image

from service.codecs.handwriting.drawing import Box
from service.codecs.handwriting.ink import Grey

SMALL = 96  # pixels of the shorter side: what is no longer gets a margin
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
    if min(height, width) >= SMALL or max(height, width) > LONGEST:
        return Enlarged(picture)
    zoom, large = 1, picture
    if min(height, width) < least:
        zoom = max(1, min(-(-ENOUGH // min(height, width)), LONGEST // max(height, width)))
        large = np.asarray(Image.fromarray(picture).resize((zoom * width, zoom * height), Image.Resampling.BICUBIC))
    paper = _paper(picture)
    if paper is None:
        return Enlarged(large, zoom)
    margin = round(MARGIN * zoom * min(height, width))
    framed = np.empty((large.shape[0] + 2 * margin, large.shape[1] + 2 * margin, *large.shape[2:]), np.uint8)
    framed[...] = paper
    framed[margin : margin + large.shape[0], margin : margin + large.shape[1]] = large
    return Enlarged(framed, zoom, margin)


def _paper(picture: Grey) -> Grey | None:
    """What most of the border is, unless it is too uneven to be told."""
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    paper = np.median(border, axis=0)
    alike = abs(border - paper) <= ALIKE * np.ptp(picture)
    if alike.ndim == 2:
        alike = alike.all(axis=1)
    return paper.astype(np.uint8) if alike.mean() >= QUIET else None

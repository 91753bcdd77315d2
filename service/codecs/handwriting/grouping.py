"""Which strokes make a digit, and in which order digits are read."""

from collections.abc import Iterator

import numpy as np

from service.codecs.handwriting.morphology import Mask
from service.codecs.handwriting.pieces import MAX_GROUPED, Pieces, joined, merged

LOW = 0.35  # of the usual height of digits: what is lower is none


def group(pieces: Pieces) -> Iterator[Mask]:
    """Which pieces each digit has, in reading order. Marks much lower than the digits, such as points, are none."""
    if not len(pieces.area):
        return
    digit = np.arange(len(pieces.area))
    if len(digit) <= MAX_GROUPED:
        digit = joined(len(digit), *np.nonzero(_together(pieces)))
    whole = merged(pieces.labels, digit, *pieces[2:])
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

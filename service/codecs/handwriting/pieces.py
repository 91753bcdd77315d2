"""The connected pieces of a mask."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.codecs.handwriting.morphology import Mask

Integers = NDArray[np.int64]

MAX_GROUPED = 1000  # pieces: with more of them it is no page of digits


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


def label(mask_HW: Mask) -> Pieces:
    """The connected pieces of a mask that is not empty. Neighbours touch at sides and corners."""
    height, width = mask_HW.shape
    stride = width + 1  # every row ends off the ink
    bordered = np.zeros(height * stride + 1, np.bool_)
    bordered[1:].reshape(height, stride)[:, :width] = mask_HW
    turns = np.flatnonzero(bordered[1:] != bordered[:-1])
    starts, ends = turns[::2], turns[1::2]  # of the runs of ink, rows one after the other
    # Each run touches runs of the next row from `first` on, if any, for they are sorted.
    first = np.searchsorted(ends, starts + stride)
    count = np.searchsorted(starts, ends + stride, side="right") - first
    below = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
    number = joined(len(starts), np.repeat(np.arange(len(starts)), count), below)
    values = np.full(len(turns) + 1, -1)
    values[1::2] = number
    lengths = np.diff(turns, prepend=0, append=height * stride)
    labels = np.repeat(values, lengths).reshape(height, stride)[:, :width]
    row, left = np.divmod(starts, stride)
    return merged(labels, number, left, row, left + ends - starts, row + 1, ends - starts)


def joined(count: int, these: Integers, those: Integers) -> Integers:
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


def merged(
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

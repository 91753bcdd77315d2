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
    edges = np.diff(mask_HW.astype(np.int8), axis=1, prepend=0, append=0)
    row, start = np.nonzero(edges == 1)
    end = np.nonzero(edges == -1)[1]
    # Each run of a row touches runs of the next one from `first` on, if any, for they are sorted.
    stride = mask_HW.shape[1] + 2
    first = np.searchsorted(row * stride + end, (row + 1) * stride + start)
    count = np.searchsorted(row * stride + start, (row + 1) * stride + end, side="right") - first
    below = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
    number = joined(len(row), np.repeat(np.arange(len(row)), count), below)
    labels = np.full(mask_HW.shape, -1)
    labels[mask_HW] = np.repeat(number, end - start)
    return merged(labels, number, start, row, end, row + 1, end - start)


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

"""Items of different lengths in one batch: filled up to the buckets of their axes, and cut back afterwards."""

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import Arrays, Axis, Graph, size_of

Lengths = dict[str, int]  # by axis


class Padding:
    """What to fill in for one graph."""

    def __init__(self, graph: Graph, axes: Mapping[str, Axis]) -> None:
        self._axes = {name: axes[name] for name in graph.axes if axes[name].buckets}
        self._inputs = {tensor.name: tensor.shape for tensor in graph.inputs}
        self._outputs = {tensor.name: tensor.shape for tensor in graph.outputs}
        self._dtypes = {tensor.name: tensor.dtype for tensor in graph.inputs}

    def fill(self, inputs: Arrays) -> tuple[Arrays, Lengths]:
        """The inputs, masks among them, as long as the next bucket of each axis, and how long they were."""
        lengths = self._lengths(inputs)
        rows, filled = len(next(iter(inputs.values()))), dict(inputs)
        for name, axis in self._axes.items():
            if axis.mask and axis.mask not in filled:
                filled[axis.mask] = np.ones((rows, lengths[name]), self._dtypes[axis.mask])
            length = self._bucket(axis, lengths[name])
            for tensor, array in filled.items():
                value = 0 if tensor == axis.mask else axis.padding
                for place, side in enumerate(self._inputs[tensor]):
                    if side == name:
                        filled[tensor] = array = _extended(array, place, length, value)
        return filled, lengths

    def size(self, inputs: Arrays) -> int:
        """Bytes of what `fill` makes of the inputs."""
        lengths, rows = self._lengths(inputs), len(next(iter(inputs.values())))
        filled = {name: self._bucket(axis, lengths[name]) for name, axis in self._axes.items()}
        size = 0
        for tensor, shape in self._inputs.items():
            padded = [side for side in shape if isinstance(side, str) and side in filled]
            places = prod(filled[side] for side in padded)
            if (array := inputs.get(tensor)) is None:  # a mask
                size += rows * places * np.dtype(self._dtypes[tensor]).itemsize
            else:
                size += size_of({tensor: array}) * places // prod(lengths[side] for side in padded)
        return size

    def _bucket(self, axis: Axis, length: int) -> int:
        return next(bucket for bucket in axis.buckets if bucket >= length)

    def cut(self, outputs: Arrays, lengths: Lengths) -> Arrays:
        """The outputs without what became of the padding."""
        return {name: self._cut(array, self._outputs[name], lengths) for name, array in outputs.items()}

    def _lengths(self, inputs: Arrays) -> Lengths:
        found = {
            side: length
            for tensor, array in inputs.items()
            for side, length in zip(self._inputs[tensor], array.shape, strict=True)
        }
        return {name: found[name] for name in self._axes}

    def _cut(self, array: NDArray[Any], shape: tuple[int | str, ...], lengths: Lengths) -> NDArray[Any]:
        return array[tuple(slice(lengths.get(side)) if isinstance(side, str) else slice(None) for side in shape)]


def _extended(array: NDArray[Any], place: int, length: int, value: float) -> NDArray[Any]:
    if (more := length - array.shape[place]) == 0:
        return array
    shape = (*array.shape[:place], more, *array.shape[place + 1 :])
    filling: Any = "" if array.dtype.kind in "UO" else value
    return np.concatenate([array, np.full(shape, filling, array.dtype)], axis=place)

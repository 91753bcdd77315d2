"""The sliding window in which what a model gets and gives is counted, by the bins of its bundle's histograms.

Counts are kept block by block, and no value outlives its batch. What is missing is not counted, as it is not in the
histograms.
"""

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import chain
from math import prod
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import Arrays, Attribute, CreditScoring, Histogram, Manifest, TabularPrediction, Tensor

BLOCKS = 24  # of a window

Column = Callable[[Arrays, Arrays], NDArray[Any]]  # a number per row, of inputs and outputs
Clock = Callable[[], float]


class Watch:
    """The window of one version in this worker."""

    def __init__(self, manifest: Manifest, window_s: float, clock: Clock = time.monotonic) -> None:
        told = {one.feature: one for one in manifest.reference}
        attributes = {one.name: place for place, one in enumerate(_attributes(manifest))}
        places = [attributes[name] for name in told if name in attributes]
        others = {name: _column(name, manifest) for name in told if name not in attributes}
        columns = {name: column for name, column in others.items() if column is not None}
        self.unwatched = [name for name in others if name not in columns]
        self.histograms = {name: told[name] for name in chain((name for name in told if name in attributes), columns)}
        self.window_s, self._clock = window_s, clock
        self._columns = [*_cells(manifest, places), *columns.values()]
        self._edges = _edges(list(self.histograms.values()))
        self._missing = _missing(manifest, places, len(columns))
        self._bins = _bins(self._edges, self._missing)
        self._above = np.zeros((BLOCKS, *self._edges.shape), np.int64)  # rows at or above each edge
        self._lone = [[0] * self._edges.size for _ in range(BLOCKS)]  # rows that came alone, by feature and bin
        self._block = 0
        self._lock = Lock()  # batches may run in threads

    def watching(self, run: Callable[[Arrays], Arrays]) -> Callable[[Arrays], Arrays]:
        """`run`, whose inputs and outputs are counted; `run` itself where there is nothing to count."""

        def watched(inputs: Arrays) -> Arrays:
            outputs = run(inputs)
            self.observe(inputs, outputs)
            return outputs

        return watched if self.histograms else run

    def observe(self, inputs: Arrays, outputs: Arrays) -> None:
        """Count the rows of a batch."""
        columns = [column(inputs, outputs) for column in self._columns]
        if len(columns[0]) == 1:
            found = self._bins_of(columns)
            with self._lock:
                lone = self._lone[self._turn()]
                for place in found:
                    lone[place] += 1
            return
        numbers_NF = np.column_stack(columns).astype(np.float32, copy=False)
        reached = (numbers_NF[:, None, :] >= self._edges) & (numbers_NF != self._missing)[:, None, :]
        with self._lock:
            self._above[self._turn()] += reached.sum(0)

    def _bins_of(self, columns: Sequence[NDArray[Any]]) -> list[int]:
        """Places in `_lone` of the only row of a batch.

        Without numpy: a model leaves so little in the processor's caches that each of its steps takes 5 microseconds.
        """
        numbers: list[float] = []
        for column in columns:
            found = column[0].tolist()
            numbers += found if isinstance(found, list) else (found,)
        return [
            start + bisect_right(edges, number)
            for number, (edges, start, missing) in zip(numbers, self._bins, strict=True)
            if number == number and number != missing
        ]

    def counts(self) -> dict[str, list[int]]:
        """Rows of the window in each bin, by feature."""
        with self._lock:
            self._turn()
            above, lone = self._above.sum(0), np.sum(self._lone, axis=0)
        counts = -np.diff(above, axis=0, append=0).T + lone.reshape(above.shape[::-1])
        return {
            name: row[: len(one.counts)].tolist()
            for (name, one), row in zip(self.histograms.items(), counts, strict=True)
        }

    def _turn(self) -> int:
        """Where to count now; blocks that the window has left are empty again."""
        block = int(self._clock() * BLOCKS / self.window_s)
        passed = min(block - self._block, BLOCKS)
        if passed > 0:
            for stale in range(block - passed + 1, block + 1):
                self._above[stale % BLOCKS] = 0
                self._lone[stale % BLOCKS] = [0] * self._edges.size
            self._block = block
        return block % BLOCKS


def _column(feature: str, manifest: Manifest) -> Column | None:
    """Where a feature is found in a batch: by the rule that `Histogram` tells of its name."""
    first, quantities = manifest.inputs[0], [one.name for one in getattr(manifest.task, "quantities", ())]
    if any(one.name == feature and one.shape == ("batch",) and one.dtype != "string" for one in manifest.inputs):
        return lambda inputs, _: inputs[feature]
    if any(one.name == feature and one.shape == ("batch",) for one in manifest.outputs):
        return lambda _, outputs: outputs[feature]
    if feature in quantities:
        place = quantities.index(feature)
        return lambda _, outputs: outputs["values"][:, place]
    if feature == "probabilities" and "probabilities" in {one.name for one in manifest.outputs}:
        return lambda _, outputs: outputs["probabilities"].argmax(1)
    if not feature.startswith("mean "):
        return None
    found = next((one for one in manifest.outputs if feature == f"mean {one.name}"), None)
    mean = _mean(found or first, manifest)
    if mean is None:
        return None
    if found:
        name = found.name
        return lambda _, outputs: mean(outputs[name])
    return lambda inputs, _: mean(inputs[first.name])


def _mean(tensor: Tensor, manifest: Manifest) -> Callable[[NDArray[Any]], NDArray[Any]] | None:
    """Of each item of such a tensor; None where it has texts, or is filled up to others' length."""
    axes = [manifest.axes[one] for one in tensor.shape[1:] if isinstance(one, str)]
    if tensor.dtype == "string" or any(one.buckets for one in axes):
        return None
    if axes:
        return lambda items: items.reshape(len(items), -1).mean(1)
    size = prod(int(one) for one in tensor.shape[1:])
    share = np.full(size, 1 / size, np.float32)  # in one step: `mean` takes three
    return lambda items: np.asarray(np.dot(items.reshape(-1, size), share))


def _edges(histograms: Sequence[Histogram]) -> NDArray[np.float32]:
    """The lower edges of the bins [bins, features], as precise as what the graph takes.

    What lies below the first counts to the first bin; where a histogram has fewer bins, nothing reaches the rest.
    """
    most = max((len(one.counts) for one in histograms), default=0)
    edges = np.full((len(histograms), most), np.nan, np.float32)
    for row, one in zip(edges, histograms, strict=True):
        row[: len(one.counts)] = -np.inf, *one.edges[1:-1]
    return np.ascontiguousarray(edges.T)


def _attributes(manifest: Manifest) -> Sequence[Attribute]:
    return manifest.task.attributes if isinstance(manifest.task, CreditScoring | TabularPrediction) else ()


def _cells(manifest: Manifest, places: list[int]) -> list[Column]:
    """The columns of a table's rows at `places`, in one piece; none where it has none."""
    name = manifest.inputs[0].name
    if places == list(range(len(_attributes(manifest)))):
        return [lambda inputs, _: inputs[name]] if places else []
    return [lambda inputs, _: inputs[name][:, places]] if places else []


def _missing(manifest: Manifest, places: list[int], others: int) -> NDArray[np.float32]:
    """What stands for a missing value, by column; NaN always does."""
    found = [_attributes(manifest)[place].missing for place in places]
    return np.array([np.nan if one is None else one for one in found] + [np.nan] * others, np.float32)


def _bins(edges: NDArray[np.float32], missing: NDArray[np.float32]) -> list[tuple[list[float], int, float]]:
    """By feature: the edges between its bins, the place of its first one among all, and what stands for missing."""
    inner = [column[~np.isnan(column)].tolist() for column in edges[1:].T]
    return [
        (one, place * len(edges), float(absent)) for place, (one, absent) in enumerate(zip(inner, missing, strict=True))
    ]

"""The sliding window in which what a model gets and gives is counted, by the bins of its bundle's histograms.

Counts are kept block by block, and no value outlives its batch. What is missing is not counted, as it is not in the
histograms.
"""

import time
from collections.abc import Callable, Sequence
from itertools import chain
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import Arrays, Attribute, CreditScoring, Histogram, Manifest, TabularPrediction

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
        self._above = np.zeros((BLOCKS, *self._edges.shape), np.int64)  # rows at or above each edge
        self._row = np.empty(len(self.histograms), np.float32)
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
        with self._lock:
            above = self._above[self._turn()]
            if len(columns[0]) == 1:
                above += self._reached(self._only(columns))
            else:
                above += self._reached(np.column_stack(columns).astype(np.float32, copy=False)[:, None, :]).sum(0)

    def _only(self, columns: list[NDArray[Any]]) -> NDArray[np.float32]:
        """The numbers of a batch of one row, put together in half the time."""
        start, row = 0, self._row
        for column in columns:
            end = start + column.size
            row[start:end] = column[0]
            start = end
        return row

    def _reached(self, numbers: NDArray[np.float32]) -> NDArray[np.bool_]:
        reached = numbers >= self._edges
        return reached if self._missing is None else reached & (numbers != self._missing)

    def counts(self) -> dict[str, list[int]]:
        """Rows of the window in each bin, by feature."""
        with self._lock:
            self._turn()
            above = self._above.sum(0)
        counts = -np.diff(above, axis=0, append=0).T
        return {
            name: row[: len(one.counts)].tolist()
            for (name, one), row in zip(self.histograms.items(), counts, strict=True)
        }

    def _turn(self) -> int:
        """Where to count now; blocks that the window has left are empty again."""
        block = int(self._clock() * BLOCKS / self.window_s)
        passed = min(block - self._block, BLOCKS)
        if passed > 0:
            stale = np.arange(block - passed + 1, block + 1) % BLOCKS
            self._above[stale] = 0
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
    if feature.startswith("mean ") and first.dtype != "string" and all(isinstance(one, int) for one in first.shape[1:]):
        return lambda inputs, _: _means(inputs[first.name])
    return None


def _means(array: NDArray[Any]) -> NDArray[Any]:
    """Of each item. `mean` itself takes longer for what it looks at before than for an item."""
    flat = array.reshape(len(array), -1)
    return np.asarray(np.add.reduce(flat, 1) / flat.shape[1])


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


def _missing(manifest: Manifest, places: list[int], others: int) -> NDArray[np.float32] | None:
    """What stands for a missing value, by column; None where nothing does."""
    found = [_attributes(manifest)[place].missing for place in places]
    if not any(one is not None for one in found):
        return None
    return np.array([np.nan if one is None else one for one in found] + [np.nan] * others, np.float32)

"""Drift: how far what a model gets and gives lately is from its training data, whose histograms its bundle has.

Each worker counts the rows of every batch into the bins of these histograms, block by block of a sliding window; no
value outlives its batch. The counts of all workers add up. From few rows nothing is told, neither how they compare nor
where they lie: it would tell of single ones.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from math import erfc, exp, lgamma, log, sqrt
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import Arrays, Histogram, Manifest

BLOCKS = 24  # of a window
LEAST_ROWS = 50  # from which on something is told
LEAST_EXPECTED = 5  # of a bin, or chi-squared says nothing of it
PRIOR = 0.5  # rows that every bin is given, for an empty one has no logarithm

Column = Callable[[Arrays, Arrays], NDArray[Any]]  # one number per row, of inputs and outputs
Clock = Callable[[], float]


class Comparison(NamedTuple):
    """`expected` is the mean of the index where nothing has drifted, `p_value` how often chance alone does as much."""

    psi: float
    expected: float
    p_value: float


class FeatureDrift(BaseModel):
    """Of one feature or output."""

    feature: str
    rows: int = Field(description="In the window.")
    psi: float | None = Field(description="Population stability index; null while there are too few rows.")
    expected_psi: float | None = Field(description="Its mean where nothing has drifted.")
    p_value: float | None = Field(description="How often chance alone differs as much where nothing has drifted.")
    edges: list[float] = Field(description="Of the bins; what lies beyond the outer ones counts to the outer bins.")
    reference: list[int] = Field(description="Rows of the training data in each bin.")
    counts: list[int] | None = Field(description="Rows of the window in each bin; null while there are too few.")


class DriftReport(BaseModel):
    model: dict[str, str]
    window_s: float
    features: list[FeatureDrift]
    unwatched: list[str] = Field(description="Histograms of the bundle that speak of nothing the service can see.")


class Watch:
    """The window of one version in this worker."""

    def __init__(self, manifest: Manifest, window_s: float, clock: Clock = time.monotonic) -> None:
        found = {one.feature: (one, _column(one.feature, manifest)) for one in manifest.reference}
        watched = {name: (one, column) for name, (one, column) in found.items() if column is not None}
        self.histograms = {name: histogram for name, (histogram, _) in watched.items()}
        self.unwatched = [name for name in found if name not in watched]
        self.window_s, self._clock = window_s, clock
        self._columns = [column for _, column in watched.values()]
        self._edges = _inner_edges(list(self.histograms.values()))
        self._above = np.zeros((BLOCKS, *self._edges.shape), np.int64)  # rows at or above each edge
        self._rows = np.zeros(BLOCKS, np.int64)
        self._block = 0
        self._lock = Lock()  # batches may run in threads

    def watching(self, run: Callable[[Arrays], Arrays]) -> Callable[[Arrays], Arrays]:
        """`run`, whose inputs and outputs are counted; `run` itself where there is nothing to count."""

        def watched(inputs: Arrays) -> Arrays:
            outputs = run(inputs)
            self.observe(inputs, outputs)
            return outputs

        return watched if self._columns else run

    def observe(self, inputs: Arrays, outputs: Arrays) -> None:
        """Count the rows of a batch."""
        numbers_NF = np.array([column(inputs, outputs) for column in self._columns], np.float32).T
        above = (numbers_NF[:, :, None] >= self._edges).sum(0)  # NaN is below every edge
        with self._lock:
            block = self._turn()
            self._above[block] += above
            self._rows[block] += len(numbers_NF)

    def counts(self) -> dict[str, list[int]]:
        """Rows of the window in each bin, by feature."""
        with self._lock:
            self._turn()
            above, rows = self._above.sum(0), int(self._rows.sum())
        cumulative = np.pad(above, ((0, 0), (1, 1)))
        cumulative[:, 0] = rows
        counts = -np.diff(cumulative, axis=1)
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
            self._above[stale], self._rows[stale] = 0, 0
            self._block = block
        return block % BLOCKS


def _column(feature: str, manifest: Manifest) -> Column | None:
    """Where a feature is found in a batch: by the rule that `Histogram` tells of its name."""
    task, first = manifest.task, manifest.inputs[0]
    attributes = [one.name for one in getattr(task, "attributes", ())]
    quantities = [one.name for one in getattr(task, "quantities", ())]
    if feature in attributes:
        place, name = attributes.index(feature), first.name
        return lambda inputs, _: inputs[name][:, place]
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
        return lambda inputs, _: inputs[first.name].reshape(len(inputs[first.name]), -1).mean(1)
    return None


def _inner_edges(histograms: Sequence[Histogram]) -> NDArray[np.float32]:
    """The edges between bins [features, edges], as precise as what the graph takes; infinite where there are fewer."""
    most = max((len(one.edges) - 2 for one in histograms), default=0)
    edges = np.full((len(histograms), most), np.inf, np.float32)
    for row, one in zip(edges, histograms, strict=True):
        row[: len(one.edges) - 2] = one.edges[1:-1]
    return edges


def compare(reference: Sequence[float], seen: Sequence[float]) -> Comparison | None:
    """How far the counts `seen` are from those of the training data; None where too few are to tell.

    Bins that hardly anybody is in count as one. Both are samples: without drift the index is about (1/n + 1/m) times
    a chi-squared of one degree less than there are bins (Yurdakul, Statistical properties of the population stability
    index, 2018); the p-value is that of Pearson's test of homogeneity, which is truer where bins have few rows.
    """
    m, n = sum(reference), sum(seen)
    if not m or n < LEAST_ROWS:
        return None
    a, b = _pooled(np.array([reference, seen], np.float64), min(n, m) / (n + m))
    degrees = len(a) - 1
    p, q = ((count + PRIOR) / (count.sum() + PRIOR * len(a)) for count in (a, b))
    psi = float(((q - p) * np.log(q / p)).sum())
    statistic = float(((sqrt(n / m) * a - sqrt(m / n) * b) ** 2 / (a + b)).sum())
    return Comparison(psi, degrees * (1 / n + 1 / m), chi_squared_tail(statistic, degrees))


def _pooled(counts: NDArray[np.float64], smaller: float) -> NDArray[np.float64]:
    """Counts [2, bins] with the rare bins together; `smaller` is the smaller sample's share of both."""
    common = counts.sum(0) * smaller >= LEAST_EXPECTED
    kept, rare = counts[:, common], counts[:, ~common].sum(1)
    if rare.sum() * smaller >= LEAST_EXPECTED or not common.any():
        return np.column_stack([kept, rare])
    kept[:, kept.sum(0).argmin()] += rare
    return kept


def chi_squared_tail(statistic: float, degrees: int) -> float:
    """How often a chi-squared of whole `degrees` of freedom is as large: 1 for none."""
    if degrees < 1 or statistic <= 0:
        return 1.0
    half, odd = statistic / 2, degrees % 2
    powers = [odd / 2 + i for i in range(degrees // 2)]
    terms = sum(exp(power * log(half) - half - lgamma(power + 1)) for power in powers)
    return min(1.0, terms + (erfc(sqrt(half)) if odd else 0.0))


def report(manifest: Manifest, watch: Watch, counts: Mapping[str, Sequence[float]]) -> DriftReport:
    """`counts` are those of all workers, by feature."""
    features = [_told(one, counts.get(name, [0] * len(one.counts))) for name, one in watch.histograms.items()]
    return DriftReport(model=manifest.identity, window_s=watch.window_s, features=features, unwatched=watch.unwatched)


def _told(histogram: Histogram, counts: Sequence[float]) -> FeatureDrift:
    found = compare(histogram.counts, counts)
    return FeatureDrift(
        feature=histogram.feature,
        rows=int(sum(counts)),
        psi=found and found.psi,
        expected_psi=found and found.expected,
        p_value=found and found.p_value,
        edges=list(histogram.edges),
        reference=list(histogram.counts),
        counts=[int(count) for count in counts] if found else None,
    )

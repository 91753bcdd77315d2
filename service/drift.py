"""Drift: how far what a model gets and gives lately is from its training data, whose histograms its bundle has.

Each worker counts in a window of its own (`watch`), and the counts add up. Of few rows nothing is told, neither how
they compare nor where they lie: it would tell of single ones.
"""

from collections.abc import Mapping, Sequence
from math import erfc, exp, lgamma, log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import Histogram, Manifest
from service.watch import Watch

LEAST_ROWS = 50  # from which on something is told
LEAST_EXPECTED = 5  # of a bin, or chi-squared says nothing of it
PRIOR = 0.5  # rows that every bin is given, for an empty one has no logarithm


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

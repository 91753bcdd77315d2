"""Figures measured on held-out data, each with its 95 % confidence interval."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from service.bundle import Arrays, Histogram, Metric

Predict = Callable[[Arrays], Arrays]
"""A bundle's graph: inputs by name, any number of rows, to outputs by name."""

Z95 = 1.959964  # the 97.5 % quantile of the standard normal distribution


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a recipe found out about its model. The first metric is the headline.

    `pictures` maps a file stem, which is also the caption ("confusion-matrix"), to PNG bytes.
    """

    metrics: tuple[Metric, ...]
    pictures: dict[str, bytes] = field(default_factory=dict)
    reference: tuple[Histogram, ...] = ()


def wilson(successes: int, count: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson, JASA 22:209, 1927): sound near 0 and 1, where the normal one is not."""
    share, z = successes / count, Z95
    centre = share + z * z / (2 * count)
    spread = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    scale = 1 + z * z / count
    # At 0 and 1 a bound is the share itself, which rounding would miss.
    return min(share, max(0.0, (centre - spread) / scale)), max(share, min(1.0, (centre + spread) / scale))


def proportion(name: str, successes: int, count: int, **details: Any) -> Metric:
    """The share of `count` samples that succeeded, with its Wilson interval."""
    low, high = wilson(successes, count)
    return Metric(name=name, value=successes / count, low=low, high=high, count=count, **details)


def bootstrapped(
    name: str,
    statistic: Callable[..., float],
    *samples: ArrayLike,
    resamples: int = 1000,
    seed: int = 0,
    **details: Any,
) -> Metric:
    """A statistic of paired `samples` (rows along axis 0), with its percentile bootstrap interval.

    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    columns = [np.asarray(sample) for sample in samples]
    count = len(columns[0])
    generator = np.random.default_rng(seed)
    draws = []
    for _ in range(resamples):
        rows = generator.integers(count, size=count)
        draws.append(statistic(*(column[rows] for column in columns)))
    low, high = np.quantile(draws, (0.025, 0.975))
    value = float(statistic(*columns))
    return Metric(name=name, value=value, low=float(low), high=float(high), count=count, **details)


def clustered(name: str, successes_CN: ArrayLike, **details: Any) -> Metric:
    """The share of successes among N samples of each of C clusters, which alone are independent.

    The interval is the bootstrap's over whole clusters, and `count` is their number. Where all succeeded or all failed,
    which resampling cannot doubt, it is Wilson's of as many samples as there are clusters.
    """
    shares = np.asarray(successes_CN).mean(1)
    if shares.min() == 1 or shares.max() == 0:
        return proportion(name, int(shares.sum()), len(shares), **details)
    return bootstrapped(name, np.mean, shares, **details)


def calibration_error(confidence: NDArray[Any], correct: NDArray[Any], bins: int = 15) -> float:
    """Expected calibration error in [0, 1] over equal-width bins (Guo et al., ICML 2017, equation 3)."""
    excess = _by_bin(confidence, correct - confidence, bins)
    return float(np.abs(excess).sum() / len(confidence))


def calibration(
    confidence: NDArray[Any], correct: NDArray[Any], bins: int = 15, draws: int = 1000, seed: int = 0
) -> Metric:
    """The calibration error; its interval holds the true ones under which such a measurement is no surprise.

    A sum of sizes is too large by what chance adds to it, and resampling adds more: the bootstrap's interval lies above
    the truth. Here true errors are tried out, with normal draws of the excess of correct answers in each bin, and those
    are kept for which the measured one lies between the 2.5 % and the 97.5 % quantile of what they would measure.
    """
    confidence = np.asarray(confidence, np.float64)
    count, value = len(confidence), calibration_error(confidence, correct, bins)
    size, excess = (_by_bin(confidence, values, bins) for values in (np.ones(count), correct - confidence))
    chance, beside = (_deviation(confidence, shift) for shift in (np.zeros(bins), excess / np.maximum(size, 1)))
    truths = np.linspace(0, value + 2 * np.maximum(chance, beside).sum() / count, 100)
    noise = np.random.default_rng(seed).standard_normal((draws, bins))
    misses = []
    for spread in _spreads(excess, chance) or [-size / count]:
        for truth in truths * count:
            deviation = _deviation(confidence, truth * spread / np.maximum(size, 1))
            measured = np.abs(truth * spread + deviation * noise).sum(1) / count
            low, high = np.quantile(measured, (0.025, 0.975))
            misses.append(max(low - value, value - high))
    miss = np.reshape(misses, (-1, len(truths))).min(0)
    kept = truths[miss <= max(0, miss.min())]  # the nearest where all miss
    by_chance = np.abs(chance * noise).sum(1).mean() / count
    return Metric(
        name="calibration error",
        value=value,
        low=min(value, float(kept.min())),
        high=max(value, float(kept.max())),
        count=count,
        description=f"expected calibration error, {bins} bins; {by_chance:.2g} would be there by chance",
    )


def _spreads(excess: NDArray[Any], chance: NDArray[Any]) -> list[NDArray[Any]]:
    """How an error may be shared among the bins: as measured, or as what is beyond a standard deviation of chance."""
    clear = np.sign(excess) * np.maximum(np.abs(excess) - chance, 0)
    return [shape / np.abs(shape).sum() for shape in (excess, clear) if shape.any()]


def _deviation(confidence: NDArray[np.float64], shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the number of correct answers in each bin, where their probability is the confidence moved by `shift`."""
    bins = len(shift)
    probability = np.clip(confidence + shift[_bin(confidence, bins)], 0, 1)
    deviation: NDArray[np.float64] = np.sqrt(_by_bin(confidence, probability * (1 - probability), bins))
    return deviation


def _by_bin(confidence: NDArray[Any], values: NDArray[Any], bins: int) -> NDArray[Any]:
    """The sum of `values` in each bin of confidence."""
    return np.bincount(_bin(confidence, bins), weights=values, minlength=bins)


def _bin(confidence: NDArray[Any], bins: int) -> NDArray[np.int64]:
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def histogram(feature: str, values: ArrayLike, edges: Iterable[float]) -> Histogram:
    """How a feature of the training data is distributed, the reference for drift; only values within the edges."""
    bounds = tuple(float(edge) for edge in edges)
    counts, _ = np.histogram(np.asarray(values), bins=bounds)
    return Histogram(feature=feature, edges=bounds, counts=tuple(int(count) for count in counts))


def outcomes(output: str, values: NDArray[np.floating]) -> Histogram:
    """How what a model gives for its training data is distributed, a tenth in each bin."""
    return histogram(output, values, np.unique(np.quantile(values, np.linspace(0, 1, 11))))


def differences(before: tuple[Metric, ...], after: tuple[Metric, ...]) -> list[str]:
    """Where two measurements of one model disagree, in words.

    A twentieth of the interval is let through: another processor's rounding may tip a borderline sample.
    """
    found = []
    if [metric.name for metric in before] != [metric.name for metric in after]:
        found.append(f"the figures are {_listed(after)} and not {_listed(before)}")
    fresh = {metric.name: metric for metric in after}
    for old in before:
        new = fresh.get(old.name, old)
        if abs(new.value - old.value) > 0.05 * (old.high - old.low) + 1e-6 * abs(old.value):
            found.append(f"{old.name} is {new.value:.6g} and not {old.value:.6g}")
    return found


def _listed(metrics: tuple[Metric, ...]) -> str:
    return ", ".join(metric.name for metric in metrics)

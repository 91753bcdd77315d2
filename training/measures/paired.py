"""Two models on the same held-out rows: which of them got which row right."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from service.bundle import Metric
from training.measures.evaluation import Z95


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Whether each of N held-out rows was answered rightly, and the slices [N] of them that are looked at, by name.

    slight  a share of rows that another seed may cost: no harm
    """

    right: NDArray[np.bool_]
    slices: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    slight: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Scores:
    """A headline figure that is no share of rows, by what it is computed of.

    statistic  of what the model gives, and then of the truth, each with N items along its first axis; the less the
               better where `error`, else the more
    items      what is resampled: rows, people, origins of forecasts
    slight     a loss that another seed may bring: no harm
    """

    statistic: Callable[..., float]
    given: tuple[NDArray[Any], ...]
    truth: tuple[NDArray[Any], ...] = ()
    error: bool = False
    items: str = "rows"
    slices: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    slight: float = 0.0

    def value(self, chosen: NDArray[Any]) -> float:
        """The figure of some of the items, by their places."""
        return self.statistic(*(column[chosen] for column in (*self.given, *self.truth)))


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What a candidate gained over the served model: in `share`, and in rows that only one of the two got right.

    `chance` is how often two models, of which the candidate is worse by no more than is slight, would differ by so
    much to its harm: McNemar's test with its exact distribution (Psychometrika 12:153, 1947).
    """

    share: Metric
    gained: int
    lost: int
    chance: float


def classes(answer: NDArray[Any], truth: NDArray[Any], labels: Sequence[object], slight: float = 0.0) -> Rows:
    """Rows with a slice for each class of the truth, which are indices of `labels`."""
    slices = {f"class {label}": truth == index for index, label in enumerate(labels)}
    there = {name: mask for name, mask in slices.items() if mask.any()}
    return Rows(right=answer == truth, slices=there, slight=slight)


def difference(before: NDArray[np.bool_], after: NDArray[np.bool_], slight: float = 0.0) -> Difference:
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    count, net, apart = len(before), gained - lost, gained + lost
    lost_share = min(1.0, (1 + slight * count / apart) / 2) if apart else 1.0  # of rows apart, those that are lost
    chance = binomtest(lost, apart, lost_share, alternative="greater").pvalue if apart else 1.0
    spread = Z95 * sqrt(gained + lost - net * net / count) / count  # Agresti, Categorical Data Analysis, 2002, 10.1
    share = Metric(
        name="difference", value=net / count, low=net / count - spread, high=net / count + spread, count=count
    )
    return Difference(share=share, gained=gained, lost=lost, chance=float(chance))


def gain(
    before: Scores, after: Scores, among: NDArray[np.bool_] | None = None, draws: int = 1000
) -> tuple[Metric, float]:
    """What a candidate gains, by the bootstrap over items that both models are asked, and its chance.

    The chance is the share of draws without a loss that is more than slight (Efron and Tibshirani, 1993, chapter 13):
    in one of forty comparisons of two equally good models it is 2.5 % or less. A draw in which a figure does not exist
    is left out.
    """
    places = np.arange(len(before.given[0])) if among is None else np.flatnonzero(among)
    generator, sign, gains = np.random.default_rng(0), -1 if before.error else 1, []
    value = sign * (after.value(places) - before.value(places))
    for _ in range(draws):
        drawn = generator.choice(places, len(places))
        with np.errstate(all="ignore"):
            one = sign * (after.value(drawn) - before.value(drawn))
        gains += [one] if np.isfinite(one) else []
    low, high = np.quantile(gains, (0.025, 0.975)) if gains else (value, value)
    found = Metric(name="gain", value=value, low=float(low), high=float(high), count=len(places))
    return found, float(np.mean(np.array(gains) >= -before.slight)) if gains else 1.0

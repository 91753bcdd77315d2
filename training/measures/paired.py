"""Two models on the same held-out rows: which of them got which row right."""

from collections.abc import Sequence
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
    """Whether each of N held-out rows was answered rightly, and the slices [N] of them that are looked at, by name."""

    right: NDArray[np.bool_]
    slices: dict[str, NDArray[np.bool_]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What a candidate gained over the served model: in `share`, and in rows that only one of the two got right.

    `chance` is how often two equally good models would differ by so much to the candidate's harm: McNemar's test with
    its exact distribution (Psychometrika 12:153, 1947).
    """

    share: Metric
    gained: int
    lost: int
    chance: float


def classes(answer: NDArray[Any], truth: NDArray[Any], labels: Sequence[object]) -> Rows:
    """Rows with a slice for each class of the truth, which are indices of `labels`."""
    slices = {f"class {label}": truth == index for index, label in enumerate(labels)}
    return Rows(right=answer == truth, slices={name: mask for name, mask in slices.items() if mask.any()})


def difference(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> Difference:
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    chance = binomtest(lost, gained + lost, alternative="greater").pvalue if gained + lost else 1.0
    count, net = len(before), gained - lost
    spread = Z95 * sqrt(gained + lost - net * net / count) / count  # Agresti, Categorical Data Analysis, 2002, 10.1
    share = Metric(
        name="difference", value=net / count, low=net / count - spread, high=net / count + spread, count=count
    )
    return Difference(share=share, gained=gained, lost=lost, chance=float(chance))

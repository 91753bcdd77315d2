"""How far chance carries a figure: one recipe trained under several seeds, as it is and with something taken away."""

import json
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from scipy import stats

from service.bundle import Record

REPEATS = "repeats.json"  # beside the card of the bundle that it is about


@dataclass(frozen=True)
class Difference:
    """Mean of one training's figures less another's, seed by seed, with Student's 95 % interval."""

    name: str
    mean: float
    low: float
    high: float


class Training(Record):
    """One kind of training: the `changes` of the recipe's hyper-parameters, and the figure under each seed."""

    name: str
    changes: dict[str, Any]
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        return mean(self.values)

    @property
    def deviation(self) -> float:
        """Of a sample: n - 1 in the denominator."""
        return stdev(self.values)


class Repeats(Record):
    """The same headline figure of several trainings, the recipe's own first."""

    command: str
    metric: str
    unit: str
    seeds: tuple[int, ...]
    trainings: tuple[Training, ...]

    @property
    def differences(self) -> list[Difference]:
        """Of every other training from the first."""
        own, *others = self.trainings
        return [_difference(other, own) for other in others]


def _difference(left: Training, right: Training) -> Difference:
    pairs = [a - b for a, b in zip(left.values, right.values, strict=True)]
    reach = float(stats.t.ppf(0.975, len(pairs) - 1)) * stdev(pairs) / sqrt(len(pairs))
    return Difference(f"{left.name} less {right.name}", mean(pairs), mean(pairs) - reach, mean(pairs) + reach)


def read(folder: Path) -> Repeats | None:
    """The repeats of the bundle in `folder`, where there are any."""
    path = folder / REPEATS
    return Repeats.model_validate_json(path.read_bytes()) if path.exists() else None


def write(folder: Path, repeats: Repeats) -> None:
    (folder / REPEATS).write_text(json.dumps(repeats.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")

"""What is answered of series and of the sales of a year."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from quartet_client.answers import Answer, Model


@dataclass(frozen=True)
class Interval(Answer):
    """Where each value lies with the probability `level`."""

    level: float
    low: list[float]
    high: list[float]


@dataclass(frozen=True)
class Forecast(Answer):
    """`values` of the steps that come, the next one first."""

    parts = {"intervals": Interval}

    values: list[float]
    intervals: list[Interval] = field(default_factory=list)


@dataclass(frozen=True)
class Forecasts(Answer, Sequence[Forecast]):
    """A forecast for each history, in their order. `frequency` is that of the steps which the model knows."""

    parts = {"model": Model, "forecasts": Forecast}

    model: Model
    forecasts: list[Forecast]
    frequency: str = ""

    def __len__(self) -> int:
        return len(self.forecasts)

    def __getitem__(self, index: Any) -> Any:
        return self.forecasts[index]


@dataclass(frozen=True)
class SalesOption(Answer):
    """How probably a year reaches its target; `quantiles` of its total, by the share of draws that lie below."""

    probability: float
    quantiles: dict[str, float]


@dataclass(frozen=True)
class SalesForecasts(Answer):
    """For each year an answer by each option, a way to draw the `draws` values of each month that is left."""

    model: Model
    seed: int
    draws: int
    forecasts: list[dict[str, SalesOption]]

    parts = {"model": Model}

    @classmethod
    def _part(cls, name: str, value: Any) -> Any:
        if name == "forecasts":
            return [{option: SalesOption.of(found) for option, found in one.items()} for one in value]
        return super()._part(name, value)

"""Sales of a year: months of earlier years and what this one has reached -> the chance of a target, by Monte Carlo.

The draws are made here, not in the graph: forecast i of a seed has its own counter-based stream, as samples have.
"""

import secrets
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import orjson
import simdjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import Arrays, Manifest, SalesForecasting
from service.codecs.arrays import fields_of, numeric_array, read_array
from service.errors import InvalidShape, InvalidValue
from service.limits import Limits
from service.messages import JSON, Answer, Request
from service.task import Body, Example, Option, Payload, Prepared, Task

FIELD = "forecasts"
MONTHS = 12
LARGEST = 1e12  # of a month's sales, either way
MAX_SEED = 2**63 - 1
LEAST = np.float32(2**-24)  # of a uniform draw, and its distance from 1: its normal quantile is finite


def parse_seed(value: object, name: str) -> int | None:
    if value is None:
        return None
    digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20
    number = int(value) if digits and isinstance(value, str) else value
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MAX_SEED:
        raise InvalidValue(f"Must be a whole number of at least 0, at most {MAX_SEED}, in digits alone.", name)
    return number


SEED = Option("seed", "Of the draws; drawn anew when none is given.", {"type": "integer", "minimum": 0}, parse_seed)


class SalesOfAYear(BaseModel, extra="forbid"):
    history: list[list[float]] = Field(description="Twelve months for each earlier year, three years or more.")
    months: int = Field(ge=0, le=11, description="How many months of this year have passed.")
    reached: float = Field(description="What they sold together.")
    target: float = Field(description="Of the year's total.")


class SalesRequest(BaseModel, extra="forbid"):
    """Histories of a request are of the same number of years."""

    forecasts: list[SalesOfAYear]
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED, description="Drawn anew when none is given.")
    model: str | None = None
    version: str | None = None


class OptionForecast(BaseModel):
    probability: float = Field(description="That the year reaches its target.")
    quantiles: dict[str, float] = Field(description="Of the year's total, by the share of draws that lie below.")


class SalesAnswer(BaseModel):
    """Each forecast by the options of the model: ways to draw the months that are left."""

    model: dict[str, str]
    seed: int
    draws: int = Field(description="For each month that is left.")
    forecasts: list[dict[str, OptionForecast]]


class Year(NamedTuple):
    """`state` is the months passed, what they reached, and the target."""

    history: NDArray[np.float64]
    state: tuple[float, float, float]


def read_json(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
    items, document = read_array(request.body, FIELD, fields, limits)
    return Body([_year(item, f"{FIELD}[{i}]") for i, item in enumerate(items)], document)


def _year(item: object, path: str) -> Year:
    if isinstance(item, simdjson.Object):
        item = fields_of(item, path)
    if not isinstance(item, dict):
        raise InvalidValue("Must be an object.", path)
    known = SalesOfAYear.model_fields.keys()
    if unknown := item.keys() - known:
        raise InvalidValue("Unknown field.", f"{path}.{min(unknown)}")
    if lacking := known - item.keys():
        raise InvalidValue("Missing.", f"{path}.{min(lacking)}")
    months = item["months"]
    if not isinstance(months, int) or isinstance(months, bool) or not 0 <= months < MONTHS:
        raise InvalidValue("Must be a whole number from 0 to 11.", f"{path}.months")
    reached, target = (_amount(item[name], f"{path}.{name}") for name in ("reached", "target"))
    return Year(_history(item["history"], f"{path}.history"), (months, reached, target))


def _amount(value: object, path: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not -LARGEST <= value <= LARGEST:
        raise InvalidValue(f"Must be a number from {-LARGEST:g} to {LARGEST:g}.", path)
    return float(value)


def _history(value: object, path: str) -> NDArray[np.float64]:
    history = _plain(value, path) if isinstance(value, list) else numeric_array(value, path)
    if history.ndim != 2 or history.shape[1] != MONTHS:
        raise InvalidShape(f"Must be {MONTHS} numbers for each year.", path)
    if not (np.abs(history) <= LARGEST).all():
        raise InvalidValue(f"Every number must be from {-LARGEST:g} to {LARGEST:g}.", path)
    return history


def _plain(years: list[Any], path: str) -> NDArray[np.float64]:
    for place, year in enumerate(years):
        if not isinstance(year, list) or len(year) != MONTHS:
            raise InvalidShape(f"Must be {MONTHS} numbers for each year.", f"{path}[{place}]")
        for month, number in enumerate(year):
            _amount(number, f"{path}[{place}][{month}]")
    return np.array(years, np.float64)


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    task, years = manifest.task, payload.samples
    assert isinstance(task, SalesForecasting)
    axis, lengths = manifest.axes["years"], [len(year.history) for year in years]
    for i, length in enumerate(lengths):
        if not axis.least <= length <= axis.most:
            raise InvalidShape(f"Must have {axis.least} to {axis.most} years, got {length}.", f"{FIELD}[{i}].history")
        if length != lengths[0]:
            raise InvalidShape("Must have as many years as the first.", f"{FIELD}[{i}].history")
    limits.claim(8 * len(years) * MONTHS * task.draws, FIELD)
    seed = payload.options.get(SEED.name, secrets.randbelow(MAX_SEED))
    inputs: Arrays = {
        "history": np.stack([year.history for year in years]).astype(np.float32),
        "state": np.array([year.state for year in years], np.float32),
        "uniform": np.stack([uniform(seed, i, task.draws) for i in range(len(years))]),
    }
    return Prepared(inputs, seed)


def uniform(seed: int, number: int, draws: int) -> NDArray[np.float32]:
    """[12, draws] between 0 and 1, of forecast `number` of a seed."""
    stream = np.random.Generator(np.random.Philox(key=[seed, number]))
    return np.clip(stream.random((MONTHS, draws), np.float32), LEAST, 1 - LEAST)


def write_json(outputs: Arrays, seed: int, manifest: Manifest) -> Answer:
    task = manifest.task
    assert isinstance(task, SalesForecasting)
    names = [f"{quantile:g}" for quantile in task.quantiles]
    forecasts = [
        {
            option: {"probability": float(chance), "quantiles": dict(zip(names, row, strict=True))}
            for option, chance, row in zip(task.options, chances, rows, strict=True)
        }
        for chances, rows in zip(outputs["probability"], outputs["quantiles"].tolist(), strict=True)
    ]
    body = {"model": manifest.identity, "seed": seed, "draws": task.draws, "forecasts": forecasts}
    return Answer(orjson.dumps(body))


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    task = manifest.task
    assert isinstance(task, SalesForecasting)
    items = [
        {"history": history.tolist(), "months": int(passed), "reached": float(reached), "target": float(target)}
        for history, (passed, reached, target) in zip(inputs["history"], inputs["state"], strict=True)
    ]

    def check(answer: bytes) -> None:
        """The golden draws are fewer and others: only what holds for any can be said."""
        given = orjson.loads(answer)["forecasts"]
        for item, forecast in zip(items, given, strict=True):
            for option in task.options:
                totals = list(forecast[option]["quantiles"].values())
                if totals != sorted(totals) or not 0 <= forecast[option]["probability"] <= 1:
                    raise ValueError(f"{forecast} is no forecast for {item}")

    yield Example("JSON", orjson.dumps({FIELD: items, "seed": 7}), JSON, check)


TASK = Task(
    name="forecast_sales",
    path="/v1/sales/forecast",
    summary="The chance that a year reaches its target, from the months of earlier years",
    kind="sales-forecasting",
    readers={JSON: read_json},
    writers={JSON: write_json},
    request_form=SalesRequest,
    answer_form=SalesAnswer,
    prepare=prepare,
    examples=examples,
    options=(SEED,),
)

"""Series of numbers, each a value per step of time -> what comes next, and between which bounds it lies."""

from collections.abc import Iterator, Sequence
from itertools import islice, repeat
from typing import Any, NamedTuple

import numpy as np
import orjson
import simdjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import Arrays, Manifest, SeriesForecasting
from service.codecs.arrays import numeric_array, read_array
from service.codecs.cells import NO_ROW, Reader, decoded, text_lines
from service.codecs.decimals import DECIMAL, POINT, mark_of, written
from service.errors import EmptyBody, InvalidShape, InvalidValue, MalformedBody
from service.limits import Limits
from service.messages import CSV, JSON, Answer, Request
from service.task import Body, Example, Option, Payload, Prepared, Task

FIELD = "series"
MOST_STEPS = 2**16  # rows of a CSV
CELL = 40  # bytes of memory for a byte of a CSV, of which a cell has two at least


def _parse_horizon(value: object, name: str) -> int | None:
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 9 else value
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise InvalidValue("Must be a whole number of 1 or more.", name)
    return number


def _parse_levels(value: object, name: str) -> tuple[float, ...]:
    """Of a list in the body, or of numbers with commas between them in the query."""
    if isinstance(value, simdjson.Array):
        value = value.as_list()
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or len(parts) > 100:
        raise InvalidValue("Must be an array of numbers such as 0.8.", name)
    found = [float(one) if isinstance(one, str) and DECIMAL.fullmatch(one) else one for one in parts]
    if not all(isinstance(one, float | int) and not isinstance(one, bool) and 0 < one < 1 for one in found):
        raise InvalidValue("Every level must be a number between 0 and 1, such as 0.8.", name)
    return tuple(map(float, found))


HORIZON = Option(
    "horizon", "How many steps to forecast; as many as the model can by default.", {"type": "integer"}, _parse_horizon
)
LEVELS = Option(
    "levels",
    "Of the prediction intervals: how probably a value lies in each. All that the model has by default.",
    {"type": "string", "examples": ["0.8,0.95"]},
    _parse_levels,
)


class ForecastRequest(BaseModel, extra="forbid"):
    """Histories of any lengths, their values in the order of time and equal steps apart."""

    series: list[list[float]]
    horizon: int | None = Field(default=None, ge=1)
    levels: list[float] | None = None
    model: str | None = None
    version: str | None = None


class Interval(BaseModel):
    level: float = Field(description="How probably a value lies between the two.")
    low: list[float]
    high: list[float]


class Forecast(BaseModel):
    values: list[float] = Field(description="One per step, the next one first.")
    intervals: list[Interval]


class ForecastAnswer(BaseModel):
    model: dict[str, str]
    frequency: str = Field(description="Of the steps that the model knows, such as month.")
    forecasts: list[Forecast]


class Wanted(NamedTuple):
    """Steps, and the places of the levels among those of the model."""

    horizon: int
    levels: Sequence[int]


def read_json(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
    rows, document = read_array(request.body, FIELD, fields, limits)
    return Body([_numbers(row, f"{FIELD}[{i}]") for i, row in enumerate(rows)], document)


def _numbers(row: object, field: str) -> NDArray[np.float64]:
    if isinstance(row, list):
        for place, value in enumerate(row):
            if not isinstance(value, float | int) or isinstance(value, bool):
                raise InvalidValue("Must be a number.", f"{field}[{place}]")
        try:
            return np.array(row, np.float64)
        except OverflowError:
            raise InvalidValue("Every number must be finite as float32.", field) from None
    numbers = numeric_array(row, field)
    if numbers.ndim != 1:
        raise InvalidShape("Must be an array of numbers.", field)
    return numbers


def read_csv(request: Request, limits: Limits, _: frozenset[str]) -> Body:
    """A column per series below a line of their names. A series that begins later has empty cells before."""
    limits.claim(CELL * len(request.body))
    reader = Reader(text_lines(decoded(request.body, limits)), FIELD)
    if reader.names and all(DECIMAL.fullmatch(name) for name in reader.names):
        raise InvalidValue("The first line has numbers: put a line with a name for each series above.", FIELD)
    rows = list(islice(_steps(reader), MOST_STEPS + 1))
    if not rows:
        raise EmptyBody(NO_ROW)
    if len(rows) > MOST_STEPS:
        raise InvalidShape(f"Has more than {MOST_STEPS} rows: send the last ones.", FIELD)
    width = len(reader.names)
    limits.check_rows(width, FIELD)
    if (wrong := next((line for line, row in enumerate(rows) if len(row) != width), None)) is not None:
        raise MalformedBody(f"The row has {len(rows[wrong])} cells, the header {width}.", f"row {wrong}")
    mark = mark_of(cell for row in rows for cell in row) or POINT
    return Body([_column(rows, place, mark) for place in range(width)])


def _steps(reader: Reader) -> Iterator[list[str]]:
    """The rows; where there is one column, an empty line before another row is a row without a value."""
    line = None
    for row in reader:
        if len(reader.names) == 1 and line is not None:
            yield from repeat([""], reader.line - line - 1)
        line = reader.line
        yield row


def _column(rows: list[list[str]], place: int, mark: str) -> NDArray[np.float64]:
    values: list[float] = []
    for line, row in enumerate(rows):
        if not values and not row[place].strip():
            continue
        path = f"{FIELD}[{place}][{line}]"
        if (number := written(row[place], path, mark)) is None:
            raise InvalidValue("Must be a number.", path)
        values.append(number)
    return np.array(values)


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    task = manifest.task
    assert isinstance(task, SeriesForecasting)
    wanted = Wanted(_horizon(payload.options.get("horizon"), task), _levels(payload.options.get("levels"), task))
    longest = max(map(len, payload.samples))
    limits.claim(2 * 4 * len(payload.samples) * longest)
    history, mask = (np.zeros((len(payload.samples), longest), np.float32) for _ in range(2))
    for i, series in enumerate(payload.samples):
        _check(series, manifest, f"{FIELD}[{i}]")
        history[i, : len(series)], mask[i, : len(series)] = series, 1
    return Prepared({"history": history, "mask": mask}, wanted)


def _horizon(asked: int | None, task: SeriesForecasting) -> int:
    if asked is not None and asked > task.horizon:
        raise InvalidValue(f"This model forecasts at most {task.horizon} steps.", "horizon")
    return asked or task.horizon


def _levels(asked: tuple[float, ...] | None, task: SeriesForecasting) -> list[int]:
    if asked is None:
        return list(range(len(task.levels)))
    if not set(asked) <= set(task.levels):
        raise InvalidValue(f"This model has the levels {', '.join(map(str, task.levels))}.", "levels")
    return [task.levels.index(level) for level in asked]


def _check(series: NDArray[np.float64], manifest: Manifest, field: str) -> None:
    axis, tensor = manifest.axes["steps"], manifest.inputs[0]
    if not len(series):
        raise InvalidShape("Has no values.", field)
    if not axis.least <= len(series) <= axis.most:
        raise InvalidShape(f"Must have {axis.least} to {axis.most} values: send the last ones.", field)
    low, high = tensor.range or (-3e38, 3e38)
    if not (series.min() >= low and series.max() <= high):
        raise InvalidValue(f"Every number must lie between {low:g} and {high:g}: change the unit.", field)


def write_json(outputs: Arrays, wanted: Wanted, manifest: Manifest) -> Answer:
    task = manifest.task
    assert isinstance(task, SeriesForecasting)

    def cut(row: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(row[: wanted.horizon])

    forecasts = [
        {
            "values": cut(values),
            "intervals": [
                {"level": task.levels[k], "low": cut(outputs["low"][i, k]), "high": cut(outputs["high"][i, k])}
                for k in wanted.levels
            ],
        }
        for i, values in enumerate(outputs["values"])
    ]
    body = {"model": manifest.identity, "frequency": task.frequency, "forecasts": forecasts}
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    pairs = zip(inputs["history"], inputs["mask"], strict=True)
    series = [history[mask > 0].tolist() for history, mask in pairs]
    close = 10 * manifest.tolerance.atol, 10 * manifest.tolerance.rtol

    def first(answer: bytes, rows: int, horizon: int) -> None:
        for i, forecast in enumerate(orjson.loads(answer)["forecasts"][:rows]):
            golden = outputs["values"][i, :horizon]
            given = forecast["values"]
            if len(given) != len(golden) or not np.allclose(given, golden, atol=close[0], rtol=close[1]):
                raise ValueError(f"{given} are not the golden values {golden.tolist()}")
            for one in forecast["intervals"]:
                if not all(low <= high for low, high in zip(one["low"], one["high"], strict=True)):
                    raise ValueError(f"{one} is no interval")

    horizon = outputs["values"].shape[1]
    column = "\n".join(map(repr, series[0]))
    yield Example("JSON", orjson.dumps({FIELD: series}), JSON, lambda answer: first(answer, len(series), horizon))
    yield Example("CSV", f"value\n{column}\n".encode(), CSV, lambda answer: first(answer, 1, 1), "horizon=1")


TASK = Task(
    name="forecast_series",
    path="/v1/series/forecast",
    summary="Forecast series",
    kind="series-forecasting",
    readers={JSON: read_json, CSV: read_csv},
    writers={JSON: write_json},
    request_form=ForecastRequest,
    answer_form=ForecastAnswer,
    prepare=prepare,
    examples=examples,
    options=(HORIZON, LEVELS),
)

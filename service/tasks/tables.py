"""Tables: rows of named attributes -> a class, several labels, or numbers with their units and intervals."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from itertools import chain, islice
from typing import Any

import numpy as np
import orjson
import simdjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import Arrays, Attribute, CreditScoring, Manifest, TabularPrediction
from service.codecs.arrays import fields_of, read_array
from service.errors import EmptyBody, InvalidValue, MalformedBody
from service.limits import Limits
from service.messages import CSV, JSON, Answer, Request, repeated
from service.task import Body, Example, Payload, Prepared, Reader, Task

DECIMAL = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)
GROUPED = re.compile(r"\s*[+-]?[1-9]\d{0,2}([.,' ]\d{3})+\s*", re.ASCII)  # thousands, or a fraction to three places
LONGEST_NUMBER = 64  # characters
LONGEST_ROW = 2**16  # characters of a CSV
SEPARATORS = ",;\t|"
WRITTEN = {
    "probabilities": "probabilities",
    "values": "values",
    "intervals": "interval",
}  # what of a row is which tensor
RowSpec = CreditScoring | TabularPrediction


class PredictRowsRequest(BaseModel, extra="forbid"):
    """Rows by attribute name; a category by its readable value or by its code."""

    rows: list[dict[str, str | float | None]]
    model: str | None = None
    version: str | None = None


class RowPrediction(BaseModel):
    """Of a model of classes the label and what it is sure of; of a model of numbers these by name."""

    label: str | None = None
    confidence: float | None = Field(default=None, description="Probability of the likeliest label.")
    labels: list[str] | None = Field(default=None, description="All that apply, where labels exclude none.")
    probabilities: list[float] | None = Field(default=None, description="One per label; of classes they sum to 1.")
    values: dict[str, float] | None = None
    intervals: dict[str, list[float]] | None = Field(default=None, description="From and to, for each of the values.")


class PredictRowsAnswer(BaseModel):
    model: dict[str, str]
    predictions: list[RowPrediction]
    units: dict[str, str] | None = Field(default=None, description="Of the values, by name.")
    coverage: float | None = Field(default=None, description="The share of true values that intervals are to hold.")


def readers(field: str) -> dict[str, Reader]:
    """Of JSON, where the rows are in `field`, and of CSV. Samples are mappings from name to value, not yet checked."""

    def read_json(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
        rows, document = read_array(request.body, field, fields, limits)
        return Body([_fields(row, f"{field}[{i}]") for i, row in enumerate(rows)], document)

    def read_csv(request: Request, limits: Limits, _: frozenset[str]) -> Body:
        return Body(_read_csv(request.body, field, limits))

    return {JSON: read_json, CSV: read_csv}


def _fields(row: object, path: str) -> dict[str, Any]:
    if isinstance(row, dict):
        return row
    if not isinstance(row, simdjson.Object):
        raise InvalidValue("Must be an object.", path)
    return fields_of(row, path)


def _read_csv(body: bytes, field: str, limits: Limits) -> list[dict[str, str]]:
    limits.claim(4 * len(body))
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The CSV is not in UTF-8: byte {error.start} belongs to no character.") from None
    lines = Lines(text)
    first = next(lines, "")
    reader = csv.reader(chain([first], lines), strict=True, delimiter=max(SEPARATORS, key=first.count))
    try:
        names = _names(next(reader, []), field)
        # One too many is enough to refuse a million.
        rows = list(islice(filter(None, lines.rows(reader)), limits.max_rows + 1))
    except csv.Error as error:
        raise MalformedBody(f"The CSV is damaged in line {reader.line_num}: {error}.") from None
    if not rows:
        raise EmptyBody("The CSV has no row below its header.")
    limits.check_rows(len(rows), field)
    return [_named(names, row, f"{field}[{i}]") for i, row in enumerate(rows)]


class Lines:
    """Lines that end as Unix, Windows or old Macs end them. A row may have several, for quotes hold line ends.

    Raises MalformedBody before a row becomes large.
    """

    def __init__(self, text: str) -> None:
        self._stream, self._left = io.StringIO(text, newline=None), LONGEST_ROW

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._stream.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise MalformedBody(f"A row of the CSV has more than {LONGEST_ROW} characters: is there a quote too many?")
        if not line:
            raise StopIteration
        return line

    def rows(self, reader: Iterator[list[str]]) -> Iterator[list[str]]:
        """What `reader` makes of these lines."""
        while True:
            self._left = LONGEST_ROW
            if (row := next(reader, None)) is None:
                return
            yield row


def _names(header: list[str], field: str) -> list[str]:
    """The columns' names; a last one without any comes from a comma at the end of each line."""
    names = [name.strip() for name in header]
    if names and not names[-1]:
        names.pop()
    if "" in names:
        number = names.index("") + 1
        raise InvalidValue(f"Column {number} of the CSV has no name: leave a row index out.", field)
    if len(set(names)) < len(names):
        raise InvalidValue("Given twice in the header.", repeated(names))
    return names


def _named(names: list[str], cells: list[str], path: str) -> dict[str, str]:
    if len(cells) == len(names) + 1 and not cells[-1].strip():
        cells = cells[:-1]
    if len(cells) != len(names):
        raise MalformedBody(f"The row has {len(cells)} cells, the header {len(names)}.", path)
    return dict(zip(names, cells, strict=True))


def prepare_rows(rows: Sequence[Mapping[str, object]], field: str, manifest: Manifest, spec: RowSpec) -> Arrays:
    """Float32 [N, attributes]: numbers as they are, a category as its index."""
    encoded = [_encode(row, spec, f"{field}[{i}]") for i, row in enumerate(rows)]
    return {manifest.inputs[0].name: np.array(encoded, np.float32)}


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    assert isinstance(manifest.task, TabularPrediction)
    return Prepared(prepare_rows(payload.samples, "rows", manifest, manifest.task))


def _encode(row: Mapping[str, object], task: RowSpec, path: str) -> list[float]:
    if row.keys() != task.names:
        _check_names(row.keys(), task, path)
    return [_number(attribute, row.get(attribute.name), path) for attribute in task.attributes]


def _check_names(given: Set[str], task: RowSpec, path: str) -> None:
    """Raises InvalidValue for a name that nobody knows, or one that is needed and missing."""
    if unknown := given - task.names:
        raise InvalidValue("Unknown attribute.", f"{path}.{min(unknown)}")
    if lacking := task.required - given:
        raise InvalidValue("Missing.", f"{path}.{min(lacking)}")


def _number(attribute: Attribute, value: object, path: str) -> float:
    if attribute.missing is not None and (value is None or (isinstance(value, str) and not value.strip())):
        return attribute.missing
    if attribute.range is None:
        position = attribute.positions.get(value) if isinstance(value, str) else None
        if position is None:
            allowed = ", ".join(attribute.values)
            raise InvalidValue(f"Must be one of {allowed}.", f"{path}.{attribute.name}")
        return position
    low, high = attribute.range
    # Asked for by type, the fastest way: nearly all are, and a boolean is none.
    number = value if type(value) is float or type(value) is int else _written(value, f"{path}.{attribute.name}")
    if number is None or not low <= number <= high:  # also refuses NaN
        raise InvalidValue(f"Must be a number from {low:g} to {high:g}.", f"{path}.{attribute.name}")
    return number


def _written(value: object, path: str) -> float | None:
    """The number that a text is, as a CSV cell has it."""
    if not isinstance(value, str) or len(value) > LONGEST_NUMBER:
        return None
    if GROUPED.fullmatch(value):
        raise InvalidValue("Write it without separators: it may be a number of thousands or a fraction.", path)
    return float(value) if DECIMAL.fullmatch(value) else None


def write_json(outputs: Arrays, _: None, manifest: Manifest) -> Answer:
    task = manifest.task
    assert isinstance(task, TabularPrediction)
    body: dict[str, Any] = {"model": manifest.identity, "predictions": _predictions(outputs, task)}
    if units := {one.name: one.unit for one in task.quantities if one.unit}:
        body["units"] = units
    if task.coverage is not None:
        body["coverage"] = task.coverage
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))


def _predictions(outputs: Arrays, task: TabularPrediction) -> list[dict[str, Any]]:
    if task.quantities:
        names = [quantity.name for quantity in task.quantities]
        found = [{"values": dict(zip(names, row, strict=True))} for row in outputs["values"].tolist()]
        if task.coverage is not None:
            for one, row in zip(found, outputs["interval"].tolist(), strict=True):
                one["intervals"] = dict(zip(names, row, strict=True))
        return found
    rows = outputs["probabilities"]
    if task.thresholds:
        apply = rows >= np.array(task.thresholds, np.float32)
        return [
            {"labels": [task.labels[i] for i in np.flatnonzero(which)], "probabilities": row}
            for which, row in zip(apply, rows, strict=True)
        ]
    return [
        {"label": task.labels[best], "confidence": row[best], "probabilities": row}
        for best, row in zip(rows.argmax(axis=1).tolist(), rows, strict=True)
    ]


def row_schema(spec: RowSpec) -> dict[str, Any]:
    """JSON Schema of one row."""
    return {
        "type": "object",
        "required": [one.name for one in spec.attributes if one.missing is None],
        "additionalProperties": False,
        "properties": {one.name: {"description": one.description} | _value_schema(one) for one in spec.attributes},
    }


def _value_schema(one: Attribute) -> dict[str, Any]:
    """JSON Schema of what one attribute may be; one that may be left out may also be null, or empty as in a CSV."""
    left_out = one.missing is not None
    if one.range:
        number = {"type": "number", "minimum": one.range[0], "maximum": one.range[1]}
        return {"anyOf": [number, {"enum": [None, ""]}]} if left_out else number
    named: list[str | None] = [*one.values, *one.codes]
    return {"enum": [*named, None, ""]} if left_out else {"type": "string", "enum": named}


def describe(schemas: dict[str, Any], manifests: Sequence[Manifest]) -> None:
    """Spell out the attributes of each model's rows."""
    specs = [one.task for one in manifests if isinstance(one.task, TabularPrediction)]
    if specs:
        schemas["PredictRowsRequest"]["properties"]["rows"]["items"] = {"anyOf": [row_schema(spec) for spec in specs]}


def named_rows(spec: RowSpec, encoded: NDArray[Any]) -> list[dict[str, Any]]:
    """Rows as a client sends them, from those that the graph takes."""
    return [
        {
            one.name: None if value == one.missing else float(value) if one.range else one.values[int(value)]
            for one, value in zip(spec.attributes, row, strict=True)
        }
        for row in encoded
    ]


def _cell(value: object) -> object:
    """What a CSV says: a fraction to three places has a fourth, for it might be a number of thousands."""
    return f"{value}0" if isinstance(value, float) and GROUPED.fullmatch(str(value)) else value


def examples_of(spec: RowSpec, field: str, encoded: NDArray[Any], check: Callable[[bytes], None]) -> Iterator[Example]:
    rows = named_rows(spec, encoded)
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    yield Example("JSON", orjson.dumps({field: rows}), JSON, check)
    yield Example("CSV", table.getvalue().encode(), CSV, check)


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    task = manifest.task
    assert isinstance(task, TabularPrediction)
    golden = {name: outputs[tensor] for name, tensor in WRITTEN.items() if tensor in outputs}

    def check(answer: bytes) -> None:
        predictions = orjson.loads(answer)["predictions"]
        for name, expected in golden.items():
            found = [list(one[name].values()) if isinstance(one[name], dict) else one[name] for one in predictions]
            if np.shape(found) != expected.shape or not np.allclose(found, expected, rtol=1e-3, atol=1e-3):
                raise ValueError(f"{name} {found} are not the golden outputs {expected.tolist()}")

    yield from examples_of(task, "rows", inputs[manifest.inputs[0].name], check)


TASK = Task(
    name="predict_rows",
    path="/v1/tables/predict",
    summary="Predict a class or numbers for rows of a table",
    kind="tabular-prediction",
    readers=readers("rows"),
    writers={JSON: write_json},
    request_form=PredictRowsRequest,
    answer_form=PredictRowsAnswer,
    prepare=prepare,
    examples=examples,
    describe=describe,
)

"""Tables: rows of named attributes -> a class, several labels, or numbers with their units and intervals."""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import orjson
import simdjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import Arrays, Attribute, Manifest, TabularPrediction
from service.codecs import arrow, cells
from service.codecs.arrays import fields_of, read_array
from service.codecs.decimals import GROUPED
from service.errors import InvalidValue
from service.limits import Limits
from service.messages import ARROW, CSV, JSON, PARQUET, Answer, Request
from service.task import AnswerForm, Body, Example, Payload, Prepared, Reader, RowStream, Task, Writer
from service.tasks import rows, scored
from service.tasks.rows import HEADERS, ON_ERROR, REFUSE, STREAM, OnError, RowError, Rows, RowSpec

WRITTEN = {
    "probabilities": "probabilities",
    "values": "values",
    "intervals": "interval",
}  # what of a row is which tensor


class PredictRowsRequest(BaseModel, extra="forbid"):
    """Rows by attribute name; a category by its readable value or by its code."""

    rows: list[dict[str, str | float | None]]
    model: str | None = None
    version: str | None = None
    on_error: OnError = REFUSE
    stream: bool = Field(default=False, description="Of CSV, lines and Arrow, in the URL: false in a body.")


class RowPrediction(AnswerForm):
    """Of a model of classes the label and what it is sure of; of a model of numbers these by name."""

    label: str | None = None
    confidence: float | None = Field(default=None, description="Probability of the likeliest label.")
    labels: list[str] | None = Field(default=None, description="All that apply, where labels exclude none.")
    probabilities: list[float] | None = Field(default=None, description="One per label; of classes they sum to 1.")
    values: dict[str, float] | None = None
    intervals: dict[str, list[float]] | None = Field(default=None, description="From and to, for each of the values.")


class PredictRowsAnswer(AnswerForm):
    model: dict[str, str]
    predictions: list[RowPrediction]
    units: dict[str, str] | None = Field(default=None, description="Of the values, by name.")
    coverage: float | None = Field(default=None, description="The share of true values that intervals are to hold.")
    rows: list[int] | None = Field(default=None, description="With `on_error=skip`: those answered, counted from 1.")
    errors: list[RowError] | None = Field(default=None, description="What is wrong with the others.")


def readers(field: str) -> dict[str, Reader]:
    """Of JSON, where the rows are in `field`, and of tables. Samples are mappings from name to value, not yet checked.

    Those of a table come as one.
    """

    def read_json(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
        array, document = read_array(request.body, field, fields, limits)
        return Body([_fields(row, f"{field}[{i}]") for i, row in enumerate(array)], document)

    def read_csv(request: Request, limits: Limits, _: frozenset[str]) -> Body:
        return Body(cells.read(request.body, field, limits))

    def read_arrow(request: Request, limits: Limits, _: frozenset[str]) -> Body:
        return Body(arrow.read_stream(request.body, field, limits))

    def read_parquet(request: Request, limits: Limits, _: frozenset[str]) -> Body:
        return Body(arrow.read_parquet(request.body, field, limits))

    return {JSON: read_json, CSV: read_csv, ARROW: read_arrow, PARQUET: read_parquet}


def table_writers(write: Callable[..., Answer]) -> dict[str, Writer]:
    """Of the forms that a table is sent in."""
    return {media_type: partial(write, media_type=media_type) for media_type in (CSV, ARROW, PARQUET)}


def _fields(row: object, path: str) -> dict[str, Any]:
    if isinstance(row, dict):
        return row
    if not isinstance(row, simdjson.Object):
        raise InvalidValue("Must be an object.", path)
    return fields_of(row, path)


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    assert isinstance(manifest.task, TabularPrediction)
    return prepare_rows(rows.read_rows(payload, "rows", manifest.task), payload.options, manifest)


def prepare_rows(found: Rows, options: Mapping[str, Any], manifest: Manifest) -> Prepared:
    return Prepared(rows.inputs_of(found, manifest), found)


def write_json(outputs: Arrays, found: Rows, manifest: Manifest) -> Answer:
    task = manifest.task
    assert isinstance(task, TabularPrediction)
    body: dict[str, Any] = {
        "model": manifest.identity,
        "predictions": _predictions(outputs, found, manifest),
        **found.told(),
    }
    if units := {one.name: one.unit for one in task.quantities if one.unit}:
        body["units"] = units
    if task.coverage is not None:
        body["coverage"] = task.coverage
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY), JSON, found.headers())


def write_table(outputs: Arrays, found: Rows, manifest: Manifest, *, media_type: str) -> Answer:
    """The table that was sent, with columns for what the model says."""
    assert isinstance(manifest.task, TabularPrediction)
    return scored.table(found, _columns(outputs, found, manifest), manifest.task, media_type)


def _columns(outputs: Arrays, found: Rows, manifest: Manifest) -> scored.Columns:
    """Names begin with what keeps them apart from a column that has the true value."""
    task = manifest.task
    assert isinstance(task, TabularPrediction)
    if task.quantities:
        columns: dict[str, NDArray[np.floating] | list[str]] = {}
        for place, quantity in enumerate(task.quantities):
            name = f"predicted_{quantity.name}"
            columns[name] = outputs["values"][:, place]
            if task.coverage is not None:
                low, high = outputs["interval"][:, place].T
                columns |= {f"{name}_low": low, f"{name}_high": high}
        return columns
    probabilities = {
        f"probability_{label}": column for label, column in zip(task.labels, outputs["probabilities"].T, strict=True)
    }
    told = _predictions(outputs, found, manifest)
    if task.thresholds:
        return {"predicted_labels": ["; ".join(one["labels"]) for one in told], **probabilities}
    return {"predicted_label": [one["label"] for one in told], **probabilities}


def _predictions(outputs: Arrays, found: Rows, manifest: Manifest) -> list[dict[str, Any]]:
    task = manifest.task
    assert isinstance(task, TabularPrediction)
    if task.quantities:
        names = [quantity.name for quantity in task.quantities]
        valued = [{"values": dict(zip(names, row, strict=True))} for row in outputs["values"].tolist()]
        if task.coverage is not None:
            for one, row in zip(valued, outputs["interval"].tolist(), strict=True):
                one["intervals"] = dict(zip(names, row, strict=True))
        return valued
    probabilities = outputs["probabilities"]
    if task.thresholds:
        apply = probabilities >= np.array(task.thresholds, np.float32)
        return [
            {"labels": [task.labels[i] for i in np.flatnonzero(which)], "probabilities": row}
            for which, row in zip(apply, probabilities, strict=True)
        ]
    return [
        {"label": task.labels[best], "confidence": row[best], "probabilities": row}
        for best, row in zip(probabilities.argmax(axis=1).tolist(), probabilities, strict=True)
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
    named = named_rows(spec, encoded)
    table = io.StringIO()
    writer = csv.DictWriter(table, list(named[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in named)
    yield Example("JSON", orjson.dumps({field: named}), JSON, check)
    yield Example("CSV", table.getvalue().encode(), CSV, check)
    yield Example(
        "CSV, answered in CSV", table.getvalue().encode(), CSV, scored.check([*named[0]], len(named)), accept=CSV
    )


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
    writers={JSON: write_json, **table_writers(write_table)},
    options=(ON_ERROR, STREAM),
    stream=RowStream("rows", prepare_rows, _columns, _predictions),
    headers=HEADERS,
    request_form=PredictRowsRequest,
    answer_form=PredictRowsAnswer,
    prepare=prepare,
    examples=examples,
    describe=describe,
)

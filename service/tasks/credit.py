"""Credit scoring: named attributes of applicants -> probability of default and a decision."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Set
from itertools import chain, islice
from typing import Any

import numpy as np
import orjson
import simdjson
from pydantic import BaseModel, Field

from service.bundle import Arrays, Attribute, CreditScoring, Manifest
from service.codecs.arrays import fields_of, parse_object, read_plain
from service.errors import EmptyBody, InvalidValue, MalformedBody, UnsupportedMedia
from service.limits import Limits
from service.messages import CSV, JSON, Answer, Payload, Request, optional_text, repeated

DECIMAL = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)
GROUPED = re.compile(r"\s*[+-]?[1-9]\d{0,2}([.,' ]\d{3})+\s*", re.ASCII)  # thousands, or a fraction to three places
LONGEST_NUMBER = 64  # characters
LONGEST_LINE = 2**16  # characters of a CSV
FIELDS = {"applicants", "model", "version"}
SEPARATORS = ",;\t|"
REQUEST_MEDIA = (JSON, CSV)
ANSWER_MEDIA = (JSON,)


class ScoreRequest(BaseModel, extra="forbid"):
    """Applicants by attribute name; a category by its readable value or by its code."""

    applicants: list[dict[str, str | float]]
    model: str | None = None
    version: str | None = None


class Score(BaseModel):
    default_probability: float = Field(description="Probability that the credit is not paid back.")
    decision: str = Field(description='"approve" or "decline".')


class ScoreAnswer(BaseModel):
    model: dict[str, str]
    predictions: list[Score]


def decode(request: Request, limits: Limits) -> Payload:
    """Samples are a list of mappings from attribute name to value, not yet checked."""
    if request.media_type == JSON:
        return _decode_json(request.body, limits)
    if request.media_type == CSV:
        return _decode_csv(request.body, limits)
    raise UnsupportedMedia(f"Send {' or '.join(REQUEST_MEDIA)}.", "content-type")


def _decode_json(body: bytes, limits: Limits) -> Payload:
    document = read_plain(body)
    if document is None or not document.keys() <= FIELDS:
        document = parse_object(body, FIELDS, limits)
    applicants = document.get("applicants")
    if not isinstance(applicants, list | simdjson.Array):
        raise InvalidValue("Must be an array of applicants.", "applicants")
    limits.check_rows(len(applicants), "applicants")
    rows = [_fields(applicant, f"applicants[{i}]") for i, applicant in enumerate(applicants)]
    return Payload(
        rows, optional_text(document.get("model"), "model"), optional_text(document.get("version"), "version")
    )


def _fields(applicant: object, path: str) -> dict[str, Any]:
    if isinstance(applicant, dict):
        return applicant
    if not isinstance(applicant, simdjson.Object):
        raise InvalidValue("Must be an object.", path)
    return fields_of(applicant, path)


def _decode_csv(body: bytes, limits: Limits) -> Payload:
    limits.claim(4 * len(body))
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The CSV is not in UTF-8: byte {error.start} belongs to no character.") from None
    lines = _lines(text)
    first = next(lines, "")
    reader = csv.reader(chain([first], lines), strict=True, delimiter=max(SEPARATORS, key=first.count))
    try:
        names = _names(next(reader, []))
        rows = list(islice(filter(None, reader), limits.max_rows + 1))  # one too many is enough to refuse a million
    except csv.Error as error:
        raise MalformedBody(f"The CSV is damaged in line {reader.line_num}: {error}.") from None
    if not rows:
        raise EmptyBody("The CSV has no row below its header.")
    limits.check_rows(len(rows), "applicants")
    return Payload([_named(names, row, f"applicants[{i}]") for i, row in enumerate(rows)])


def _lines(text: str) -> Iterator[str]:
    """Lines that end as Unix, Windows or old Macs end them. Raises MalformedBody before a row becomes large."""
    stream = io.StringIO(text, newline=None)
    while line := stream.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise MalformedBody(f"A line of the CSV has more than {LONGEST_LINE} characters.")
        yield line


def _names(header: list[str]) -> list[str]:
    """The columns' names; a last one without any comes from a comma at the end of each line."""
    names = [name.strip() for name in header]
    if names and not names[-1]:
        names.pop()
    if "" in names:
        number = names.index("") + 1
        raise InvalidValue(f"Column {number} of the CSV has no name: leave a row index out.", "applicants")
    if len(set(names)) < len(names):
        raise InvalidValue("Given twice in the header.", repeated(names))
    return names


def _named(names: list[str], cells: list[str], path: str) -> dict[str, str]:
    if len(cells) == len(names) + 1 and not cells[-1].strip():
        cells = cells[:-1]
    if len(cells) != len(names):
        raise MalformedBody(f"The row has {len(cells)} cells, the header {len(names)}.", path)
    return dict(zip(names, cells, strict=True))


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Arrays:
    """Float32 [N, attributes]: numbers as they are, a category as its index."""
    assert isinstance(manifest.task, CreditScoring)
    task = manifest.task
    rows = [_encode(applicant, task, i) for i, applicant in enumerate(payload.samples)]
    return {manifest.inputs[0].name: np.array(rows, np.float32)}


def _encode(applicant: Mapping[str, object], task: CreditScoring, index: int) -> list[float]:
    if applicant.keys() != task.names:
        _refuse_names(applicant, task.names, index)
    return [_number(attribute, applicant[attribute.name], index) for attribute in task.attributes]


def _refuse_names(applicant: Mapping[str, object], known: Set[str], index: int) -> None:
    if unknown := applicant.keys() - known:
        raise InvalidValue("Unknown attribute.", f"applicants[{index}].{min(unknown)}")
    raise InvalidValue("Missing.", f"applicants[{index}].{min(known - applicant.keys())}")


def _number(attribute: Attribute, value: object, index: int) -> float:
    if attribute.range is None:
        position = attribute.positions.get(value) if isinstance(value, str) else None
        if position is None:
            allowed = ", ".join(attribute.values)
            raise InvalidValue(f"Must be one of {allowed}.", f"applicants[{index}].{attribute.name}")
        return position
    low, high = attribute.range
    # Asked for by type, the fastest way: nearly all are, and a boolean is none.
    number = (
        value
        if type(value) is float or type(value) is int
        else _written(value, f"applicants[{index}].{attribute.name}")
    )
    if number is None or not low <= number <= high:  # also refuses NaN
        raise InvalidValue(f"Must be a number from {low:g} to {high:g}.", f"applicants[{index}].{attribute.name}")
    return number


def _written(value: object, path: str) -> float | None:
    """The number that a text is, as a CSV cell has it."""
    if not isinstance(value, str) or len(value) > LONGEST_NUMBER:
        return None
    if GROUPED.fullmatch(value):
        raise InvalidValue("Write it without separators: it may be a number of thousands or a fraction.", path)
    return float(value) if DECIMAL.fullmatch(value) else None


def present(outputs: Arrays, payload: Payload, manifest: Manifest, request: Request) -> Answer:
    assert isinstance(manifest.task, CreditScoring)
    threshold = manifest.task.decision_threshold
    predictions: list[dict[str, Any]] = [
        {"default_probability": probability, "decision": "approve" if probability < threshold else "decline"}
        for probability in outputs["default_probability"]
    ]
    body = {"model": manifest.identity, "predictions": predictions}
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))

"""Credit scoring: named attributes of applicants -> probability of default and a decision."""

import csv
import io
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any, TypeGuard

import numpy as np
import orjson
from pydantic import BaseModel, Field

from service.bundle import Arrays, Attribute, CreditScoring, Manifest
from service.codecs.objects import read_object
from service.errors import EmptyBody, InvalidValue, MalformedBody, UnsupportedMedia
from service.limits import Limits
from service.messages import CSV, JSON, Answer, Payload, Request, optional_text

DECIMAL = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)
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
    document = read_object(body, {"applicants", "model", "version"})
    applicants = document.get("applicants")
    if not isinstance(applicants, list):
        raise InvalidValue("Must be an array of applicants.", "applicants")
    limits.check_rows(len(applicants), "applicants")
    return Payload(
        applicants, optional_text(document.get("model"), "model"), optional_text(document.get("version"), "version")
    )


def _decode_csv(body: bytes, limits: Limits) -> Payload:
    try:
        reader = csv.DictReader(io.StringIO(body.decode("utf-8-sig")), strict=True)
        rows = list(islice(reader, limits.max_rows + 1))  # one too many is enough to refuse a million
    except (UnicodeDecodeError, csv.Error):
        raise MalformedBody("Not CSV in UTF-8.") from None
    if not rows:
        raise EmptyBody("The CSV has no row below its header.")
    limits.check_rows(len(rows), "applicants")
    for i, row in enumerate(rows):
        if None in row or None in row.values():
            raise MalformedBody("The row does not have as many cells as the header.", f"applicants[{i}]")
    return Payload(rows)


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Arrays:
    """Float32 [N, attributes]: numbers as they are, a category as its index."""
    assert isinstance(manifest.task, CreditScoring)
    attributes = manifest.task.attributes
    rows = [_encode(applicant, attributes, i) for i, applicant in enumerate(payload.samples)]
    return {manifest.inputs[0].name: np.array(rows, np.float32)}


def _encode(applicant: object, attributes: tuple[Attribute, ...], index: int) -> list[float]:
    if not isinstance(applicant, Mapping):
        raise InvalidValue("Must be an object.", f"applicants[{index}]")
    if len(applicant) != len(attributes) or not all(attribute.name in applicant for attribute in attributes):
        _refuse_names(applicant, attributes, index)
    return [_number(attribute, applicant[attribute.name], index) for attribute in attributes]


def _refuse_names(applicant: Mapping[str, object], attributes: tuple[Attribute, ...], index: int) -> None:
    known = {attribute.name for attribute in attributes}
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
    try:
        number = float(value) if _numeric(value) else None
    except OverflowError:
        number = None
    if number is None or not low <= number <= high:  # also refuses NaN
        raise InvalidValue(f"Must be a number from {low:g} to {high:g}.", f"applicants[{index}].{attribute.name}")
    return number


def _numeric(value: object) -> TypeGuard[str | int | float]:
    """Whether it is a number, or the text of one as a CSV cell has it."""
    if isinstance(value, str):
        return DECIMAL.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def present(outputs: Arrays, payload: Payload, manifest: Manifest, request: Request) -> Answer:
    assert isinstance(manifest.task, CreditScoring)
    threshold = manifest.task.decision_threshold
    predictions: list[dict[str, Any]] = [
        {"default_probability": probability, "decision": "approve" if probability < threshold else "decline"}
        for probability in outputs["default_probability"]
    ]
    body = {"model": manifest.identity, "predictions": predictions}
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))

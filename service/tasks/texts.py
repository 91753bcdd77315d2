"""Texts -> one label each, with its probabilities."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
from pydantic import BaseModel, Field

from service.bundle import Arrays, Manifest, TextClassification
from service.codecs.arrays import read_array
from service.errors import EmptyBody, InvalidValue, MalformedBody
from service.limits import Limits
from service.messages import JSON, TEXT, Answer, Request
from service.task import Body, Example, Payload, Prepared, Task

FIELD = "texts"


class ClassifyTextsRequest(BaseModel, extra="forbid"):
    texts: list[str]
    model: str | None = None
    version: str | None = None


class TextPrediction(BaseModel):
    label: str
    confidence: float = Field(description="Probability of the likeliest label.")
    probabilities: list[float] = Field(description="One per label, summing to 1.")


class ClassifyTextsAnswer(BaseModel):
    model: dict[str, str]
    labels: list[str] = Field(description="In the order of the probabilities.")
    predictions: list[TextPrediction]


def read_json(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
    texts, document = read_array(request.body, FIELD, fields, limits)
    return Body(list(texts), document)


def read_lines(request: Request, limits: Limits, _: frozenset[str]) -> Body:
    """A text per line, as Unix or Windows end them; an empty line is an empty text."""
    limits.claim(4 * len(request.body))
    try:
        text = request.body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The text is not in UTF-8: byte {error.start} belongs to no character.") from None
    if not text:
        raise EmptyBody("The body has no text.")
    text = text.removesuffix("\n")
    limits.check_rows(text.count("\n") + 1, FIELD)
    return Body([line.removesuffix("\r") for line in text.split("\n")])


def prepare(payload: Payload, manifest: Manifest, _: Limits) -> Prepared:
    task = manifest.task
    assert isinstance(task, TextClassification)
    texts = np.empty(len(payload.samples), object)
    for i, text in enumerate(payload.samples):
        if not isinstance(text, str):
            raise InvalidValue("Must be a text.", f"{FIELD}[{i}]")
        if len(text) > task.longest:
            raise InvalidValue(f"Has more than {task.longest} characters: send a part of it.", f"{FIELD}[{i}]")
        texts[i] = text
    return Prepared({manifest.inputs[0].name: texts})


def write_json(outputs: Arrays, _: None, manifest: Manifest) -> Answer:
    task = manifest.task
    assert isinstance(task, TextClassification)
    rows = outputs["probabilities"]
    predictions: list[dict[str, Any]] = [
        {"label": task.labels[best], "confidence": row[best], "probabilities": row}
        for best, row in zip(rows.argmax(axis=1).tolist(), rows, strict=True)
    ]
    body = {"model": manifest.identity, "labels": task.labels, "predictions": predictions}
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    texts = inputs[manifest.inputs[0].name].tolist()

    def checking(rows: list[int]) -> Callable[[bytes], None]:
        golden = outputs["probabilities"][rows]

        def check(answer: bytes) -> None:
            given = [one["probabilities"] for one in orjson.loads(answer)["predictions"]]
            if np.shape(given) != golden.shape or not np.allclose(given, golden, rtol=1e-3, atol=1e-3):
                raise ValueError(f"{given} are not the golden outputs {golden.tolist()}")

        return check

    yield Example("JSON", orjson.dumps({FIELD: texts}), JSON, checking(list(range(len(texts)))))
    if short := [i for i, text in enumerate(texts) if "\n" not in text]:
        lines = "".join(f"{texts[i]}\n" for i in short)
        yield Example("lines", lines.encode(), f"{TEXT}; charset=utf-8", checking(short))


TASK = Task(
    name="classify_texts",
    path="/v1/texts/classify",
    summary="Classify texts",
    kind="text-classification",
    readers={JSON: read_json, TEXT: read_lines},
    writers={JSON: write_json},
    request_form=ClassifyTextsRequest,
    answer_form=ClassifyTextsAnswer,
    prepare=prepare,
    examples=examples,
)

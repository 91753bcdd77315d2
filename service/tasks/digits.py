"""Digit classification: pictures of digits -> the digit, how sure the model is and whether to believe it.

Pictures are read as those of `images`; what is particular is how digits are found in them and drawn as MNIST's are.
"""

from collections.abc import Callable, Iterator
from itertools import islice
from math import ceil
from typing import Any, Literal, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import EXPLANATION, Arrays, DigitClassification, Manifest
from service.codecs.arrays import write_npy
from service.codecs.handwriting import Box, Span, likeliest, read_digit, read_digits
from service.codecs.pictures import Encoded, Picture, write_png
from service.errors import InvalidValue
from service.limits import Limits
from service.messages import JSON, NPY, PNG, Answer
from service.stage_pool import HEAVY
from service.task import Example, Option, Payload, Prepared, Task
from service.tasks import images
from service.tasks.images import (
    EXPLAIN,
    Explained,
    as_bytes,
    checked,
    graphs_for,
    label_check,
    pictures_of,
    ranged,
    ranked,
)

MANY = Option(
    "many",
    "Find all digits of each picture, line by line from left to right, with their boxes.",
    work=HEAVY,  # parts of digits that touch take far longer than what they are cut out of
)
SURE = 0.99  # a golden digit that is as plain as that is read from its picture, too

Reason = Literal["no-ink", "unlike-a-digit"]


class ClassifyRequest(BaseModel):
    """Pictures as 28x28 numbers from 0 (black) to 255 (white), white digit on black, or as base64 of a picture file."""

    images: list[str] | list[list[list[float]]]
    model: str | None = None
    version: str | None = None
    many: bool = Field(default=False, description="Find all digits of each picture.")
    explain: bool = Field(default=False, description="Say with each prediction where it comes from.")


class Classification(Explained):
    digit: int
    accepted: bool = Field(description="False: do not believe the digit, for the `reason`.")
    reason: Reason | None = None
    image: int | None = Field(default=None, description="With `many`: which of the pictures, from 0.")
    box: list[int] | None = Field(default=None, description="With `many`: left, top, width, height in its pixels.")


class ClassifyAnswer(BaseModel):
    model: dict[str, str]
    predictions: list[Classification]


class Found(NamedTuple):
    """A digit of the pictures sent, or (`box` is None) a picture without any."""

    image: int
    box: list[int] | None


class Context(NamedTuple):
    """What the writers need to know of the request.

    shown    the rows of the batch as pictures [N, H, W] from 0 to 255
    found    where each row comes from; None where the client sent numbers. Empty where no digit was found in any
             picture: the batch then has one blank row, which the answer leaves out
    spans    with `many`, which rows overlap: touching digits are cut in several ways, and only what the model makes of
             the pieces decides which of them are digits
    """

    shown: NDArray[Any]
    found: list[Found] | None
    spans: list[Span]
    many: bool
    explain: bool


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    """Float32 [N, H, W] of the graph's size and range, white on black."""
    assert isinstance(manifest.task, DigitClassification)
    many, explain = (payload.options.get(name, False) for name in ("many", "explain"))
    graphs, tensor = graphs_for(explain, manifest), manifest.inputs[0]
    if not isinstance(payload.samples, list):
        if many:
            raise InvalidValue("Numbers are one digit each: send picture files, or base64 of them.", "many")
        numbers = checked(pictures_of(payload, tensor), tensor, limits)
        return Prepared({tensor.name: numbers}, Context(numbers, None, [], False, explain), graphs)
    if not manifest.task.pictures:
        raise InvalidValue(f"{manifest.name} reads numbers of its own form, no picture files.", "model")
    side: tuple[Any, ...] = tensor.shape[1:]
    limits.check_rows(len(payload.samples), "image")
    spare = 0 if manifest.task.acceptance_threshold is None else limits.max_rows
    rows = list(islice(_digits(payload.samples, many, side, limits, spare), limits.max_rows + spare + 1))
    spans = [span for _, span, _ in rows]
    limits.check_rows(sum(span.whole for span in spans) or 1, "image")
    shown = np.stack([row for _, _, row in rows] or [np.zeros(side, np.float32)])
    context = Context(shown, [found for found, _, _ in rows], spans, many, explain)
    return Prepared({tensor.name: ranged(shown, tensor)}, context, graphs)


def _digits(
    sent: list[Encoded], many: bool, side: tuple[int, int], limits: Limits, spare: int
) -> Iterator[tuple[Found, Span, NDArray[np.float32]]]:
    """The digits in each picture. With `many`, also pieces of what may be several touching digits, at most `spare`."""
    cuts = 0
    for number, encoded in enumerate(sent):
        limits.check_time()
        picture = encoded.read(limits)
        if many:
            before = cuts
            for digit in read_digits(picture.pixels, side, spare):
                span = digit.span.after(before)
                cuts, spare = max(cuts, span.end), spare - (not span.whole)
                yield Found(number, _in_file(digit.box, picture)), span, digit.image
        elif only := read_digit(picture.pixels, side):
            yield Found(number, _in_file(only.box, picture)), only.span, only.image
        else:
            yield Found(number, None), Span(0, 1), np.zeros(side, np.float32)


def _in_file(box: Box, picture: Picture) -> list[int]:
    """The box in pixels of the file, which may have been scaled down: left, top, width, height."""
    height, width = picture.pixels.shape[:2]
    across, along = picture.size[0] / width, picture.size[1] / height
    left, top = int(box.left * across), int(box.top * along)
    right, bottom = ceil((box.left + box.width) * across), ceil((box.top + box.height) * along)
    return [left, top, min(right, picture.size[0]) - left, min(bottom, picture.size[1]) - top]


def read(outputs: Arrays, context: Context, task: DigitClassification) -> tuple[Arrays, Context]:
    """Outputs and context of the rows that are digits: of overlapping ones the likeliest."""
    if context.found is None or task.acceptance_threshold is None or all(span.whole for span in context.spans):
        return outputs, context
    familiarity = outputs["familiarity"] - np.float32(task.acceptance_threshold)
    rows = likeliest(context.spans, outputs["probabilities"].max(axis=1), familiarity)
    found = [context.found[row] for row in rows]
    kept = context._replace(shown=context.shown[rows], found=found, spans=[])
    return {name: array[rows] for name, array in outputs.items()}, kept


def write_json(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    task = manifest.task
    assert isinstance(task, DigitClassification)
    outputs, context = read(outputs, context, task)
    predictions = ranked(outputs, "digit", task.labels)
    for one in predictions:
        one["accepted"] = True
    for row, reason in _refusals(outputs, context, task.acceptance_threshold).items():
        predictions[row] |= {"accepted": False, "reason": reason}
    if context.explain:
        images.explain(predictions, outputs, context.shown)
    if context.many and context.found is not None:
        predictions = [one | found._asdict() for one, found in zip(predictions, context.found, strict=False)]
    body = {"model": manifest.identity, "predictions": predictions}
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))


def _refusals(outputs: Arrays, context: Context, threshold: float | None) -> dict[int, Reason]:
    """The rows that are not accepted, and why."""
    reasons: dict[int, Reason] = {}
    if threshold is not None:
        familiar = (outputs["familiarity"] >= threshold).tolist()
        reasons = {row: "unlike-a-digit" for row, known in enumerate(familiar) if not known}
    if context.found is not None:
        inked = [one.box is not None for one in context.found]
    else:  # `any` makes truth values of all numbers first
        inked = [bool(np.count_nonzero(one)) for one in context.shown]
    return reasons if all(inked) else reasons | {row: "no-ink" for row, ink in enumerate(inked) if not ink}


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    assert isinstance(manifest.task, DigitClassification)
    probabilities, labels = outputs["probabilities"], manifest.task.labels
    yield from images.examples_of_numbers(manifest, inputs, label_check("digit", labels, probabilities))
    if not manifest.task.pictures:
        return
    shown = as_bytes(inputs, manifest)
    expected = [labels[int(row.argmax())] if row.max() >= SURE else None for row in probabilities]
    yield from images.examples_of_files(shown, _digits_check(expected), _digits_check(expected[:1]))
    row = write_png(np.concatenate([np.pad(picture, 8) for picture in shown[:2]], axis=1))
    yield Example("a row of digits", row, PNG, _probabilities, "many=true")
    if EXPLANATION in manifest.graphs:
        yield Example(
            "numbers, explained", write_npy(inputs[manifest.inputs[0].name]), NPY, _probabilities, "explain=true"
        )


def _digits_check(expected: list[int | None]) -> Callable[[bytes], None]:
    """A check that an answer has these digits, where they are known."""

    def check(answer: bytes) -> None:
        read = [one["digit"] for one in orjson.loads(answer)["predictions"]]
        if len(read) != len(expected) or any(b not in (None, a) for a, b in zip(read, expected, strict=True)):
            raise ValueError(f"read {read}, not {expected}")

    return check


def _probabilities(answer: bytes) -> None:
    for one in orjson.loads(answer)["predictions"]:
        if abs(sum(one["probabilities"]) - 1) > 1e-3 or one["confidence"] != max(one["probabilities"]):
            raise ValueError(f"no probabilities: {one['probabilities']}")


TASK = Task(
    name="classify_digits",
    path="/v1/digits/classify",
    summary="Classify pictures of handwritten digits",
    kind="digit-classification",
    readers=images.READERS,
    writers={JSON: write_json},
    request_form=ClassifyRequest,
    answer_form=ClassifyAnswer,
    prepare=prepare,
    examples=examples,
    options=(MANY, EXPLAIN),
    part="image",
    body_limit=32 * 2**20,
)

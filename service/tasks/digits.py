"""Digit classification: pictures of digits -> the digit, how sure the model is and whether to believe it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import ceil
from typing import Any, Literal, NamedTuple

import numpy as np
import orjson
import simdjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field, SerializerFunctionWrapHandler, model_serializer

from service.bundle import Arrays, DigitClassification, Manifest, Tensor
from service.codecs import pictures
from service.codecs.arrays import numeric_array, parse_object, read_npy
from service.codecs.forms import read_form
from service.codecs.handwriting import Box, Span, likeliest, read_digit, read_digits
from service.codecs.heat import heat_map
from service.codecs.pictures import Encoded, Picture
from service.errors import InvalidShape, InvalidValue, NotExplainable, UnsupportedMedia
from service.limits import Limits
from service.messages import FORM, JSON, NPY, Answer, Payload, Request, flag, optional_text

REQUEST_MEDIA = (*pictures.MEDIA_TYPES, FORM, JSON, NPY)
ANSWER_MEDIA = (JSON,)
OPTIONS = ("many", "explain")
WHITE = 255

Reason = Literal["no-ink", "unlike-a-digit"]


class ClassifyRequest(BaseModel):
    """Pictures as 28x28 numbers from 0 (black) to 255 (white), white digit on black, or as base64 of a picture file."""

    images: list[str] | list[list[list[float]]]
    model: str | None = None
    version: str | None = None
    many: bool = Field(default=False, description="Find all digits of each picture.")
    explain: bool = Field(default=False, description="Say with each prediction where it comes from.")


class Explained(BaseModel):
    """A prediction. What was not asked for is left out."""

    confidence: float = Field(description="Probability of the likeliest label.")
    probabilities: list[float] = Field(description="One per label, summing to 1.")
    heat_map: str | None = Field(default=None, description="Base64 PNG: what speaks for the likeliest label, where.")
    seen: str | None = Field(default=None, description="Base64 PNG: the picture as the model was shown it.")

    @model_serializer(mode="wrap")
    def _without_absent(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if value is not None}


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


class Sent:
    """Picture files of a request and, once prepared, what was found in them and what the graph is shown [N, H, W].

    With `many`, some of it may be parts of others, which `spans` tell: what is read of it is for the graph to say.
    """

    __slots__ = ("found", "many", "pictures", "shown", "spans")

    def __init__(self, sent: list[Encoded], many: bool) -> None:
        self.pictures, self.many = sent, many
        self.found: list[Found] = []
        self.spans: list[Span] = []
        self.shown: NDArray[np.float32]

    def read(self, outputs: Arrays, task: DigitClassification) -> Arrays:
        """The outputs for what is read; the rest is dropped here, too."""
        if task.acceptance_threshold is None or all(span.whole for span in self.spans):
            return outputs
        familiarity = outputs["familiarity"] - np.float32(task.acceptance_threshold)
        read = likeliest(self.spans, outputs["probabilities"].max(axis=1), familiarity)
        self.found, self.spans = [self.found[row] for row in read], [Span(row, row + 1) for row in range(len(read))]
        self.shown = self.shown[read]
        return {name: rows[read] for name, rows in outputs.items()}


def decode(request: Request, limits: Limits) -> Payload:
    """Samples are arrays [N, H, W] of numbers as sent, or pictures."""
    media = request.media_type
    samples: NDArray[Any] | list[Encoded]
    fields: Mapping[str, object] = {}
    if media == JSON:
        samples, fields = _decode_json(request.body, limits)
    elif media == NPY:
        array = read_npy(request.body)
        samples = array[None] if array.ndim == 2 else array
    elif media == FORM:
        files, fields = read_form(request, "image", {"model", "version", *OPTIONS})
        limits.check_rows(len(files), "image")
        samples = pictures.open_all(files, limits.max_pixels, "image")
    elif media in pictures.MEDIA_TYPES:
        samples = pictures.opened(request.body, limits.max_pixels)
    else:
        raise UnsupportedMedia(f"Send {', '.join(REQUEST_MEDIA)}.", "content-type")
    if not isinstance(samples, list) and len(fields) < 2 and not request.query:
        return Payload(samples)
    many, explain = (flag(fields.get(name, request.query.get(name)), name) for name in OPTIONS)
    if many and not isinstance(samples, list):
        raise InvalidValue("Numbers are one digit each: send picture files, or base64 of them.", "many")
    model, version = (optional_text(fields.get(name), name) for name in ("model", "version"))
    if not isinstance(samples, list):
        return Payload(samples, model, version, explain)
    return Payload(Sent(samples, many), model, version, explain, sum(one.work for one in samples))


def _decode_json(body: bytes, limits: Limits) -> tuple[NDArray[Any] | list[Encoded], dict[str, Any]]:
    """The images and all fields."""
    document = parse_object(body, {"images", "model", "version", *OPTIONS}, limits)
    if "images" not in document:
        raise InvalidValue("Missing.", "images")
    images = document["images"]
    if not isinstance(images, simdjson.Array):
        raise InvalidValue("Must be an array of pictures.", "images")
    limits.check_rows(len(images), "images")
    if isinstance(images[0], str):
        files = (_read_base64(text, f"images[{i}]") for i, text in enumerate(images))
        return pictures.open_all(files, limits.max_pixels, "images"), document
    return numeric_array(images, "images", body), document


def _read_base64(text: object, field: str) -> bytes:
    if not isinstance(text, str):
        raise InvalidValue("Must be a base64 string like the first one.", field)
    return pictures.read_base64(text, field)


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Arrays:
    """Float32 [N, H, W] of the graph's size and range, white on black."""
    check_explainable(payload, manifest)
    tensor, sent = manifest.inputs[0], payload.samples
    side: tuple[Any, ...] = tensor.shape[1:]
    if not isinstance(sent, Sent):
        return {tensor.name: checked(sent, tensor, limits)}
    assert isinstance(manifest.task, DigitClassification)
    if not manifest.task.pictures:
        raise InvalidValue(f"{manifest.name} reads numbers of its own form, no picture files.", "model")
    limits.check_rows(len(sent.pictures), "image")
    spare = 0 if manifest.task.acceptance_threshold is None else limits.max_rows
    rows = list(islice(_digits(sent, side, limits, spare), limits.max_rows + spare + 1))
    sent.found, sent.spans = [found for found, _, _ in rows], [span for _, span, _ in rows]
    limits.check_rows(sum(span.whole for span in sent.spans) or 1, "image")
    # A batch has rows. Where no digit was found, what is said of an empty one is not told.
    sent.shown = np.stack([row for _, _, row in rows] or [np.zeros(side, np.float32)])
    return {tensor.name: ranged(sent.shown, tensor)}


def check_explainable(payload: Payload, manifest: Manifest) -> None:
    if payload.explain and not manifest.explanation:
        raise NotExplainable(f"The bundle of {manifest.name} holds no graph that explains it.", "model")


def _digits(
    sent: Sent, side: tuple[int, int], limits: Limits, spare: int
) -> Iterator[tuple[Found, Span, NDArray[np.float32]]]:
    """What was found, picture by picture; with `many`, at most `spare` parts of what may be several digits as well."""
    cuts = 0
    for number, encoded in enumerate(sent.pictures):
        limits.check_time()
        picture = encoded.read(limits)
        if sent.many:
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


def ranged(shown: NDArray[np.float32], tensor: Tensor) -> NDArray[np.float32]:
    """Grey levels from 0 to 255 in the range of the graph's input."""
    white = tensor.range[1] if tensor.range else WHITE
    return shown if white == WHITE else shown * np.float32(white / WHITE)


def checked(images: NDArray[Any], tensor: Tensor, limits: Limits) -> NDArray[np.float32]:
    """Numbers as the graph takes them."""
    if images.shape[1:] != tensor.shape[1:]:
        wanted = "x".join(str(length) for length in tensor.shape[1:])
        raise InvalidShape(f"Each picture must be {wanted} numbers, got {list(images.shape[1:])}.", "images")
    limits.check_rows(len(images), "images")
    low, high = tensor.range or (0, WHITE)
    bytes_fit = images.dtype == np.uint8 and (low, high) == (0, WHITE)
    greatest = images.max()
    if not bytes_fit and not (images.min() >= low and greatest <= high):  # also false for NaN
        raise InvalidValue(f"Every number must lie between {low:g} and {high:g}.", "images")
    if 0 < greatest <= 1 < high:
        raise InvalidValue(f"Numbers go from {low:g} to {high:g}; these end at {greatest:g}.", "images")
    return images.astype(np.float32)


def present(outputs: Arrays, payload: Payload, manifest: Manifest, request: Request) -> Answer:
    task, sent = manifest.task, payload.samples
    assert isinstance(task, DigitClassification)
    if isinstance(sent, Sent):
        outputs = sent.read(outputs, task)
    predictions = ranked(outputs, "digit", task.labels)
    for one in predictions:
        one["accepted"] = True
    for row, reason in _refusals(outputs, sent, task.acceptance_threshold).items():
        predictions[row] |= {"accepted": False, "reason": reason}
    if payload.explain:
        explain(predictions, outputs, payload)
    if isinstance(sent, Sent) and sent.many:
        predictions = [one | found._asdict() for one, found in zip(predictions, sent.found, strict=False)]
    body = {"model": manifest.identity, "predictions": predictions}
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))


def ranked(outputs: Arrays, name: str, labels: Sequence[int | str]) -> list[dict[str, Any]]:
    """One prediction per row; `name` is what its likeliest label is called."""
    probabilities = outputs["probabilities"]
    best = probabilities.argmax(axis=1).tolist()
    return [
        {name: labels[index], "confidence": row[index], "probabilities": row}
        for index, row in zip(best, probabilities, strict=True)
    ]


def _refusals(outputs: Arrays, samples: "Sent | NDArray[Any]", threshold: float | None) -> dict[int, Reason]:
    """The rows that are not accepted, and why."""
    reasons: dict[int, Reason] = {}
    if threshold is not None:
        familiar = (outputs["familiarity"] >= threshold).tolist()
        reasons = {row: "unlike-a-digit" for row, known in enumerate(familiar) if not known}
    if isinstance(samples, Sent):
        inked = [one.box is not None for one in samples.found]
    else:
        any_ink: Any = samples.reshape(len(samples), -1).any(axis=1)
        inked = any_ink.tolist()
    return reasons if all(inked) else reasons | {row: "no-ink" for row, ink in enumerate(inked) if not ink}


def explain(predictions: list[dict[str, Any]], outputs: Arrays, payload: Payload) -> None:
    """Add to each prediction the heat map of its label, of the size that the graph takes, and what the graph saw."""
    samples = payload.samples
    shown = samples.shown if isinstance(samples, Sent) else samples
    best = outputs["probabilities"].argmax(axis=1)
    for one, maps, index, picture in zip(predictions, outputs["class_maps"], best, shown, strict=True):
        one["heat_map"] = pictures.png_text(heat_map(maps[index], picture.shape))
        one["seen"] = pictures.png_text(np.rint(picture).astype(np.uint8))

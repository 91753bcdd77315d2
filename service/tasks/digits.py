"""Digit classification: pictures of digits -> the digit and how sure the model is."""

from typing import Any

import numpy as np
import orjson
import simdjson
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field

from service.bundle import Arrays, DigitClassification, Manifest
from service.codecs import pictures
from service.codecs.arrays import numeric_array, parse_object, read_npy
from service.codecs.forms import read_form
from service.errors import InvalidShape, InvalidValue, UnsupportedMedia
from service.limits import Limits
from service.messages import FORM, JSON, NPY, Answer, Payload, Request, optional_text

REQUEST_MEDIA = (*pictures.MEDIA_TYPES, FORM, JSON, NPY)
ANSWER_MEDIA = (JSON,)


class ClassifyRequest(BaseModel):
    """Pictures as 28x28 numbers from 0 (black) to 255 (white), white digit on black, or as base64 of a picture file."""

    images: list[str] | list[list[list[float]]]
    model: str | None = None
    version: str | None = None


class Classification(BaseModel):
    digit: int
    confidence: float = Field(description="Probability of `digit`.")
    probabilities: list[float] = Field(description="One per label, summing to 1.")


class ClassifyAnswer(BaseModel):
    model: dict[str, str]
    predictions: list[Classification]


def decode(request: Request, limits: Limits) -> Payload:
    """Samples are arrays [N, H, W] of numbers as sent, or a list of grey pictures [H, W]."""
    media = request.media_type
    if media == JSON:
        return _decode_json(request.body, limits)
    if media == NPY:
        array = read_npy(request.body)
        return Payload(array[None] if array.ndim == 2 else array)
    if media == FORM:
        files, fields = read_form(request, "image")
        limits.check_rows(len(files), "image")
        grey = pictures.read_all_grey(files, limits.max_pixels, "image")
        return Payload(grey, fields.get("model"), fields.get("version"))
    if media in pictures.MEDIA_TYPES:
        return Payload([pictures.read_grey(request.body, limits.max_pixels)])
    raise UnsupportedMedia(f"Send {', '.join(REQUEST_MEDIA)}.", "content-type")


def _decode_json(body: bytes, limits: Limits) -> Payload:
    document = parse_object(body, {"images", "model", "version"})
    if "images" not in document:
        raise InvalidValue("Missing.", "images")
    images = document["images"]
    name = optional_text(document.get("model"), "model")
    version = optional_text(document.get("version"), "version")
    if not isinstance(images, simdjson.Array):
        raise InvalidValue("Must be an array of pictures.", "images")
    limits.check_rows(len(images), "images")
    if isinstance(images[0], str):
        files = (_read_base64(text, f"images[{i}]") for i, text in enumerate(images))
        grey = pictures.read_all_grey(files, limits.max_pixels, "images")
        return Payload(grey, name, version)
    return Payload(numeric_array(images, "images", body), name, version)


def _read_base64(text: object, field: str) -> bytes:
    if not isinstance(text, str):
        raise InvalidValue("Must be a base64 string like the first one.", field)
    return pictures.read_base64(text, field)


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Arrays:
    """Float32 [N, H, W] of the graph's size, 0..255, white on black."""
    tensor = manifest.inputs[0]
    side: tuple[Any, ...] = tensor.shape[1:]
    if isinstance(payload.samples, list):
        limits.check_rows(len(payload.samples), "image")
        return {tensor.name: np.stack([_to_mnist(grey, side) for grey in payload.samples])}
    return {tensor.name: _checked(payload.samples, side, limits)}


def _checked(images: NDArray[Any], side: tuple[int, ...], limits: Limits) -> NDArray[np.float32]:
    if images.shape[1:] != side:
        wanted = "x".join(str(length) for length in side)
        raise InvalidShape(f"Each picture must be {wanted} numbers, got {list(images.shape[1:])}.", "images")
    limits.check_rows(len(images), "images")
    if images.dtype != np.uint8 and not (images.min() >= 0 and images.max() <= 255):  # also false for NaN
        raise InvalidValue("Every number must lie between 0 and 255.", "images")
    return images.astype(np.float32)


def _to_mnist(grey: NDArray[np.uint8], side: tuple[int, ...]) -> NDArray[np.float32]:
    """A picture of the graph's size and dark at its border is taken as it is; any other is made the way MNIST was:

    white on black, cropped, fitted into a box of 20/28 of the side, its centre of mass in the middle
    (LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998, section III.A).
    """
    paper = float(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))
    if paper <= 127 and grey.shape == side:
        return grey.astype(np.float32)
    ink = np.clip((grey if paper <= 127 else 255 - grey) - min(paper, 255 - paper), 0, None).astype(np.float32)
    drawn = ink > 0.1 * ink.max()
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    if not rows.size:
        return np.zeros(side, np.float32)
    crop = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = 20 / 28 * side[0] / max(crop.shape)
    size = [max(1, round(length * scale)) for length in crop.shape]
    small = np.asarray(Image.fromarray(crop).resize((size[1], size[0]), Image.Resampling.BOX))
    return _centred(small * (255 / small.max()), side)


def _centred(small: NDArray[np.float32], side: tuple[int, ...]) -> NDArray[np.float32]:
    """The centre of mass of MNIST digits lies at index 14.0 of 28, in the mean of all of them."""
    canvas = np.zeros(side, np.float32)
    corner = []
    for axis, length in enumerate(side):
        mass = small.sum(axis=1 - axis)
        centre = float((mass * np.arange(len(mass))).sum() / mass.sum())
        corner.append(int(np.clip(round(length / 2 - centre), 0, length - small.shape[axis])))
    canvas[corner[0] : corner[0] + small.shape[0], corner[1] : corner[1] + small.shape[1]] = small
    return canvas


def present(outputs: Arrays, payload: Payload, manifest: Manifest, request: Request) -> Answer:
    assert isinstance(manifest.task, DigitClassification)
    probabilities = outputs["probabilities"]
    best = probabilities.argmax(axis=1)
    labels = manifest.task.labels
    predictions = [
        {"digit": labels[index], "confidence": row[index], "probabilities": row}
        for index, row in zip(best.tolist(), probabilities, strict=True)
    ]
    body = {"model": manifest.identity, "predictions": predictions}
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))

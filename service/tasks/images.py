"""Image classification: pictures of things -> what they show. Media, numbers and explanations are those of digits."""

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field

from service.bundle import Arrays, ImageClassification, Manifest
from service.codecs.pictures import Picture
from service.errors import InvalidValue
from service.limits import Limits
from service.messages import Answer, Payload, Request
from service.tasks import digits
from service.tasks.digits import ANSWER_MEDIA as ANSWER_MEDIA
from service.tasks.digits import REQUEST_MEDIA as REQUEST_MEDIA
from service.tasks.digits import Explained, Sent

OPTIONS = ("explain",)


class ClassifyImagesRequest(BaseModel):
    """Pictures as numbers from 0 (black) to 255 (white), of the size that the model takes, or as base64 of a file."""

    images: list[str] | list[list[list[float]]]
    model: str | None = None
    version: str | None = None
    explain: bool = Field(default=False, description="Say with each prediction where it comes from.")


class ImageLabel(Explained):
    label: str


class ClassifyImagesAnswer(BaseModel):
    model: dict[str, str]
    predictions: list[ImageLabel]


def decode(request: Request, limits: Limits) -> Payload:
    """Samples are arrays [N, H, W] of numbers as sent, or pictures."""
    payload = digits.decode(request, limits)
    if isinstance(payload.samples, Sent) and payload.samples.many:
        raise InvalidValue("Only digits are looked for in a picture: send one thing per picture.", "many")
    return payload


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Arrays:
    """Float32 [N, H, W] of the graph's size, 0..255. A picture of another size is resized, whatever its proportions."""
    digits.check_explainable(payload, manifest)
    tensor, sent = manifest.inputs[0], payload.samples
    side: tuple[Any, ...] = tensor.shape[1:]
    if not isinstance(sent, Sent):
        return {tensor.name: digits.checked(sent, tensor, limits)}
    limits.check_rows(len(sent.pictures), "image")
    rows = []
    for encoded in sent.pictures:
        limits.check_time()
        rows.append(_resized(encoded.read(limits), side))
    sent.shown = np.stack(rows)
    return {tensor.name: digits.ranged(sent.shown, tensor)}


def _resized(picture: Picture, side: tuple[int, int]) -> NDArray[np.float32]:
    grey = picture.grey
    if grey.shape != side:
        grey = np.asarray(Image.fromarray(grey).resize(side[::-1], Image.Resampling.BICUBIC))
    return grey.astype(np.float32)


def present(outputs: Arrays, payload: Payload, manifest: Manifest, request: Request) -> Answer:
    assert isinstance(manifest.task, ImageClassification)
    predictions = digits.ranked(outputs, "label", manifest.task.labels)
    if payload.explain:
        digits.explain(predictions, outputs, payload)
    body = {"model": manifest.identity, "predictions": predictions}
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))

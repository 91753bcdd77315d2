"""The inside of an image classifier: what each layer makes of a picture."""

from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import Arrays, DigitClassification, ImageClassification, Manifest
from service.codecs.heat import activation_sheet, stacked
from service.codecs.pictures import png_text, write_png
from service.errors import NotExplainable
from service.limits import Limits
from service.messages import JSON, PNG, Answer, Payload, Request
from service.tasks import digits, images
from service.tasks.digits import REQUEST_MEDIA as REQUEST_MEDIA
from service.tasks.digits import Sent

ANSWER_MEDIA = (JSON, PNG)
OPTIONS = ("many",)
MAX_PICTURES = 16  # every activation of each becomes part of a picture


class Layer(BaseModel):
    name: str
    shape: list[int] = Field(description="Of one picture's activations: [channels, height, width] or [features].")
    mean: float
    deviation: float
    least: float
    greatest: float
    active: float = Field(description="Share of the activations that are above zero.")
    sheet: str = Field(description="Base64 PNG: the channels side by side, black to white from least to greatest.")


class Inside(BaseModel):
    layers: list[Layer]


class ActivationsAnswer(BaseModel):
    """For each picture, in the order of the predictions that the model would make, its layers from first to last."""

    model: dict[str, str]
    activations: list[Inside]


def decode(request: Request, limits: Limits) -> Payload:
    return digits.decode(request, limits)._replace(explain=True)


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Arrays:
    if not isinstance(manifest.task, DigitClassification | ImageClassification):
        raise NotExplainable(f"{manifest.name} does not take pictures.", "model")
    prepared = images.prepare if isinstance(manifest.task, ImageClassification) else digits.prepare
    return prepared(payload, manifest, limits._replace(max_rows=min(limits.max_rows, MAX_PICTURES)))


def present(outputs: Arrays, payload: Payload, manifest: Manifest, request: Request) -> Answer:
    """One picture's layers fit onto a sheet; those of several are told in JSON."""
    names = [tensor.name for tensor in manifest.explanation]
    task, sent = manifest.task, payload.samples
    found = None
    if isinstance(task, DigitClassification) and isinstance(sent, Sent):
        outputs = sent.read(outputs, task)
        found = len(sent.found)
    # Where no digit was found the batch has an empty row.
    rows = list(zip(*(outputs[name] for name in names), strict=True))[:found]
    alone = f"{len(rows)} pictures fit into {JSON} only; send one per request for {PNG}."
    media = request.choose(ANSWER_MEDIA) if len(rows) == 1 else request.choose((JSON,), alone)
    if media == PNG:
        return Answer(write_png(stacked([activation_sheet(layer) for layer in rows[0]])), PNG)
    activations = [{"layers": [_layer(*layer) for layer in zip(names, row, strict=True)]} for row in rows]
    body = {"model": manifest.identity, "activations": activations}
    return Answer(orjson.dumps(body))


def _layer(name: str, activation: NDArray[np.float32]) -> dict[str, Any]:
    return {
        "name": name,
        "shape": activation.shape,
        "mean": float(activation.mean()),
        "deviation": float(activation.std()),
        "least": float(activation.min()),
        "greatest": float(activation.max()),
        "active": float((activation > 0).mean()),
        "sheet": png_text(activation_sheet(activation)),
    }

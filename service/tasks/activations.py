"""The inside of an image classifier: what each layer makes of a picture."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import EXPLANATION, MAIN, Arrays, DigitClassification, Manifest
from service.codecs.heat import activation_sheet, stacked
from service.codecs.pictures import png_text, write_png
from service.errors import InvalidValue, NotExplainable
from service.limits import Limits
from service.messages import JSON, PNG, Answer
from service.task import Example, Payload, Prepared, Task
from service.tasks import digits, images

MAX_PICTURES = 16  # every activation of each becomes part of a picture
PREPARE: dict[str, Callable[[Payload, Manifest, Limits], Prepared]] = {
    "digit-classification": digits.prepare,
    "image-classification": images.prepare,
}


class ActivationsRequest(BaseModel):
    """Pictures as the model takes them, in numbers or as base64 of a picture file."""

    images: list[str] | list[list[list[float]]] | list[list[list[list[float]]]]
    version: str | None = None
    many: bool = Field(default=False, description="Find all digits of each picture.")


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


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    prepared = PREPARE.get(manifest.task.kind)
    if prepared is None:
        raise NotExplainable(f"{manifest.name} does not take pictures.", "model")
    if payload.options.get("many") and prepared is images.prepare:
        raise InvalidValue("Only digits are looked for in a picture: send one thing per picture.", "many")
    images.graphs_for(True, manifest)
    at_once = limits._replace(max_rows=min(limits.max_rows, MAX_PICTURES))
    inputs, context, *_ = prepared(payload, manifest, at_once)
    graphs = MAIN, EXPLANATION
    if (count := _count(context)) == 1:
        return Prepared(inputs, context, graphs)
    why = f"{count} pictures fit into {JSON} only; send one per request for {PNG}."
    return Prepared(inputs, context, graphs, (JSON,), why)


def _rows(outputs: Arrays, context: Any, manifest: Manifest) -> list[list[tuple[str, NDArray[np.float32]]]]:
    """The layers of each picture that is read, with their names."""
    if isinstance(manifest.task, DigitClassification):
        outputs, context = digits.read(outputs, context, manifest.task)
    names = [tensor.name for tensor in manifest.graphs[EXPLANATION].outputs]
    return [[(name, outputs[name][row]) for name in names] for row in range(_count(context))]


def _count(context: Any) -> int:
    """Of pictures to tell of: where no digit was found, the batch has an empty row."""
    found = getattr(context, "found", None)
    return len(context.shown if found is None else found)


def write_json(outputs: Arrays, context: Any, manifest: Manifest) -> Answer:
    activations = [{"layers": [_layer(*layer) for layer in row]} for row in _rows(outputs, context, manifest)]
    return Answer(orjson.dumps({"model": manifest.identity, "activations": activations}))


def write_sheet(outputs: Arrays, context: Any, manifest: Manifest) -> Answer:
    layers = [activation_sheet(layer) for row in _rows(outputs, context, manifest) for _, layer in row]
    return Answer(write_png(stacked(layers)), PNG)


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


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    if EXPLANATION not in manifest.graphs or manifest.task.kind not in PREPARE:
        return
    names = [one.name for one in manifest.graphs[EXPLANATION].outputs]
    shown = images.as_bytes(inputs, manifest)
    check = _naming(names, len(shown))
    yield from images.examples_of_numbers(manifest, inputs, check)
    yield from images.examples_of_files(shown, check, _naming(names, 1))


def _naming(names: list[str], count: int) -> Callable[[bytes], None]:
    """A check that an answer tells of so many pictures, layer by layer."""

    def check(answer: bytes) -> None:
        told = [[layer["name"] for layer in one["layers"]] for one in orjson.loads(answer)["activations"]]
        if told != [names] * count:
            raise ValueError(f"other layers than {names} for each of {count} pictures")

    return check


TASK = Task(
    name="show_activations",
    path="/v1/models/{name}/activations",
    summary="What each layer of an image classifier makes of a picture",
    kind=None,
    readers=images.READERS,
    writers={JSON: write_json, PNG: write_sheet},
    request_form=ActivationsRequest,
    answer_form=ActivationsAnswer,
    prepare=prepare,
    examples=examples,
    options=(digits.MANY,),
    part="image",
    body_limit=32 * 2**20,
)

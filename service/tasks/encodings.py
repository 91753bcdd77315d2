"""The latent codes of pictures, by the graph `encode` of a model that draws such pictures."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
from pydantic import BaseModel, Field

from service.bundle import ENCODE, Arrays, Manifest, SampleGeneration
from service.codecs.arrays import write_npy
from service.codecs.forms import write_form
from service.codecs.pictures import write_png
from service.errors import InvalidValue
from service.limits import Limits
from service.messages import JSON, NPY, PNG, Answer
from service.task import Example, Option, Payload, Prepared, Task
from service.tasks import images


def read_label(value: object, field: str) -> str | None:
    if value is None or (isinstance(value, int | str) and not isinstance(value, bool)):
        return None if value is None else str(value)
    raise InvalidValue("Must be a label.", field)


LABEL = Option("label", "What all pictures show, for a model that is asked for labels.", {"type": "string"}, read_label)


class EncodeRequest(BaseModel):
    """Pictures as numbers from 0 (black) to 255 (white), of the size that the model draws, or as base64 of a file."""

    images: list[str] | list[list[list[float]]]
    label: int | str | None = Field(default=None, description=LABEL.description)
    model: str | None = None
    version: str | None = None


class EncodeAnswer(BaseModel):
    model: dict[str, str]
    latents: list[list[float]] = Field(description="A latent code for each picture, as `/v1/samples/generate` takes.")


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    """`image` float32 [N, H, W], and `label` int64 [N] where the graph takes labels."""
    task, label = manifest.task, payload.options.get("label")
    assert isinstance(task, SampleGeneration)
    if ENCODE not in manifest.graphs:
        raise InvalidValue(f"{manifest.name} holds no graph that encodes pictures: name another model.", "model")
    tensor, *others = manifest.graphs[ENCODE].inputs
    rows, _ = images.shown(payload, tensor, limits)
    inputs: Arrays = {tensor.name: rows}
    if others:
        if label not in task.labels:
            raise InvalidValue(f"{manifest.name} wants to know what they show: {', '.join(task.labels)}.", "label")
        inputs[others[0].name] = np.full(len(rows), task.labels.index(label))
    elif label is not None:
        raise InvalidValue(f"The model {manifest.name} takes no label.", "label")
    return Prepared(inputs, None, (ENCODE,))


def write_json(outputs: Arrays, _: Any, manifest: Manifest) -> Answer:
    body = {"model": manifest.identity, "latents": outputs["latent"]}
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))


def write_array(outputs: Arrays, _: Any, manifest: Manifest) -> Answer:
    return Answer(write_npy(outputs["latent"]), NPY)


def requests(manifest: Manifest, outputs: Arrays, check: Callable[[int], Callable[[bytes], None]]) -> Iterator[Example]:
    """Right requests that encode what the model has drawn; `check` makes the check of so many pictures."""
    if ENCODE not in manifest.graphs:
        return
    assert isinstance(manifest.task, SampleGeneration)
    numbers = np.rint(next(iter(outputs.values())))
    files = [write_png(picture.astype(np.uint8)) for picture in numbers]
    label = {"label": manifest.task.labels[0]} if len(manifest.graphs[ENCODE].inputs) > 1 else {}
    query, every = "&".join(f"{name}={value}" for name, value in label.items()), check(len(numbers))
    yield Example("numbers", write_npy(numbers), NPY, every, query, JSON)
    yield Example("JSON", orjson.dumps({"images": numbers.tolist(), **label}), JSON, every, accept=JSON)
    yield Example("picture", files[0], PNG, check(1), query, JSON)
    yield Example("pictures in a form", *write_form("image", files), every, query, JSON)


def examples(manifest: Manifest, _: Arrays, outputs: Arrays) -> Iterator[Example]:
    assert isinstance(manifest.task, SampleGeneration)
    size = manifest.task.latent_size

    def of_count(count: int) -> Callable[[bytes], None]:
        def check(answer: bytes) -> None:
            if (shape := np.shape(orjson.loads(answer)["latents"])) != (count, size):
                raise ValueError(f"codes {shape}, not {(count, size)}")

        return check

    yield from requests(manifest, outputs, of_count)


TASK = Task(
    name="encode_samples",
    path="/v1/samples/encode",
    summary="Find the latent codes of pictures",
    kind="sample-generation",
    graph=ENCODE,
    readers=images.READERS,
    writers={JSON: write_json, NPY: write_array},
    request_form=EncodeRequest,
    answer_form=EncodeAnswer,
    prepare=prepare,
    examples=examples,
    options=(LABEL,),
    part="image",
)

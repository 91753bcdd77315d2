"""Pictures of one domain made to look like those of another, either way, by a model of two domains."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
from pydantic import BaseModel, Field

from service.bundle import BACK, MAIN, Arrays, Manifest, SampleTranslation
from service.codecs import pictures
from service.codecs.arrays import write_npy
from service.codecs.forms import write_form
from service.errors import InvalidValue
from service.limits import Limits
from service.messages import JSON, NPY, PNG, Answer
from service.task import Example, Option, Payload, Prepared, Task
from service.tasks import images


def read_domain(value: object, field: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InvalidValue("Must be the name of a domain.", field)


TO = Option("to", "The domain to translate to, by default the model's second.", {"type": "string"}, read_domain)


class TranslateRequest(BaseModel):
    """Pictures as numbers from 0 (black) to 255 (white), of the size that the model takes, or as base64 of a file."""

    images: list[str] | list[list[list[float]]]
    to: str | None = Field(default=None, description=TO.description)
    model: str | None = None
    version: str | None = None


class TranslateAnswer(BaseModel):
    model: dict[str, str]
    domain: str = Field(description="What the pictures were translated to.")
    translations: list[str] = Field(description="PNG pictures in base64.")


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    """Float32 [N, H, W] for one of the two graphs; pictures are resized to what it takes."""
    task, tensor = manifest.task, manifest.inputs[0]
    assert isinstance(task, SampleTranslation)
    first, second = task.domains
    to = payload.options.get("to") or second
    if to not in task.domains:
        raise InvalidValue(f"{manifest.name} translates to {first} or {second}.", "to")
    rows, _ = images.shown(payload, tensor, limits)
    return Prepared({tensor.name: rows}, to, (MAIN if to == second else BACK,))


def write_sheet(outputs: Arrays, _: str, manifest: Manifest) -> Answer:
    return Answer(pictures.write_png(pictures.sheet(_pictures(outputs, manifest))), PNG)


def write_json(outputs: Arrays, to: str, manifest: Manifest) -> Answer:
    made = [pictures.png_text(picture) for picture in _pictures(outputs, manifest)]
    return Answer(orjson.dumps({"model": manifest.identity, "domain": to, "translations": made}))


def write_array(outputs: Arrays, _: str, manifest: Manifest) -> Answer:
    return Answer(write_npy(_pictures(outputs, manifest)), NPY)


def _pictures(outputs: Arrays, manifest: Manifest) -> Any:
    return np.rint(np.clip(outputs[manifest.outputs[0].name], 0, images.WHITE)).astype(np.uint8)


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    assert isinstance(manifest.task, SampleTranslation)
    numbers, golden = inputs[manifest.inputs[0].name], _pictures(outputs, manifest)
    files = [pictures.write_png(picture.astype(np.uint8)) for picture in numbers]
    first = f"to={manifest.task.domains[0]}"
    yield Example("numbers", write_npy(numbers), NPY, _resembling(golden), accept=NPY)
    yield Example("JSON", orjson.dumps({"images": numbers.tolist()}), JSON, _of_count(len(files)), accept=JSON)
    yield Example("picture", files[0], PNG, _of_count(1), accept=JSON)
    yield Example("pictures in a form, back", *write_form("image", files), _of_count(len(files)), first, JSON)


def _resembling(golden: Any) -> Callable[[bytes], None]:
    """A check that an answer is the golden pictures; a batch of another size may round the last bit the other way."""

    def check(answer: bytes) -> None:
        made = np.load(io.BytesIO(answer), allow_pickle=False)
        if made.shape != golden.shape or np.abs(made.astype(int) - golden).max() > 1:
            raise ValueError("not the golden pictures")

    return check


def _of_count(count: int) -> Callable[[bytes], None]:
    def check(answer: bytes) -> None:
        if (given := len(orjson.loads(answer)["translations"])) != count:
            raise ValueError(f"{given} pictures, not {count}")

    return check


TASK = Task(
    name="translate_samples",
    path="/v1/samples/translate",
    summary="Make pictures look like those of another domain",
    kind="sample-translation",
    readers=images.READERS,
    writers={PNG: write_sheet, JSON: write_json, NPY: write_array},
    request_form=TranslateRequest,
    answer_form=TranslateAnswer,
    prepare=prepare,
    examples=examples,
    options=(TO,),
    part="image",
)

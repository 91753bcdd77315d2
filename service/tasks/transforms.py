"""Image transformation: pictures -> pictures, as a model of that kind makes them."""

import io
from collections.abc import Callable, Iterator

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import Arrays, ImageTransformation, Manifest
from service.codecs import pictures
from service.codecs.arrays import write_npy
from service.limits import Limits
from service.messages import JSON, NPY, PNG, Answer
from service.task import Example, Payload, Prepared, Task
from service.tasks import images

WITHIN = 2  # levels of grey: a batch of another size may round the other way


class TransformImagesRequest(BaseModel):
    """Pictures as numbers from 0 (black) to 255 (white), of the size that the model takes, or as base64 of a file."""

    images: list[str] | list[list[list[float]]] | list[list[list[list[float]]]]
    model: str | None = None
    version: str | None = None


class TransformImagesAnswer(BaseModel):
    model: dict[str, str]
    images: list[str] = Field(description="PNG pictures in base64, one for each that came.")


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    """Float32 as for classification: pictures are resized to what the graph takes."""
    assert isinstance(manifest.task, ImageTransformation)
    inputs = images.prepare(payload, manifest, limits).inputs
    (count,) = {len(array) for array in inputs.values()}
    own = payload.media_type if payload.media_type in (JSON, NPY) else PNG
    offered = tuple(dict.fromkeys((own, PNG, JSON, NPY)))
    if count == 1:
        return Prepared(inputs, media_types=offered, why=f"The answer can be {' or '.join(offered)}.")
    several = tuple(media for media in offered if media != PNG)
    why = f"{count} pictures fit into {' or '.join(several)} only; send one per request for a picture."
    return Prepared(inputs, media_types=several, why=why)


def write_picture(outputs: Arrays, _: object, manifest: Manifest) -> Answer:
    return Answer(pictures.write_png(_levels(outputs, manifest)[0]), PNG)


def write_json(outputs: Arrays, _: object, manifest: Manifest) -> Answer:
    texts = [pictures.png_text(picture) for picture in _levels(outputs, manifest)]
    return Answer(orjson.dumps({"model": manifest.identity, "images": texts}))


def write_array(outputs: Arrays, _: object, manifest: Manifest) -> Answer:
    return Answer(write_npy(_levels(outputs, manifest)), NPY)


def _levels(outputs: Arrays, manifest: Manifest) -> NDArray[np.uint8]:
    """From 0 to 255, whatever the range of the graph's output."""
    tensor = manifest.outputs[0]
    white = tensor.range[1] if tensor.range else images.WHITE
    levels: NDArray[np.uint8] = np.rint(np.clip(outputs[tensor.name] * (images.WHITE / white), 0, images.WHITE)).astype(
        np.uint8
    )
    return levels


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    shown, golden, tensor = images.as_bytes(inputs, manifest), _levels(outputs, manifest), manifest.inputs[0]
    for one in images.examples_of_numbers(manifest, inputs, _held(golden)):
        yield one._replace(accept=NPY)
    for one in images.examples_of_files(shown, _held(golden), _held(golden[:1])):
        yield one._replace(accept=NPY)
    first = write_npy(inputs[tensor.name][:1])
    yield Example("numbers to a picture", first, NPY, _drawn(golden[0]), accept=PNG)
    yield Example("numbers to JSON", first, NPY, _told(golden[0]), accept=JSON)


def _held(golden: NDArray[np.uint8]) -> Callable[[bytes], None]:
    """A check that an answer is these pictures, almost."""

    def check(answer: bytes) -> None:
        _compare(np.load(io.BytesIO(answer), allow_pickle=False), golden)

    return check


def _drawn(golden: NDArray[np.uint8]) -> Callable[[bytes], None]:
    return lambda answer: _compare(_opened(answer), golden)


def _told(golden: NDArray[np.uint8]) -> Callable[[bytes], None]:
    def check(answer: bytes) -> None:
        (text,) = orjson.loads(answer)["images"]
        _compare(_opened(pictures.read_base64(text, "images[0]")), golden)

    return check


def _opened(file: bytes) -> NDArray[np.uint8]:
    return pictures.read(file, Limits(1, 2**24)).pixels


def _compare(given: NDArray[np.generic], golden: NDArray[np.uint8]) -> None:
    if given.shape != golden.shape:
        raise ValueError(f"pictures of {given.shape}, not {golden.shape}")
    if (most := np.abs(given.astype(int) - golden).max()) > WITHIN:
        raise ValueError(f"{most} levels of grey from the golden pictures")


TASK = Task(
    name="transform_images",
    path="/v1/images/transform",
    summary="Make other pictures of pictures",
    kind="image-transformation",
    readers=images.READERS,
    writers={PNG: write_picture, JSON: write_json, NPY: write_array},
    request_form=TransformImagesRequest,
    answer_form=TransformImagesAnswer,
    prepare=prepare,
    examples=examples,
    part="image",
    body_limit=32 * 2**20,
)

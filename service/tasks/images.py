"""Image classification: pictures -> what they show.

A picture comes as a file, in base64, or as the numbers that the graph takes, grey [H, W] or in colours [H, W, 3].
"""

import base64
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson
import simdjson
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field

from service.bundle import EXPLANATION, MAIN, Arrays, ImageClassification, Manifest, Tensor
from service.codecs import pictures
from service.codecs.arrays import numeric_array, parse_object, read_npy, write_npy
from service.codecs.forms import read_form, write_form
from service.codecs.heat import heat_map
from service.codecs.pictures import Encoded, Picture
from service.errors import InvalidShape, InvalidValue, NotExplainable
from service.limits import Limits
from service.messages import FORM, JSON, NPY, PNG, Answer, Request
from service.task import AnswerForm, Body, Example, Option, Payload, Prepared, Reader, Task

WHITE = 255
EXPLAIN = Option(
    "explain", "Add to each prediction a heat map of what speaks for it and the picture that the model was shown."
)


class ClassifyImagesRequest(BaseModel):
    """Pictures as numbers from 0 (black) to 255 (white), of the size that the model takes, or as base64 of a file."""

    images: list[str] | list[list[list[float]]] | list[list[list[list[float]]]]
    model: str | None = None
    version: str | None = None
    explain: bool = Field(default=False, description="Say with each prediction where it comes from.")


class Explained(AnswerForm):
    """A prediction. What was not asked for is left out."""

    confidence: float = Field(description="Probability of the likeliest label.")
    probabilities: list[float] = Field(description="One per label, summing to 1.")
    heat_map: str | None = Field(default=None, description="Base64 PNG: what speaks for the likeliest label, where.")
    seen: str | None = Field(default=None, description="Base64 PNG: the picture as the model was shown it.")


class ImageLabel(Explained):
    label: str


class ClassifyImagesAnswer(BaseModel):
    model: dict[str, str]
    predictions: list[ImageLabel]


class Context(NamedTuple):
    """The pictures as the graph was shown them, before they were put in its range, and whether to explain."""

    shown: NDArray[Any]
    explain: bool


def read_picture(request: Request, limits: Limits, _: frozenset[str]) -> Body:
    return _encoded(pictures.opened(request.body, limits.max_pixels))


def read_parts(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
    files, given = read_form(request, "image", fields)
    limits.check_rows(len(files), "image")
    return _encoded(pictures.open_all(files, limits.max_pixels, "image"), given)


def read_json(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
    document = parse_object(request.body, {"images", *fields}, limits)
    images = document.pop("images", None)
    if images is None:
        raise InvalidValue("Missing.", "images")
    if not isinstance(images, simdjson.Array):
        raise InvalidValue("Must be an array of pictures.", "images")
    limits.check_rows(len(images), "images")
    if not isinstance(images[0], str):
        return Body(numeric_array(images, "images", request.body), document)
    files = (_read_base64(text, f"images[{i}]") for i, text in enumerate(images))
    return _encoded(pictures.open_all(files, limits.max_pixels, "images"), document)


def read_numbers(request: Request, limits: Limits, _: frozenset[str]) -> Body:
    return Body(read_npy(request.body))


READERS: dict[str, Reader] = {
    **dict.fromkeys(pictures.MEDIA_TYPES, read_picture),
    FORM: read_parts,
    JSON: read_json,
    NPY: read_numbers,
}


def _encoded(found: list[Encoded], fields: dict[str, Any] | None = None) -> Body:
    return Body(found, fields or {}, sum(one.work for one in found))


def _read_base64(text: object, field: str) -> bytes:
    if not isinstance(text, str):
        raise InvalidValue("Must be a base64 string like the first one.", field)
    return pictures.read_base64(text, field)


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    """Float32 [N, H, W] or [N, H, W, 3] of the graph's size; pictures are resized, whatever their proportions."""
    explain, tensor = payload.options.get("explain", False), manifest.inputs[0]
    graphs = graphs_for(explain, manifest)
    numbers, seen = shown(payload, tensor, limits)
    return Prepared({tensor.name: numbers}, Context(seen, explain), graphs)


def shown(payload: Payload, tensor: Tensor, limits: Limits) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The pictures as the graph takes them, and before they were put in its range."""
    if not isinstance(payload.samples, list):
        numbers = checked(pictures_of(payload, tensor), tensor, limits)
        return numbers, numbers
    limits.check_rows(len(payload.samples), "image")
    rows = []
    for encoded in payload.samples:
        limits.check_time()
        rows.append(_resized(encoded.read(limits), tensor.shape[1:]))
    seen = np.stack(rows)
    return ranged(seen, tensor), seen


def graphs_for(explain: bool, manifest: Manifest) -> tuple[str, ...]:
    """Raises NotExplainable."""
    if not explain:
        return (MAIN,)
    if EXPLANATION not in manifest.graphs:
        raise NotExplainable(f"The bundle of {manifest.name} holds no graph that explains it.", "model")
    return MAIN, EXPLANATION


def pictures_of(payload: Payload, tensor: Tensor) -> NDArray[Any]:
    """The numbers that came, one picture after the other; a `.npy` body may hold a single one."""
    images: NDArray[Any] = payload.samples
    return images[None] if payload.media_type == NPY and images.ndim == len(tensor.shape) - 1 else images


def checked(images: NDArray[Any], tensor: Tensor, limits: Limits, field: str = "images") -> NDArray[np.float32]:
    """Numbers as the graph takes them."""
    if images.shape[1:] != tensor.shape[1:]:
        wanted = "x".join(str(length) for length in tensor.shape[1:])
        raise InvalidShape(f"Each one must be {wanted} numbers, got {list(images.shape[1:])}.", field)
    limits.check_rows(len(images), field)
    low, high = tensor.range or (0, WHITE)
    bytes_fit = images.dtype == np.uint8 and (low, high) == (0, WHITE)
    # Past a layer in Python that looks for arguments which there are not.
    greatest = np.maximum.reduce(images, axis=None)
    if not bytes_fit and not (np.minimum.reduce(images, axis=None) >= low and greatest <= high):  # also false for NaN
        raise InvalidValue(f"Every number must lie between {low:g} and {high:g}.", field)
    if 0 < greatest <= 1 < high:
        raise InvalidValue(f"Numbers go from {low:g} to {high:g}; these end at {greatest:g}.", field)
    return images.astype(np.float32)


def _resized(picture: Picture, shape: tuple[int | str, ...]) -> NDArray[np.float32]:
    height, width, *colours = (int(side) for side in shape)
    pixels = picture.grey
    if colours:
        pixels = picture.pixels if picture.pixels.ndim == 3 else np.repeat(picture.pixels[..., None], 3, axis=2)
    if pixels.shape[:2] != (height, width):
        pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    return pixels.astype(np.float32)


def ranged(shown: NDArray[np.float32], tensor: Tensor) -> NDArray[np.float32]:
    """Levels from 0 to 255 in the range of the graph's input."""
    white = tensor.range[1] if tensor.range else WHITE
    return shown if white == WHITE else shown * np.float32(white / WHITE)


def write_json(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    assert isinstance(manifest.task, ImageClassification)
    predictions = ranked(outputs, "label", manifest.task.labels)
    if context.explain:
        explain(predictions, outputs, context.shown)
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


def explain(predictions: list[dict[str, Any]], outputs: Arrays, shown: NDArray[Any]) -> None:
    """Add to each prediction the heat map of its label, of the size that the graph takes, and what the graph saw."""
    best = outputs["probabilities"].argmax(axis=1)
    for one, maps, index, picture in zip(predictions, outputs["class_maps"], best, shown, strict=True):
        one["heat_map"] = pictures.png_text(heat_map(maps[index], picture.shape[:2]))
        one["seen"] = pictures.png_text(np.rint(picture).astype(np.uint8))


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    assert isinstance(manifest.task, ImageClassification)
    shown, check = as_bytes(inputs, manifest), label_check("label", manifest.task.labels, outputs["probabilities"])
    yield from examples_of_numbers(manifest, inputs, check)
    yield from examples_of_files(shown, check, label_check("label", manifest.task.labels, outputs["probabilities"][:1]))
    if EXPLANATION in manifest.graphs:
        yield Example("numbers, explained", write_npy(inputs[manifest.inputs[0].name]), NPY, check, "explain=true")


def as_bytes(inputs: Arrays, manifest: Manifest) -> NDArray[np.uint8]:
    """Golden pictures from 0 to 255."""
    tensor = manifest.inputs[0]
    white = tensor.range[1] if tensor.range else WHITE
    levels: NDArray[np.uint8] = np.rint(inputs[tensor.name] * (WHITE / white)).astype(np.uint8)
    return levels


def examples_of_numbers(manifest: Manifest, inputs: Arrays, check: Callable[[bytes], None]) -> Iterator[Example]:
    numbers = inputs[manifest.inputs[0].name]
    yield Example("numbers", write_npy(numbers), NPY, check)
    yield Example("JSON", orjson.dumps({"images": numbers.tolist()}), JSON, check)


def examples_of_files(
    shown: NDArray[np.uint8], check: Callable[[bytes], None], check_first: Callable[[bytes], None]
) -> Iterator[Example]:
    files = [pictures.write_png(picture) for picture in shown]
    texts = [base64.b64encode(file).decode() for file in files]
    yield Example("picture", files[0], PNG, check_first)
    yield Example("pictures in a form", *write_form("image", files), check)
    yield Example("pictures in JSON", orjson.dumps({"images": texts}), JSON, check)


def label_check(key: str, labels: Sequence[int | str], probabilities: NDArray[Any]) -> Callable[[bytes], None]:
    """A check that an answer has these probabilities, and for each row the likeliest label below `key`."""

    def check(answer: bytes) -> None:
        predictions = orjson.loads(answer)["predictions"]
        given = np.array([one["probabilities"] for one in predictions])
        if given.shape != probabilities.shape or not np.allclose(given, probabilities, atol=1e-3):
            raise ValueError(f"other probabilities than the golden ones: {given.tolist()}")
        for one, row in zip(predictions, given, strict=True):
            if one[key] != labels[int(row.argmax())] or one["confidence"] != row.max():
                raise ValueError(f"{one[key]!r} is not the likeliest of {row.tolist()}")

    return check


TASK = Task(
    name="classify_images",
    path="/v1/images/classify",
    summary="Classify pictures of things",
    kind="image-classification",
    readers=READERS,
    writers={JSON: write_json},
    request_form=ClassifyImagesRequest,
    answer_form=ClassifyImagesAnswer,
    prepare=prepare,
    examples=examples,
    options=(EXPLAIN,),
    part="image",
    body_limit=32 * 2**20,
)

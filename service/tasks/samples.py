"""Sample generation: a seed, a label, a count -> pictures.

The noise is drawn here, not in the graph (`codes`). Where no seed is given one is drawn; the answer says which, so that
its samples can be had again.
"""

import io
import zipfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import Arrays, Manifest, SampleGeneration
from service.codecs import pictures
from service.codecs.arrays import write_npy
from service.errors import InvalidShape, InvalidValue
from service.limits import Limits
from service.messages import GIF, JSON, NPY, PNG, WEBP, ZIP, Answer
from service.task import Example, Payload, Prepared, Task
from service.tasks import codes
from service.tasks.wishes import MAX_SEED, End, Wish, read_json

SEED = b"x-seed"


class GenerateRequest(BaseModel, extra="forbid"):
    """`label` for all samples, or one per sample; at random from the seed when there is none."""

    count: int = Field(default=1, ge=1, description="By default as many as latents or labels, 1 where there are none.")
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED, description="Drawn anew when none is given.")
    label: int | str | list[int | str] | None = Field(default=None, description="For all samples, or one for each.")
    labels: list[int | str] | None = Field(default=None, description="One for each sample.")
    latents: list[list[float]] | None = Field(default=None, description="Latent codes instead of random ones.")
    interpolate: list[int | list[float]] | None = Field(
        default=None, min_length=2, max_length=2, description="Two seeds or latent codes to go between."
    )
    grid: int | None = Field(default=None, ge=1, description="So many by so many codes of a model with two numbers.")
    truncation: float = Field(default=1.0, gt=0, le=1, description="Codes are drawn in towards 0 by it.")
    model: str | None = None
    version: str | None = None


class GenerateAnswer(BaseModel):
    model: dict[str, str]
    seed: int
    labels: list[str]
    samples: list[str] = Field(description="PNG pictures in base64.")


class Context(NamedTuple):
    """The seed of the samples and, where the model takes labels, those that were given or drawn."""

    seed: int
    labels: list[str]


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    """`latent` float32 [N, latent_size], standard normal, and `label` int64 [N] where the model takes labels."""
    task, wish = manifest.task, payload.samples
    assert isinstance(task, SampleGeneration)
    limits.claim(2 * wish.count * task.latent_size * np.dtype(np.float32).itemsize, "count")
    streams = [codes.stream(wish.seed, i) for i in range(wish.count)]
    noise = np.stack([stream.standard_normal(task.latent_size, np.float32) for stream in streams])
    inputs: Arrays = {"latent": np.float32(wish.truncation) * _codes(wish, noise)}
    if not task.labels:
        if wish.label is not None or wish.labels is not None:
            field = "label" if wish.labels is None else "labels"
            raise InvalidValue(f"The model {manifest.name} takes no label.", field)
        return Prepared(inputs, Context(wish.seed, []))
    # On the way between two codes, and over a plane of them, a label that changed would hide what the code does.
    steady = wish.ends is not None or wish.grid is not None
    drawn = [int(stream.integers(len(task.labels))) for stream in streams[: 1 if steady else None]]
    chosen = _labels(wish, task.labels) or (drawn * wish.count if steady else drawn)
    inputs["label"] = np.array(chosen, np.int64)
    return Prepared(inputs, Context(wish.seed, [task.labels[i] for i in chosen]))


def _codes(wish: Wish, noise: codes.Codes) -> codes.Codes:
    """Those that were asked for, in place of `noise` [N, latent_size] where that is not what was."""
    count, size = noise.shape
    if wish.latents is not None:
        return codes.given(wish.latents, noise.shape, "latents")
    if wish.grid is not None:
        return _plane(wish.grid, count, size)
    if wish.ends is None:
        return noise
    ends = [_reached(end, size, f"interpolate[{i}]") for i, end in enumerate(wish.ends)]
    return codes.between(ends[0], ends[1], count)


def _reached(end: End, size: int, field: str) -> codes.Codes:
    if isinstance(end, int):
        return codes.stream(end, 0).standard_normal(size, np.float32)
    return codes.given(end, (size,), field)


def _plane(side: int, count: int, size: int) -> codes.Codes:
    if size != 2:
        raise InvalidValue(f"Only codes of two numbers lie on a grid; those of this model have {size}.", "grid")
    if count != side * side:
        raise InvalidShape(f"Must be {side * side} with a grid of {side} by {side}: leave it out.", "count")
    return codes.plane(side)


def _labels(wish: Wish, known: tuple[str, ...]) -> list[int]:
    """Index of each sample's label; empty when none was asked for."""
    if wish.label is not None and wish.labels is not None:
        raise InvalidValue("Give either label or labels.", "labels")
    if wish.label is not None:
        return [_label(wish.label, "label", known)] * wish.count
    if wish.labels is None:
        return []
    if len(wish.labels) != wish.count:
        raise InvalidShape(f"Must have one label per sample, {wish.count}, got {len(wish.labels)}.", "labels")
    return [_label(one, f"labels[{i}]", known) for i, one in enumerate(wish.labels)]


def _label(value: object, field: str, known: tuple[str, ...]) -> int:
    if isinstance(value, int | str) and not isinstance(value, bool) and str(value) in known:
        return known.index(str(value))
    raise InvalidValue(f"Must be one of {', '.join(known)}.", field)


def write_sheet(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    return Answer(pictures.write_png(pictures.sheet(_pictures(outputs, manifest))), PNG, _headers(context))


def write_json(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    body = {
        "model": manifest.identity,
        "seed": context.seed,
        "labels": context.labels,
        "samples": [pictures.png_text(image) for image in _pictures(outputs, manifest)],
    }
    return Answer(orjson.dumps(body), JSON, _headers(context))


def write_array(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    return Answer(write_npy(_pictures(outputs, manifest)), NPY, _headers(context))


def write_webp(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    return Answer(pictures.write_animation(_pictures(outputs, manifest), "WEBP"), WEBP, _headers(context))


def write_gif(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    return Answer(pictures.write_animation(_pictures(outputs, manifest), "GIF"), GIF, _headers(context))


def write_zip(outputs: Arrays, context: Context, manifest: Manifest) -> Answer:
    """PNG files by their number and label, such as `0007-3.png`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for number, picture in enumerate(_pictures(outputs, manifest)):
            label = f"-{context.labels[number].replace('/', '-')}" if context.labels else ""
            # Without a date of its own, so that the same samples are the same bytes.
            archive.writestr(zipfile.ZipInfo(f"{number:04d}{label}.png"), pictures.write_png(picture))
    return Answer(buffer.getvalue(), ZIP, _headers(context))


def _pictures(outputs: Arrays, manifest: Manifest) -> NDArray[np.uint8]:
    levels: NDArray[np.uint8] = np.rint(np.clip(outputs[manifest.outputs[0].name], 0, 255)).astype(np.uint8)
    return levels


def _headers(context: Context) -> tuple[tuple[bytes, bytes], ...]:
    return ((SEED, b"%d" % context.seed),)


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    assert isinstance(manifest.task, SampleGeneration)
    golden, labels = _pictures(outputs, manifest), manifest.task.labels
    wish: dict[str, Any] = {"latents": inputs["latent"].tolist()}
    if labels:
        wish["labels"] = [labels[i] for i in inputs["label"].tolist()]
    yield Example("latent codes", orjson.dumps(wish), JSON, _resembling(golden), accept=NPY)
    drawn = orjson.dumps({"count": 4, "seed": 7})
    yield Example("drawn, as a sheet", drawn, JSON, _of_size(pictures.sheet(golden[[0] * 4]).shape), accept=PNG)
    yield Example("drawn, in JSON", drawn, JSON, _of_count(4), accept=JSON)
    way = orjson.dumps({"interpolate": [1, 2], "count": 4, "seed": 7, "truncation": 0.9})
    yield Example("a way between two seeds", way, JSON, _of_count(4), accept=JSON)
    yield Example("an animation", way, JSON, _animated, accept=WEBP)


def _resembling(golden: NDArray[np.uint8]) -> Callable[[bytes], None]:
    """A check that an answer is the golden samples; a batch of another size may round the last bit the other way."""

    def check(answer: bytes) -> None:
        samples = np.load(io.BytesIO(answer), allow_pickle=False)
        if samples.shape != golden.shape or np.abs(samples.astype(int) - golden).max() > 1:
            raise ValueError("not the golden samples")

    return check


def _of_size(shape: tuple[int, ...]) -> Callable[[bytes], None]:
    def check(answer: bytes) -> None:
        if (given := pictures.read(answer, Limits(1, 2**24)).pixels.shape) != shape:
            raise ValueError(f"a sheet of {given} pixels, not {shape}")

    return check


def _of_count(count: int) -> Callable[[bytes], None]:
    def check(answer: bytes) -> None:
        document = orjson.loads(answer)
        if len(document["samples"]) != count or document["seed"] != 7:
            raise ValueError(f"{len(document['samples'])} samples of seed {document['seed']}")

    return check


def _animated(answer: bytes) -> None:
    if answer[8:12] != b"WEBP" or b"ANIM" not in answer:
        raise ValueError("not an animated WebP picture")


TASK = Task(
    name="generate_samples",
    path="/v1/samples/generate",
    summary="Generate samples",
    kind="sample-generation",
    readers={JSON: read_json},
    writers={PNG: write_sheet, JSON: write_json, NPY: write_array, WEBP: write_webp, GIF: write_gif, ZIP: write_zip},
    request_form=GenerateRequest,
    answer_form=GenerateAnswer,
    prepare=prepare,
    examples=examples,
    headers={
        SEED.decode(): {
            "schema": {"type": "string"},
            "description": "The seed of these samples, drawn anew where none was given.",
        }
    },
    body_limit=2**20,
)

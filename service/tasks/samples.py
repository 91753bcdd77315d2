"""Sample generation: a seed, a label, a count -> pictures.

The noise is drawn here, not in the graph: sample i of a seed has its own counter-based stream (Philox, Salmon et al.
2011, keyed by seed and i), so it is the same sample whatever the count and whatever batch it rode in. Where no seed is
given one is drawn; the answer says which, so that its samples can be had again.
"""

import io
import secrets
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import orjson
import simdjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import Arrays, Manifest, SampleGeneration
from service.codecs import pictures
from service.codecs.arrays import numeric_array, parse_object, write_npy
from service.errors import InvalidShape, InvalidValue
from service.limits import Limits
from service.messages import JSON, NPY, PNG, Answer, Request
from service.task import Body, Example, Payload, Prepared, Task

WISHES = "count", "seed", "label", "labels", "latents"
MAX_SEED = 2**63 - 1
DRAWN = 512  # bytes, as `Body.work` counts: what a latent code takes to draw
FARTHEST = 20.0  # from 0, of a latent code's numbers: no draw of a standard normal comes near
SEED = b"x-seed"


class GenerateRequest(BaseModel, extra="forbid"):
    """`label` for all samples, or `labels` with one per sample; at random from the seed when neither is given."""

    count: int = Field(default=1, ge=1)
    seed: int | None = Field(default=None, ge=0, le=MAX_SEED, description="Drawn anew when none is given.")
    label: int | str | None = None
    labels: list[int | str] | None = None
    latents: list[list[float]] | None = Field(default=None, description="Latent codes instead of random ones.")
    model: str | None = None
    version: str | None = None


class GenerateAnswer(BaseModel):
    model: dict[str, str]
    seed: int
    labels: list[str]
    samples: list[str] = Field(description="PNG pictures in base64.")


class Wish(NamedTuple):
    """What to draw: `latents` instead of random codes, `label` for all samples or `labels` for each."""

    count: int  # type: ignore[assignment]  # tuples have a method of that name
    seed: int
    label: int | str | None
    labels: list[object] | None
    latents: NDArray[np.float64] | None


class Context(NamedTuple):
    """The seed of the samples and, where the model takes labels, those that were given or drawn."""

    seed: int
    labels: list[str]


def read_json(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
    given = parse_object(request.body, {*WISHES, *fields}, limits)
    wish = {name: given.pop(name) for name in WISHES if given.get(name) is not None}
    seed = _integer(wish.get("seed", secrets.randbelow(MAX_SEED)), "seed", 0, MAX_SEED)
    number = 1
    for field in ("labels", "latents"):
        if field in wish:
            if not isinstance(wish[field], simdjson.Array):
                raise InvalidValue("Must be an array.", field)
            number = len(wish[field])
            limits.check_rows(number, field)
    count = _integer(wish.get("count", number), "count", 1, None)
    limits.check_rows(count, "count")
    labels = wish["labels"].as_list() if "labels" in wish else None
    latents = numeric_array(wish["latents"], "latents") if "latents" in wish else None
    others = {name: given.get(name) for name in fields}
    return Body(Wish(count, seed, wish.get("label"), labels, latents), others, count * DRAWN)


def _integer(value: object, field: str, low: int, high: int | None) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < low or (high is not None and value > high):
        most = f", at most {high}" if high else ""
        raise InvalidValue(f"Must be a whole number of at least {low}{most}, in digits alone.", field)
    return value


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    """`latent` float32 [N, latent_size], standard normal, and `label` int64 [N] where the model takes labels."""
    task, wish = manifest.task, payload.samples
    assert isinstance(task, SampleGeneration)
    streams = [np.random.Generator(np.random.Philox(key=[wish.seed, i])) for i in range(wish.count)]
    noise = np.stack([stream.standard_normal(task.latent_size, np.float32) for stream in streams])
    inputs: Arrays = {"latent": noise if wish.latents is None else _latents(wish.latents, noise)}
    if not task.labels:
        if wish.label is not None or wish.labels is not None:
            field = "label" if wish.labels is None else "labels"
            raise InvalidValue(f"The model {manifest.name} takes no label.", field)
        return Prepared(inputs, Context(wish.seed, []))
    drawn = [int(stream.integers(len(task.labels))) for stream in streams]
    chosen = _labels(wish, task.labels) or drawn
    inputs["label"] = np.array(chosen, np.int64)
    return Prepared(inputs, Context(wish.seed, [task.labels[i] for i in chosen]))


def _latents(latents: NDArray[np.float64], noise: NDArray[np.float32]) -> NDArray[np.float32]:
    if latents.shape != noise.shape:
        raise InvalidShape(f"Must have the shape {list(noise.shape)}, got {list(latents.shape)}.", "latents")
    if np.abs(latents).max() > FARTHEST:
        raise InvalidValue(f"Every number must lie between {-FARTHEST:g} and {FARTHEST:g}.", "latents")
    return latents.astype(np.float32)


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


TASK = Task(
    name="generate_samples",
    path="/v1/samples/generate",
    summary="Generate samples",
    kind="sample-generation",
    readers={JSON: read_json},
    writers={PNG: write_sheet, JSON: write_json, NPY: write_array},
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
)

"""Sample generation: a seed, a label, a count -> pictures.

The noise is drawn here, not in the graph: sample i of a seed has its own counter-based stream (Philox, Salmon et al.
2011, keyed by seed and i), so it is the same sample whatever the count and whatever batch it rode in. Where no seed is
given one is drawn; the answer says which, so that its samples can be had again.
"""

import base64
import secrets

import numpy as np
import orjson
import simdjson
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from service.bundle import Arrays, Manifest, SampleGeneration
from service.codecs import pictures
from service.codecs.arrays import numeric_array, parse_object, write_npy
from service.errors import InvalidShape, InvalidValue, UnsupportedMedia
from service.limits import Limits
from service.messages import JSON, NPY, PNG, Answer, Payload, Request, optional_text

REQUEST_MEDIA = (JSON,)
ANSWER_MEDIA = (PNG, JSON, NPY)
MAX_SEED = 2**63 - 1
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


def decode(request: Request, limits: Limits) -> Payload:
    """Samples is the checked GenerateRequest as a dict."""
    if request.media_type != JSON:
        raise UnsupportedMedia(f"Send {JSON}.", "content-type")
    fields = parse_object(request.body, GenerateRequest.model_fields.keys(), limits)
    document = {name: value for name, value in fields.items() if value is not None}
    document["seed"] = _integer(document.get("seed", secrets.randbelow(MAX_SEED)), "seed", 0, MAX_SEED)
    given = 1
    for field in ("labels", "latents"):
        if field in document:
            if not isinstance(document[field], simdjson.Array):
                raise InvalidValue("Must be an array.", field)
            given = len(document[field])
            limits.check_rows(given, field)
    document["count"] = _integer(document.get("count", given), "count", 1, None)
    limits.check_rows(document["count"], "count")
    if "labels" in document:
        document["labels"] = document["labels"].as_list()
    if "latents" in document:
        document["latents"] = numeric_array(document["latents"], "latents")
    model, version = (optional_text(document.get(key), key) for key in ("model", "version"))
    return Payload(document, model, version)


def _integer(value: object, field: str, low: int, high: int | None) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < low or (high is not None and value > high):
        most = f", at most {high}" if high else ""
        raise InvalidValue(f"Must be a whole number of at least {low}{most}, in digits alone.", field)
    return value


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Arrays:
    """`latent` float32 [N, latent_size], standard normal, and `label` int64 [N] where the model takes labels."""
    task, wanted = manifest.task, payload.samples
    assert isinstance(task, SampleGeneration)
    count, seed = wanted["count"], wanted["seed"]
    streams = [np.random.Generator(np.random.Philox(key=[seed, i])) for i in range(count)]
    noise = np.stack([stream.standard_normal(task.latent_size, np.float32) for stream in streams])
    inputs: Arrays = {"latent": noise if "latents" not in wanted else _latents(wanted["latents"], noise)}
    if task.labels:
        drawn = [int(stream.integers(len(task.labels))) for stream in streams]
        inputs["label"] = np.array(_labels(wanted, task.labels) or drawn, np.int64)
        wanted["chosen"] = [task.labels[i] for i in inputs["label"].tolist()]
    elif wanted.get("label") is not None or wanted.get("labels") is not None:
        raise InvalidValue(f"The model {manifest.name} takes no label.", "label")
    return inputs


def _latents(latents: NDArray[np.float64], noise: NDArray[np.float32]) -> NDArray[np.float32]:
    if latents.shape != noise.shape:
        raise InvalidShape(f"Must have the shape {list(noise.shape)}, got {list(latents.shape)}.", "latents")
    if np.abs(latents).max() > FARTHEST:
        raise InvalidValue(f"Every number must lie between {-FARTHEST:g} and {FARTHEST:g}.", "latents")
    return latents.astype(np.float32)


def _labels(wanted: dict[str, object], known: tuple[str, ...]) -> list[int]:
    """Index of each sample's label; empty when none was asked for."""
    label, labels, count = wanted.get("label"), wanted.get("labels"), wanted["count"]
    if label is not None and labels is not None:
        raise InvalidValue("Give either label or labels.", "labels")
    if label is not None:
        return [_label(label, "label", known)] * int(str(count))
    if labels is None:
        return []
    assert isinstance(labels, list)
    if len(labels) != count:
        raise InvalidShape(f"Must have one label per sample, {count}, got {len(labels)}.", "labels")
    return [_label(one, f"labels[{i}]", known) for i, one in enumerate(labels)]


def _label(value: object, field: str, known: tuple[str, ...]) -> int:
    if isinstance(value, int | str) and not isinstance(value, bool) and str(value) in known:
        return known.index(str(value))
    raise InvalidValue(f"Must be one of {', '.join(known)}.", field)


def present(outputs: Arrays, payload: Payload, manifest: Manifest, request: Request) -> Answer:
    images = np.rint(np.clip(outputs[manifest.outputs[0].name], 0, 255)).astype(np.uint8)
    media, seed = request.choose(ANSWER_MEDIA), ((SEED, b"%d" % payload.samples["seed"]),)
    if media == NPY:
        return Answer(write_npy(images), NPY, seed)
    if media == PNG:
        return Answer(pictures.write_png(pictures.sheet(images)), PNG, seed)
    body = {
        "model": manifest.identity,
        "seed": payload.samples["seed"],
        "labels": payload.samples.get("chosen", []),
        "samples": [base64.b64encode(pictures.write_png(image)).decode() for image in images],
    }
    return Answer(orjson.dumps(body), JSON, seed)

"""Clip classification: short clips -> what they show.

A clip comes as an animation, as pictures in a row, or as the numbers that the graph takes, grey [frames, H, W]. Of more
frames than the graph takes some are chosen, evenly from the first on.
"""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson
import simdjson
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field

from service.bundle import Arrays, ClipClassification, Manifest, Tensor
from service.codecs import clips
from service.codecs.arrays import numeric_array, parse_object, read_npy, write_npy
from service.codecs.clips import Clip
from service.codecs.forms import read_form, write_form
from service.codecs.pictures import read_base64, write_animation
from service.errors import InvalidShape, InvalidValue
from service.limits import Limits
from service.messages import FORM, GIF, JSON, NPY, Answer, Request
from service.task import AnswerForm, Body, Example, Payload, Prepared, Task
from service.tasks.images import as_bytes, checked, label_check, pictures_of, ranged, ranked

FIELD, PART = "clips", "clip"


class ClassifyClipsRequest(BaseModel):
    """Animations in base64, pictures of each clip in base64, or numbers from 0 (black) to 255 (white)."""

    clips: list[str] | list[list[str]] | list[list[list[list[float]]]]
    model: str | None = None
    version: str | None = None


class ClipLabel(AnswerForm):
    label: str
    confidence: float = Field(description="Probability of the likeliest label.")
    probabilities: list[float] = Field(description="One per label, summing to 1.")


class ClassifyClipsAnswer(BaseModel):
    model: dict[str, str]
    predictions: list[ClipLabel]


def read_animation(request: Request, limits: Limits, _: frozenset[str]) -> Body:
    return _encoded([clips.animation(request.body, limits.max_pixels)], {})


def read_parts(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
    files, given = read_form(request, PART, fields)
    limits.check_rows(len(files), PART)
    return _encoded([clips.animation(file, limits.max_pixels, f"{PART}[{i}]") for i, file in enumerate(files)], given)


def read_json(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
    document = parse_object(request.body, {FIELD, *fields}, limits)
    given = document.pop(FIELD, None)
    if not isinstance(given, simdjson.Array):
        raise InvalidValue("Missing." if given is None else "Must be an array of clips.", FIELD)
    limits.check_rows(len(given), FIELD)
    first = given[0]
    if not isinstance(first, simdjson.Array) or (len(first) and isinstance(first[0], str)):
        return _encoded([_told(clip, f"{FIELD}[{i}]", limits) for i, clip in enumerate(given)], document)
    return Body(numeric_array(given, FIELD, request.body), document)


def read_numbers(request: Request, limits: Limits, _: frozenset[str]) -> Body:
    return Body(read_npy(request.body))


def _encoded(found: list[Any], fields: dict[str, Any]) -> Body:
    return Body(found, fields, sum(one.work for one in found))


def _told(clip: object, field: str, limits: Limits) -> Clip:
    """An animation in base64, or pictures in a row."""
    if isinstance(clip, str):
        return clips.animation(read_base64(clip, field), limits.max_pixels, field)
    if not isinstance(clip, simdjson.Array):
        raise InvalidValue("Must be an animation in base64, or an array of pictures in base64.", field)
    files = []
    for i, picture in enumerate(clip):
        if not isinstance(picture, str):
            raise InvalidValue("Must be a picture in base64 like the first one.", f"{field}[{i}]")
        files.append(read_base64(picture, f"{field}[{i}]"))
    return clips.in_a_row(files, limits.max_pixels, field)


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    """Float32 [N, frames, H, W] of the graph's size; pictures are resized, whatever their proportions."""
    tensor = manifest.inputs[0]
    if not isinstance(payload.samples, list):
        return Prepared({tensor.name: checked(pictures_of(payload, tensor), tensor, limits, FIELD)})
    return Prepared({tensor.name: ranged(np.stack([_shown(clip, tensor, limits) for clip in payload.samples]), tensor)})


def _shown(clip: Clip, tensor: Tensor, limits: Limits) -> NDArray[np.float32]:
    """The frames [T, H, W] that the graph is shown."""
    count, height, width = (int(side) for side in tensor.shape[1:])
    if clip.frames < count:
        raise InvalidShape(f"A clip must have at least {count} frames, got {clip.frames}.", clip.field)
    found = [picture.grey for picture in clip.shown(clips.evenly(count, clip.frames), limits)]
    resized = [Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC) for frame in found]
    return np.stack([np.asarray(frame, np.float32) for frame in resized])


def write_json(outputs: Arrays, _: None, manifest: Manifest) -> Answer:
    assert isinstance(manifest.task, ClipClassification)
    body = {"model": manifest.identity, "predictions": ranked(outputs, "label", manifest.task.labels)}
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    assert isinstance(manifest.task, ClipClassification)
    check, first = (label_check("label", manifest.task.labels, outputs["probabilities"][:count]) for count in (None, 1))
    numbers, shown = inputs[manifest.inputs[0].name], as_bytes(inputs, manifest)
    yield Example("numbers", write_npy(numbers), NPY, check)
    yield Example("JSON", orjson.dumps({FIELD: numbers.tolist()}), JSON, check)
    files = [write_animation(clip, "GIF") for clip in shown]
    yield Example("animation", files[0], GIF, first)
    yield Example("animations in a form", *write_form(PART, files), check)
    texts = [base64.b64encode(file).decode() for file in files]
    yield Example("animations in JSON", orjson.dumps({FIELD: texts}), JSON, check)


TASK = Task(
    name="classify_clips",
    path="/v1/clips/classify",
    summary="Classify short clips",
    kind="clip-classification",
    readers={**dict.fromkeys(clips.MEDIA_TYPES, read_animation), FORM: read_parts, JSON: read_json, NPY: read_numbers},
    writers={JSON: write_json},
    request_form=ClassifyClipsRequest,
    answer_form=ClassifyClipsAnswer,
    prepare=prepare,
    examples=examples,
    part=PART,
    body_limit=32 * 2**20,
)

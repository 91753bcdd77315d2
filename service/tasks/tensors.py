"""Tensor prediction: named tensors in and out, by the signature in a bundle's manifest. Any model answers to it."""

from typing import Any

import numpy as np
import orjson
import simdjson
from numpy.typing import NDArray
from pydantic import BaseModel

from service.bundle import Arrays, CtDenoising, Manifest, Tensor
from service.codecs.arrays import fields_of, numeric_array, parse_object
from service.errors import InvalidShape, InvalidValue, UnsupportedMedia
from service.limits import Limits
from service.messages import JSON, Answer, Payload, Request, optional_text
from service.tasks.spacing import check_slices, parse_spacing

REQUEST_MEDIA = (JSON,)
ANSWER_MEDIA = (JSON,)
OPTIONS = ("spacing_mm",)


class PredictRequest(BaseModel, extra="forbid"):
    """Nested arrays by tensor name, the batch axis first; `GET /v1/models/{name}` has the signature."""

    inputs: dict[str, list[Any]]
    version: str | None = None


class PredictAnswer(BaseModel):
    model: dict[str, str]
    outputs: dict[str, list[Any]]


def decode(request: Request, limits: Limits) -> Payload:
    """Samples maps tensor names to float64 arrays."""
    if request.media_type != JSON:
        raise UnsupportedMedia(f"Send {JSON}.", "content-type")
    document = parse_object(request.body, {"inputs", "version"}, limits)
    inputs = document.get("inputs")
    if not isinstance(inputs, simdjson.Object):
        raise InvalidValue("Must be an object of arrays.", "inputs")
    arrays = {name: numeric_array(values, f"inputs.{name}") for name, values in fields_of(inputs, "inputs").items()}
    spacing = parse_spacing(request.query.get("spacing_mm"))
    return Payload(arrays, None, optional_text(document.get("version"), "version"), spacing_mm=spacing)


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Arrays:
    arrays = payload.samples
    declared = {tensor.name for tensor in manifest.inputs}
    if wrong := arrays.keys() ^ declared:
        problem = "Unknown tensor." if min(wrong) in arrays else "Missing."
        raise InvalidValue(problem, f"inputs.{min(wrong)}")
    inputs = {tensor.name: fitted(arrays[tensor.name], tensor) for tensor in manifest.inputs}
    if len({len(array) for array in inputs.values()}) > 1:
        raise InvalidShape("All tensors must have the same number of rows.", "inputs")
    first = inputs[manifest.inputs[0].name]
    limits.check_rows(len(first), "inputs")
    if isinstance(manifest.task, CtDenoising):
        check_slices(first.shape, payload.spacing_mm, manifest.task, limits, "inputs")
    return inputs


def fitted(array: NDArray[Any], tensor: Tensor) -> NDArray[Any]:
    """The array in the tensor's dtype, once its shape and range are right."""
    field = f"inputs.{tensor.name}"
    if (array.ndim == 0 or array.shape[1:] != tensor.shape[1:]) and not _matches(array.shape, tensor.shape):
        raise InvalidShape(f"Must have the shape {list(tensor.shape)}, got {list(array.shape)}.", field)
    if array.size == 0:
        raise InvalidShape("There is nothing in it.", field)
    if tensor.range is not None:  # no NaN lies within it
        low, high = tensor.range
        if not (array.min() >= low and array.max() <= high):
            raise InvalidValue(f"Every number must lie between {low:g} and {high:g}.", field)
    exact = array if array.dtype == tensor.dtype else _cast(array, tensor, field)
    if exact.dtype.kind == "f" and tensor.range is None and not np.isfinite(exact).all():
        raise InvalidValue(f"Every number must be finite as {tensor.dtype}.", field)
    return exact


def _matches(shape: tuple[int, ...], declared: tuple[int | str, ...]) -> bool:
    """Whether every side is as declared, or named and thereby free."""
    if len(shape) != len(declared):
        return False
    return all(isinstance(side, str) or side == actual for side, actual in zip(declared, shape, strict=True))


def _cast(array: NDArray[Any], tensor: Tensor, field: str) -> NDArray[Any]:
    with np.errstate(over="ignore", invalid="ignore"):  # refused below and by the caller
        exact = array.astype(tensor.dtype)
    if exact.dtype.kind in "iub" and not np.array_equal(exact, array):
        raise InvalidValue(f"Every number must fit the type {tensor.dtype}.", field)
    return exact


def present(outputs: Arrays, payload: Payload, manifest: Manifest, request: Request) -> Answer:
    body = {
        "model": manifest.identity,
        "outputs": {name: np.ascontiguousarray(array) for name, array in outputs.items()},
    }
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))

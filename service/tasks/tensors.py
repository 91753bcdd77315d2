"""Tensor prediction: named tensors in and out, by the signature in a bundle's manifest. Any model answers to it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from math import prod
from typing import Any

import numpy as np
import orjson
import simdjson
from numpy.typing import NDArray
from pydantic import BaseModel

from service.bundle import MAIN, Arrays, Axis, CtDenoising, Manifest, Tensor
from service.codecs.arrays import fields_of, numeric_array, parse_object, text_array
from service.errors import InvalidShape, InvalidValue, TooManyPixels
from service.limits import Limits
from service.messages import JSON, Answer, Request
from service.task import Body, Example, Payload, Prepared, Task
from service.tasks.spacing import SPACING, check_spacing

EXACT = 2**53  # float64 holds every whole number up to this one


class PredictRequest(BaseModel, extra="forbid"):
    """Nested arrays by tensor name, the batch axis first; `GET /v1/models/{name}` has the signature."""

    inputs: dict[str, list[Any]]
    version: str | None = None


class PredictAnswer(BaseModel):
    model: dict[str, str]
    outputs: dict[str, list[Any]]


def read_json(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
    """Samples maps tensor names to arrays of float64, of int64 or of texts."""
    document = parse_object(request.body, {"inputs", *fields}, limits)
    inputs = document.pop("inputs", None)
    if not isinstance(inputs, simdjson.Object):
        raise InvalidValue("Must be an object of arrays.", "inputs")
    return Body(
        {name: _array(values, f"inputs.{name}") for name, values in fields_of(inputs, "inputs").items()}, document
    )


def _array(values: Any, field: str) -> NDArray[Any]:
    texts = text_array(values, field)
    return _numbers(values, field) if texts is None else texts


def _numbers(values: Any, field: str) -> NDArray[Any]:
    """Float64, or int64 where whole numbers are too large for float64 to tell them apart."""
    numbers = numeric_array(values, field)
    if numbers.size and (numbers.max() >= EXACT or numbers.min() <= -EXACT):
        with suppress(TypeError, ValueError):  # not all of them are whole
            return np.frombuffer(values.as_buffer(of_type="i"), np.int64).reshape(numbers.shape)
    return numbers


def prepare(payload: Payload, manifest: Manifest, limits: Limits) -> Prepared:
    return Prepared(prepare_arrays(payload.samples, payload.options, manifest, limits))


def prepare_arrays(arrays: Arrays, options: Mapping[str, Any], manifest: Manifest, limits: Limits) -> Arrays:
    """What the main graph takes. Raises a QuartetError for what does not fit its signature; masks may be missing."""
    declared = {tensor.name for tensor in manifest.inputs}
    masks = {manifest.axes[axis].mask for axis in manifest.graphs[MAIN].axes}
    if wrong := (arrays.keys() ^ declared) - (masks - arrays.keys()):
        problem = "Unknown tensor." if min(wrong) in arrays else "Missing."
        raise InvalidValue(problem, f"inputs.{min(wrong)}")
    given = [tensor for tensor in manifest.inputs if tensor.name in arrays]
    inputs = {one.name: fitted(arrays[one.name], one, manifest.axes, limits, f"inputs.{one.name}") for one in given}
    if len({len(array) for array in inputs.values()}) > 1:
        raise InvalidShape("All tensors must have the same number of rows.", "inputs")
    _check_axes(inputs, given)
    limits.check_rows(len(inputs[given[0].name]), "inputs")
    if isinstance(manifest.task, CtDenoising):
        check_spacing(options.get(SPACING.name), manifest.task)
    elif options.get(SPACING.name) is not None:
        raise InvalidValue(f"{manifest.name} takes no slices of CT, whose pixels this tells of.", SPACING.name)
    return inputs


def fitted(array: NDArray[Any], tensor: Tensor, axes: Mapping[str, Axis], limits: Limits, field: str) -> NDArray[Any]:
    """The array in the tensor's dtype, once its shape and range are right."""
    if not tensor.fits(array.shape):
        raise InvalidShape(f"Must have the shape {list(tensor.shape)}, got {list(array.shape)}.", field)
    if array.size == 0:
        raise InvalidShape("There is nothing in it.", field)
    if len(array.shape) > 1 and array.shape[1:] != tensor.shape[1:]:
        check_lengths(array.shape, tensor, axes, limits, field)
    if tensor.dtype == "string" or array.dtype.kind == "O":
        return _texts(array, tensor, field)
    if tensor.range is not None:  # no NaN lies within it
        low, high = tensor.range
        if not (array.min() >= low and array.max() <= high):
            raise InvalidValue(f"Every number must lie between {low:g} and {high:g}.", field)
    exact = array if array.dtype == tensor.dtype else _cast(array, tensor, field)
    if exact.dtype.kind == "f" and tensor.range is None and not np.isfinite(exact).all():
        raise InvalidValue(f"Every number must be finite as {tensor.dtype}.", field)
    return exact


def check_lengths(shape: tuple[int, ...], tensor: Tensor, axes: Mapping[str, Axis], limits: Limits, field: str) -> None:
    """Raises InvalidShape, TooManyPixels for an array that fits the tensor, but for its dynamic axes."""
    for side, length in zip(tensor.shape[1:], shape[1:], strict=True):
        if isinstance(side, str) and not axes[side].least <= length <= axes[side].most:
            raise InvalidShape(f"The {side} must be {axes[side].least} to {axes[side].most}, got {list(shape)}.", field)
    if (elements := prod(shape)) > limits.max_pixels:
        raise TooManyPixels(f"{elements} elements in one request, limit {limits.max_pixels}.", field)


def _check_axes(inputs: Arrays, tensors: list[Tensor]) -> None:
    """Raises InvalidShape where an axis has two lengths."""
    lengths: dict[str, int] = {}
    for tensor in tensors:
        for side, length in zip(tensor.shape[1:], inputs[tensor.name].shape[1:], strict=True):
            if isinstance(side, str) and lengths.setdefault(side, length) != length:
                raise InvalidShape(f"The {side} must be the same in all tensors.", f"inputs.{tensor.name}")


def _texts(array: NDArray[Any], tensor: Tensor, field: str) -> NDArray[Any]:
    if (array.dtype.kind == "O") != (tensor.dtype == "string"):
        raise InvalidValue(f"Must be of the type {tensor.dtype}.", field)
    return array


def _cast(array: NDArray[Any], tensor: Tensor, field: str) -> NDArray[Any]:
    with np.errstate(over="ignore", invalid="ignore"):  # refused below and by the caller
        exact = array.astype(tensor.dtype)
    if exact.dtype.kind in "iub" and not np.array_equal(exact, array):
        raise InvalidValue(f"Every number must fit the type {tensor.dtype}.", field)
    return exact


def write_json(outputs: Arrays, _: None, manifest: Manifest) -> Answer:
    body = {
        "model": manifest.identity,
        "outputs": {
            name: array.tolist() if array.dtype.kind == "O" else np.ascontiguousarray(array)
            for name, array in outputs.items()
        },
    }
    return Answer(orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))


def examples(manifest: Manifest, inputs: Arrays, outputs: Arrays) -> Iterator[Example]:
    spacing = manifest.task.spacing_mm if isinstance(manifest.task, CtDenoising) else None
    query = f"spacing_mm={sum(spacing) / 2:g}" if spacing else ""
    body = {"inputs": {name: array.tolist() for name, array in inputs.items()}}
    yield Example("JSON", orjson.dumps(body), JSON, output_check(outputs, manifest), query)


def output_check(outputs: Arrays, manifest: Manifest) -> Callable[[bytes], None]:
    """A check that a JSON answer has these outputs, a few times the golden tolerance apart: batches round otherwise."""
    atol, rtol = 10 * manifest.tolerance.atol, 10 * manifest.tolerance.rtol

    def check(answer: bytes) -> None:
        given = orjson.loads(answer)["outputs"]
        for name, golden in outputs.items():
            array = np.array(given[name])
            same = golden.dtype.kind == "U" and np.array_equal(array, golden)
            if not same and not np.allclose(array, golden, atol=atol, rtol=rtol):
                raise ValueError(f"{name} is not the golden output")

    return check


TASK = Task(
    name="predict_tensors",
    path="/v1/models/{name}/predict",
    summary="Tensors in and out, by the signature of any model",
    kind=None,
    readers={JSON: read_json},
    writers={JSON: write_json},
    request_form=PredictRequest,
    answer_form=PredictAnswer,
    prepare=prepare,
    examples=examples,
    options=(SPACING,),
    body_limit=16 * 2**20,
)

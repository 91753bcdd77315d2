"""Bodies of `infer` over HTTP: JSON, followed by raw bytes where the binary tensor data extension is used.

    {"id": .., "parameters": {..}, "inputs": [{"name", "shape", "datatype", "parameters", "data"}], "outputs": [..]}

With the header `inference-header-content-length: N` the JSON is the first N bytes; the bytes of every tensor whose
parameters have `binary_data_size` follow, in the order of the tensors.
"""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import orjson
import simdjson
from numpy.typing import NDArray

from service.bundle import Arrays, Manifest
from service.codecs.arrays import fields_of, has_shape, parse_json, text_array
from service.errors import EmptyBody, InvalidShape, InvalidValue, MalformedBody
from service.limits import Limits
from service.messages import JSON, Answer, Request
from service.oip.datatypes import MAX_TENSORS, NAMES, checked_shape, dtype_of, from_bytes, from_numbers, to_bytes
from service.oip.requests import InferRequest, Parameters, flag, number, refuse_repeated, refuse_unsupported

JSON_LENGTH = b"inference-header-content-length"
BINARY = "application/octet-stream"
WIDEST: dict[str, tuple[Literal["d", "i", "u"], np.dtype[Any]]] = {
    "f": ("d", np.dtype(np.float64)),
    "i": ("i", np.dtype(np.int64)),
    "u": ("u", np.dtype(np.uint64)),
}


def decode(request: Request, limits: Limits) -> InferRequest:
    """Raises EmptyBody, MalformedBody, InvalidValue, InvalidShape. What is optional may be null."""
    if not request.body:
        raise EmptyBody("The request has no body.")
    length = _json_length(request)
    document = _object(parse_json(request.body[:length], limits), "The body")
    tail = Tail(memoryview(request.body)[length:])
    parameters = Parameters.read(_parameters(document, "parameters"))
    inputs: Arrays = {}
    for tensor in _objects(document, "inputs"):
        name = _text(tensor, "name", "inputs")
        refuse_repeated(name, inputs, "inputs")
        inputs[name] = _tensor(tensor, tail, f"inputs.{name}")
    tail.check_end()
    outputs: dict[str, bool] = {}
    for output in _objects(document, "outputs") if document.get("outputs") is not None else ():
        name, binary = _output(output, parameters.binary)
        refuse_repeated(name, outputs, "outputs")
        outputs[name] = binary
    return InferRequest(_text(document, "id", ""), inputs, outputs or None, parameters)


class Tail:
    """The raw bytes behind the JSON, handed out tensor by tensor."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._at = data, 0

    def take(self, size: int, field: str) -> memoryview:
        end = self._at + size
        if end > len(self._data):
            raise MalformedBody(f"The body ends {end - len(self._data)} bytes before this tensor does.", field)
        taken, self._at = self._data[self._at : end], end
        return taken

    def check_end(self) -> None:
        if self._at < len(self._data):
            raise MalformedBody(f"{len(self._data) - self._at} bytes of the body belong to no tensor.")


def _json_length(request: Request) -> int:
    text = request.header(JSON_LENGTH)
    if text is None:
        return len(request.body)
    if not (text.isascii() and text.isdigit() and len(text) < 16 and int(text) <= len(request.body)):
        raise InvalidValue("Must be the length of the JSON, at most that of the body.", JSON_LENGTH.decode())
    return int(text)


def _tensor(tensor: dict[str, Any], tail: Tail, field: str) -> NDArray[Any]:
    dtype = dtype_of(tensor.get("datatype"), field)
    sides = tensor.get("shape")
    if not isinstance(sides, simdjson.Array):
        raise InvalidShape("The shape must be an array.", field)
    shape = checked_shape(sides, field)
    parameters = _parameters(tensor, field)
    refuse_unsupported(parameters, field)
    size = number(parameters, "binary_data_size", field)
    if size is None:
        return _from_json(tensor.get("data"), dtype, shape, field)
    if tensor.get("data") is not None:
        raise InvalidValue("Has both data and binary_data_size.", field)
    return from_bytes(tail.take(size, field), dtype, shape, field)


def _from_json(data: Any, dtype: np.dtype[Any], shape: tuple[int, ...], field: str) -> NDArray[Any]:
    """Numbers in the widest type of their kind; the signature's own type is checked later."""
    if not isinstance(data, simdjson.Array):
        raise InvalidValue("Needs data, an array.", field)
    try:
        if dtype.kind == "O":
            return _texts(data, dtype, shape, field)
        if dtype.kind == "b":
            flat = np.fromiter(_booleans(data, len(shape)), np.bool_)
        else:
            kind, widest = WIDEST[dtype.kind]
            flat = np.frombuffer(data.as_buffer(of_type=kind), widest)
    except (TypeError, ValueError):
        raise InvalidValue(f"Every element of data must be a {NAMES[dtype]}.", field) from None
    array = from_numbers(flat, dtype, shape, field)
    if len(data) and isinstance(data[0], simdjson.Array) and not has_shape(data, shape):
        raise InvalidShape(f"The data is nested, and not in the shape {list(shape)}.", field)
    return array


def _texts(data: Any, dtype: np.dtype[Any], shape: tuple[int, ...], field: str) -> NDArray[Any]:
    texts = text_array(data, field)
    if texts is None:
        raise InvalidValue("Every element of data must be a string.", field)
    if texts.ndim > 1 and texts.shape != shape:
        raise InvalidShape(f"The data is nested, and not in the shape {list(shape)}.", field)
    return from_numbers(texts.ravel(), dtype, shape, field)


def _booleans(data: Any, depth: int) -> Iterator[bool]:
    """Raises TypeError for anything else."""
    for element in data:
        if isinstance(element, simdjson.Array) and depth > 1:
            yield from _booleans(element, depth - 1)
        elif isinstance(element, bool):
            yield element
        else:
            raise TypeError


def _output(output: dict[str, Any], binary: bool) -> tuple[str, bool]:
    name = _text(output, "name", "outputs")
    field = f"outputs.{name}"
    parameters = _parameters(output, field)
    refuse_unsupported(parameters, field)
    own = flag(parameters, "binary_data", field)
    return name, binary if own is None else own


def _object(element: Any, what: str, field: str = "") -> dict[str, Any]:
    if not isinstance(element, simdjson.Object):
        raise InvalidValue(f"{what} must be an object.", field or None)
    return fields_of(element, field)


def _objects(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    elements = document.get(name)
    if not isinstance(elements, simdjson.Array):
        raise InvalidValue("Must be an array of objects.", name)
    if len(elements) > MAX_TENSORS:
        raise InvalidValue(f"More than {MAX_TENSORS} tensors.", name)
    return [_object(element, "Every element", name) for element in elements]


def _parameters(owner: dict[str, Any], field: str) -> dict[str, Any]:
    given = owner.get("parameters")
    return {} if given is None else _object(given, "The parameters", field)


def _text(owner: dict[str, Any], name: str, field: str) -> str:
    value = owner.get(name)
    if value is None and name == "id":
        return ""
    if not isinstance(value, str):
        raise InvalidValue(f"The {name} must be a string.", field or name)
    return value


def present(outputs: Arrays, infer_request: InferRequest, manifest: Manifest) -> Answer:
    described, raw = [], []
    for name, binary in infer_request.chosen(manifest).items():
        array = np.ascontiguousarray(outputs[name])
        one: dict[str, Any] = {"name": name, "datatype": NAMES[array.dtype], "shape": array.shape}
        if binary:
            raw.append(to_bytes(array))
            one["parameters"] = {"binary_data_size": memoryview(raw[-1]).nbytes}
        else:
            one["data"] = array.ravel().tolist() if array.dtype.kind == "O" else array.reshape(-1)
        described.append(one)
    document: dict[str, Any] = {"model_name": manifest.name, "model_version": manifest.version, "outputs": described}
    if infer_request.id:
        document["id"] = infer_request.id
    json = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    if not raw:
        return Answer(json, JSON)
    return Answer(b"".join((json, *raw)), BINARY, ((JSON_LENGTH, b"%d" % len(json)),))

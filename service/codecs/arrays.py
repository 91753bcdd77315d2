"""Numbers without Python objects: `.npy` bodies and numeric JSON arrays become numpy views."""

import ast
import io
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import simdjson
from numpy.typing import NDArray

from service.errors import InvalidShape, InvalidValue, MalformedBody

MAGIC = b"\x93NUMPY"


def read_npy(body: bytes) -> NDArray[Any]:
    """A read-only view of the array in a `.npy` body. Object arrays are refused, so nothing is ever unpickled."""
    if not body.startswith(MAGIC) or len(body) < 12:
        raise MalformedBody("Not a .npy file.")
    wide = body[6] > 1
    start = 12 if wide else 10
    end = start + int.from_bytes(body[8:start], "little")
    dtype, fortran, shape = _npy_header(body[start:end])
    if len(body) - end != prod(shape) * dtype.itemsize:
        raise MalformedBody(f"A .npy file of {shape} {dtype} must hold {prod(shape) * dtype.itemsize} bytes of data.")
    try:
        return np.frombuffer(body, dtype, offset=end).reshape(shape, order="F" if fortran else "C")
    except ValueError:  # more axes than NumPy has, or empty along one and endless along another
        raise MalformedBody("The header of the .npy file has an impossible shape.") from None


@lru_cache(maxsize=256)
def _npy_header(header: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """Format of the numpy enhancement proposal 1: a Python literal with `descr`, `fortran_order` and `shape`."""
    try:
        fields = ast.literal_eval(header.decode("latin-1").strip())
        dtype, fortran, shape = np.dtype(fields["descr"]), bool(fields["fortran_order"]), tuple(fields["shape"])
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        raise MalformedBody("The header of the .npy file cannot be read.") from None
    if dtype.kind not in "biuf":
        raise InvalidShape(f"Arrays of dtype {dtype} are not accepted: send numbers.")
    if not all(isinstance(side, int) and 0 <= side < 2**40 for side in shape):
        raise MalformedBody("The header of the .npy file has an impossible shape.")
    return dtype, fortran, shape


def write_npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def parse_json(body: bytes) -> Any:
    """The document of a JSON body; its arrays and objects are views until they are looked at.

    A parser per body: its views outlive this call, and simdjson forbids using a parser again before they are gone.
    """
    try:
        return simdjson.Parser().parse(body)
    except (ValueError, RuntimeError) as error:
        raise MalformedBody(f"Not JSON: {str(error).split(':')[0].lower().replace('_', ' ')}.") from None


def parse_object(body: bytes, known: set[str]) -> dict[str, Any]:
    """The fields of a JSON object. Raises InvalidValue when it has others than `known`."""
    document = parse_json(body)
    if not isinstance(document, simdjson.Object):
        raise InvalidValue("The body must be an object.")
    fields = {key: document[key] for key in document}  # items() would make Python lists
    if not fields.keys() <= known:
        raise InvalidValue("Unknown field.", min(fields.keys() - known))
    return fields


def numeric_array(element: Any, field: str) -> NDArray[np.float64]:
    """A nested JSON array of numbers as float64 [..]. Raises InvalidValue, InvalidShape (ragged) at `field`."""
    if not isinstance(element, simdjson.Array):
        raise InvalidValue("Must be an array of numbers.", field)
    try:
        flat = np.frombuffer(element.as_buffer(of_type="d"))
    except (TypeError, ValueError):
        raise InvalidValue("Every element must be a number.", field) from None
    shape = _shape(element, field)
    if prod(shape) != flat.size:
        raise InvalidShape("Rows differ in length.", field)
    return flat.reshape(shape)


def _shape(element: Any, field: str) -> tuple[int, ...]:
    """Shape of a nested array. Raises InvalidShape where two siblings differ."""
    if not isinstance(element, simdjson.Array):
        return ()
    if len(element) == 0 or not isinstance(element[0], simdjson.Array):
        return (len(element),)
    if not isinstance(element[0][0] if len(element[0]) else None, simdjson.Array):
        inner: set[tuple[int, ...]] = {(len(row),) if isinstance(row, simdjson.Array) else () for row in element}
    else:
        inner = {_shape(item, field) for item in element}
    if len(inner) > 1:
        raise InvalidShape("Rows differ in length.", field)
    return (len(element), *inner.pop())

"""The protocol's names of dtypes, and tensors as raw bytes: little-endian, row-major, without gaps."""

import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from service.codecs.arrays import MAX_AXES, MAX_TEXTS
from service.errors import InvalidShape, InvalidValue

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    "BYTES": np.dtype("O"),  # texts, in UTF-8 where they are bytes
}
PREFIX = struct.Struct("<I")  # before each text, its length
MAX_TENSORS = 256  # in one request
NAMES = {dtype: name for name, dtype in DTYPES.items()}


def dtype_of(datatype: object, field: str) -> np.dtype[Any]:
    dtype = DTYPES.get(datatype) if isinstance(datatype, str) else None
    if dtype is None:
        raise InvalidValue(f"The datatype must be one of {', '.join(DTYPES)}.", field)
    return dtype


def checked_shape(shape: Sequence[object], field: str) -> tuple[int, ...]:
    """The shape once it is one of a tensor with something in it."""
    if len(shape) > MAX_AXES or not all(type(side) is int and 0 <= side < 2**40 for side in shape):
        raise InvalidShape(f"The shape must be up to {MAX_AXES} whole numbers.", field)
    sides = cast("tuple[int, ...]", tuple(shape))
    if 0 in sides:
        raise InvalidShape("There is nothing in it.", field)
    return sides


def from_bytes(data: bytes | memoryview, dtype: np.dtype[Any], shape: tuple[int, ...], field: str) -> NDArray[Any]:
    """A read-only view of `data` where its alignment allows one. Raises InvalidShape, InvalidValue."""
    if dtype.kind == "O":
        texts = list(islice(_split(data, field), MAX_TEXTS + 1))  # one too many is enough to refuse a million
        return from_numbers(texts_of(texts, field), dtype, shape, field)
    size = prod(shape) * dtype.itemsize
    if len(data) != size:
        raise InvalidShape(f"{NAMES[dtype]} of the shape {list(shape)} takes {size} bytes, got {len(data)}.", field)
    if dtype.kind == "b" and np.frombuffer(data, np.uint8).max() > 1:
        raise InvalidValue("The bytes of a BOOL must be 0 or 1.", field)
    flat = np.frombuffer(data, dtype)
    # Behind a JSON text a number rarely begins at a multiple of its size.
    return (flat if flat.flags.aligned else flat.copy()).reshape(shape)


def _split(data: bytes | memoryview, field: str) -> Iterator[bytes]:
    """Texts that each come after their length."""
    at = 0
    while at < len(data):
        end = at + PREFIX.size
        if end <= len(data):
            at, end = end, end + PREFIX.unpack_from(data, at)[0]
        if end > len(data):
            raise InvalidShape("A text ends after the tensor does.", field)
        yield bytes(data[at:end])
        at = end


def texts_of(encoded: Sequence[bytes], field: str) -> NDArray[Any]:
    """Raises InvalidValue for what is not in UTF-8, InvalidShape for too many."""
    if len(encoded) > MAX_TEXTS:
        raise InvalidShape(f"More than {MAX_TEXTS} texts.", field)
    texts = np.empty(len(encoded), object)
    try:
        texts[:] = [text.decode() for text in encoded]
    except UnicodeDecodeError:
        raise InvalidValue("Every text must be in UTF-8.", field) from None
    return texts


def to_bytes(array: NDArray[Any]) -> bytes | memoryview:
    """The raw bytes of a contiguous array."""
    if array.dtype.kind != "O":
        return array.data
    texts = [str(text).encode() for text in array.ravel()]
    return b"".join(PREFIX.pack(len(text)) + text for text in texts)


def from_numbers(flat: NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...], field: str) -> NDArray[Any]:
    """The values as they are, in a wider type than `dtype`, once they fit it. Raises InvalidShape, InvalidValue."""
    if flat.size != prod(shape):
        raise InvalidShape(f"The shape {list(shape)} takes {prod(shape)} elements, got {flat.size}.", field)
    if dtype.kind in "iu" and not np.array_equal(flat.astype(dtype), flat):
        raise InvalidValue(f"Every element must be a {NAMES[dtype]}.", field)
    return flat.reshape(shape)

"""Numbers without Python objects: `.npy` bodies and numeric JSON arrays become numpy views."""

import ast
import io
from collections.abc import Set
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import numpy.lib.format as npy
import orjson
import simdjson
from numpy.typing import NDArray

from service.caching import short_cache
from service.errors import BodyTooLarge, InvalidShape, InvalidValue, MalformedBody
from service.limits import Limits
from service.messages import CSV, JSON, TEXT, repeated
from service.recognition import recognise

MAGIC = b"\x93NUMPY"
MAX_AXES = 32
MAX_FIELDS = 256
MAX_TEXTS = 2**16  # in one array
MAX_HEADER = 10_000  # bytes, as for NumPy
MAX_CACHED = 2**17  # bytes
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
SHORT = 2**16  # bytes
EXPLAINED = 2**20  # bytes: a larger body is not read again for the sake of a message
TOKEN = 32  # bytes of memory for a number, array or object: parsed, and then as numbers
MOST_PARSED = 112 * 10**6  # bytes: more would hold the interpreter, and all requests, for more than a tenth of a second
PIECE = 2**20  # bytes: between them others have the interpreter
VALUES = b"0123456789+-.eE \t\r\ntruefals"  # the letters of numbers and booleans


def read_npy(body: bytes) -> NDArray[Any]:
    """A read-only view of the array in a `.npy` body. Object arrays are refused, so nothing is ever unpickled."""
    if not body.startswith(MAGIC) or len(body) < 12:
        raise MalformedBody("Not a .npy file.")
    wide = body[6] > 1
    start = 12 if wide else 10
    end = start + int.from_bytes(body[8:start], "little")
    if end - start > MAX_HEADER:
        raise MalformedBody(f"The header of the .npy file has more than {MAX_HEADER} bytes.")
    dtype, fortran, shape = _npy_header(bytes(body[start:end]))
    if len(body) - end != prod(shape) * dtype.itemsize:
        raise MalformedBody(f"A .npy file of {shape} {dtype} must hold {prod(shape) * dtype.itemsize} bytes of data.")
    try:
        return np.frombuffer(body, dtype, offset=end).reshape(shape, order="F" if fortran else "C")
    except ValueError:  # more axes than NumPy has, or empty along one and endless along another
        raise MalformedBody("The header of the .npy file has an impossible shape.") from None


@short_cache(longest=256)
def _npy_header(header: bytes) -> tuple[np.dtype[Any], bool, tuple[int, ...]]:
    """Format of the numpy enhancement proposal 1: a Python literal with `descr`, `fortran_order` and `shape`."""
    try:
        fields = ast.literal_eval(header.decode("latin-1").strip())
        dtype, fortran, shape = np.dtype(fields["descr"]), bool(fields["fortran_order"]), tuple(fields["shape"])
    except Exception:  # what else may come of a literal, no list would tell
        raise MalformedBody("The header of the .npy file cannot be read.") from None
    if dtype.kind not in "biuf":
        raise InvalidShape(f"Arrays of dtype {dtype} are not accepted: send numbers.")
    if len(shape) > MAX_AXES or not all(type(side) is int and 0 <= side < 2**40 for side in shape):
        raise MalformedBody("The header of the .npy file has an impossible shape.")
    return dtype, fortran, shape


def write_npy(array: NDArray[Any]) -> bytes:
    """What `np.save` writes, copied once: it takes a piece, and the file another one."""
    head = io.BytesIO()
    npy.write_array_header_1_0(head, npy.header_data_from_array_1_0(array))
    in_order = array.T if array.flags.f_contiguous and not array.flags.c_contiguous else np.ascontiguousarray(array)
    return b"".join([head.getvalue(), in_order.data])


def parse_json(body: bytes, limits: Limits) -> Any:
    """The document of a JSON body; its arrays and objects are views until they are looked at.

    A parser per body: its views outlive this call, and simdjson forbids using a parser again before they are gone.
    """
    if len(body) > EXPLAINED:
        _claim(body, limits)
    try:
        return simdjson.Parser().parse(body.removeprefix(BYTE_ORDER_MARK))
    except (ValueError, RuntimeError, UnicodeDecodeError):
        raise MalformedBody(_why_not_json(body)) from None


def _claim(body: bytes, limits: Limits) -> None:
    """Claim what it takes to read the JSON; commas and brackets tell. Raises BodyTooLarge, MemoryFull."""
    size = 2 * len(body)
    for at in range(0, len(body), PIECE):
        size += TOKEN * sum(body.count(sign, at, at + PIECE) for sign in (b",", b"[", b"{"))
        if size > MOST_PARSED:
            most = f"more than {MOST_PARSED // 10**6} MB of memory to read"
            raise BodyTooLarge(f"The JSON would take {most}: send fewer numbers, or an array as .npy.")
    limits.claim(size)


def _why_not_json(body: bytes) -> str:
    """Why it is no JSON, by a parser that says where."""
    if not body.strip():
        return "There is nothing in the body."
    if (media := recognise(body)) not in (JSON, CSV, TEXT, ""):
        return f"Not JSON but {media}: say so in content-type."
    if len(body) <= EXPLAINED:
        try:
            orjson.loads(body.removeprefix(BYTE_ORDER_MARK))
        except orjson.JSONDecodeError as error:
            return f"Not JSON: {error.msg} at character {error.pos}."
    return "Not JSON that can be read here: it is damaged, holds a number that is too large or nests too deeply."


def parse_object(body: bytes, known: Set[str] | None, limits: Limits) -> dict[str, Any]:
    """The fields of a JSON object, arrays and objects in them as views.

    Raises InvalidValue for others than `known`; None: any.
    """
    document = parse_json(body, limits)
    if not isinstance(document, simdjson.Object):
        raise InvalidValue(f"The body must be an object{_fields_that_are(known)}.")
    fields = fields_of(document)
    if known is not None and not fields.keys() <= known:
        raise InvalidValue(f"Unknown field: there are {', '.join(sorted(known))}.", min(fields.keys() - known))
    return fields


def _fields_that_are(known: Set[str] | None) -> str:
    return f" with fields among {', '.join(sorted(known))}" if known else ""


def read_plain(body: bytes) -> dict[str, Any] | None:
    """The object in a short JSON body in Python's own, several times as fast as views that are all looked at.

    None for what only `parse_object` reads, or can say what is wrong with. Colons tell whether a field was given twice:
    each field has one, and there are no more of them than fields.
    """
    if len(body) > SHORT:
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) and _fields_in(document) == body.count(b":") else None


def read_array(
    body: bytes, field: str, others: Set[str], limits: Limits
) -> tuple[list[Any] | simdjson.Array, dict[str, Any]]:
    """The array that stands in `field` of a JSON object, and its other fields, of those that may be there.

    Raises InvalidValue, and what `Limits.check_rows` raises.
    """
    known, document = {field, *others}, read_plain(body)
    if document is None or not document.keys() <= known:
        document = parse_object(body, known, limits)
    rows = document.pop(field, None)
    if not isinstance(rows, list | simdjson.Array):
        raise InvalidValue(f"Must be an array of {field}.", field)
    limits.check_rows(len(rows), field)
    return rows, document


def _fields_in(document: dict[str, Any]) -> int:
    """Of an object and of those in the arrays that it holds."""
    inner = (one for value in document.values() if isinstance(value, list) for one in value)
    return len(document) + sum(len(one) for one in inner if isinstance(one, dict))


def fields_of(element: Any, path: str = "") -> dict[str, Any]:
    """The fields of a simdjson object, as views: items() would make Python lists.

    Raises InvalidValue for too many fields, since each look-up is a search through all of them, for one that is given
    twice, of which others would take the last, and for a name with a NUL character, which simdjson finds no field by.
    """
    if len(element) > MAX_FIELDS:
        raise InvalidValue(f"An object with more than {MAX_FIELDS} fields.", path or None)
    try:
        fields = {name: element[name] for name in element}
    except KeyError:
        raise InvalidValue("The name of a field holds a NUL character.", path or None) from None
    if len(fields) < len(element):
        name = repeated(list(element))
        raise InvalidValue("Given twice.", f"{path}.{name}" if path else name)
    return fields


def numeric_array(element: Any, field: str, body: bytes = b"") -> NDArray[np.float64]:
    """A nested JSON array of numbers as float64 [..]. Raises InvalidValue, InvalidShape (ragged) at `field`.

    `body` is the document that the element belongs to, where it is at hand.
    """
    if not isinstance(element, simdjson.Array):
        raise InvalidValue("Must be an array of numbers.", field)
    try:
        flat = np.frombuffer(element.as_buffer(of_type="d"))
    except (TypeError, ValueError):
        raise InvalidValue("Every element must be a number.", field) from None
    shape = _first_shape(element)
    if prod(shape) != flat.size or not (_spells(body, shape, field) or has_shape(element, shape)):
        raise InvalidShape("Rows differ in length.", field)
    return flat.reshape(shape)


def text_array(element: Any, field: str) -> NDArray[Any] | None:
    """A nested JSON array of texts as objects [..]; None where it does not begin with one.

    Raises InvalidValue for what is no text, InvalidShape (ragged) at `field`.
    """
    shape, first = _first_shape(element), element
    for _ in shape:
        first = first[0] if len(first) else None
    if not shape or not isinstance(first, str):
        return None
    if prod(shape) > MAX_TEXTS:
        raise InvalidShape(f"More than {MAX_TEXTS} texts.", field)
    flat = _leaves(element.as_list(), shape, field)
    texts = np.empty(len(flat), object)
    texts[:] = flat
    return texts.reshape(shape)


def _leaves(rows: Any, shape: tuple[int, ...], field: str) -> list[str]:
    if not shape:
        if not isinstance(rows, str):
            raise InvalidValue("Every element must be a string like the first one.", field)
        return [rows]
    if not isinstance(rows, list) or len(rows) != shape[0]:
        raise InvalidShape("Rows differ in length.", field)
    return [leaf for row in rows for leaf in _leaves(row, shape[1:], field)]


def has_shape(element: Any, shape: tuple[int, ...]) -> bool:
    """Whether an array of numbers or booleans has this shape throughout: its brackets and commas tell."""
    return _is_skeleton(element.mini.translate(None, VALUES), shape)


def _spells(body: bytes, shape: tuple[int, ...], field: str) -> bool:
    """Whether `body` is an object with this one field, of this shape. Spares `has_shape` writing it out again."""
    start, spelled = b'{"%s":' % field.encode().translate(None, VALUES), body.translate(None, VALUES)
    return spelled.startswith(start) and spelled.endswith(b"}") and _is_skeleton(spelled[len(start) : -1], shape)


def _first_shape(element: Any) -> tuple[int, ...]:
    """Shape of a nested array if every row were like the first."""
    shape: list[int] = []
    while isinstance(element, simdjson.Array) and len(shape) < MAX_AXES:
        shape.append(len(element))
        element = element[0] if shape[-1] else None
    return tuple(shape)


def _is_skeleton(text: bytes, shape: tuple[int, ...]) -> bool:
    """Whether it is an array of the shape without its values.

    The length is asked first: where the first row lies about the others, the skeleton may take any amount of memory.
    """
    length = _length(shape)
    if len(text) != length:
        return False
    return text == (_short_skeleton(shape) if length <= MAX_CACHED else _long_skeleton(shape))


@lru_cache(maxsize=64)
def _length(shape: tuple[int, ...]) -> int:
    length = 0
    for side in reversed(shape):
        length = 2 + side * length + max(0, side - 1)
    return length


def _long_skeleton(shape: tuple[int, ...]) -> bytes:
    rows = b""
    for side in reversed(shape):
        rows = b"[" + (rows + b",") * (side - 1) + rows * (side > 0) + b"]"  # a join would take 80 bytes for each
    return rows


_short_skeleton = lru_cache(maxsize=64)(_long_skeleton)

"""`.npy` bodies and JSON arrays become the arrays they say, and nothing but a QuartetError leaves the decoder."""

import contextlib
import io
import json
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from service.codecs.arrays import has_shape, numeric_array, parse_json, parse_object, read_npy, write_npy
from service.errors import BodyTooLarge, InvalidShape, InvalidValue, MalformedBody, QuartetError
from service.limits import Limits

LIMITS = Limits(max_rows=32, max_pixels=2**20)
DTYPES = ["|b1", "|u1", "|i1", "<i2", ">i2", "<u4", "<i8", ">i8", "<f2", "<f4", ">f4", "<f8", ">f8"]
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
VALID = write_npy(np.arange(12, dtype=np.float32).reshape(3, 4))


def npy(header: str, data: bytes = b"") -> bytes:
    padded = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(padded)) + padded + data


def saved(array: np.ndarray, version: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version, allow_pickle=False)
    return buffer.getvalue()


@given(st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(np.dtype(dtype), SHAPES)), st.booleans())
def test_what_numpy_saves_is_read_back(array: np.ndarray, fortran: bool) -> None:
    array = np.asfortranarray(array) if fortran else array
    read = read_npy(write_npy(array))
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format_is_read(version: tuple[int, int]) -> None:
    array = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(read_npy(saved(array, version)), array)


def test_the_array_is_a_view_of_the_body() -> None:
    assert not read_npy(VALID).flags.owndata


@given(st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(np.dtype(dtype), SHAPES)), st.booleans())
def test_what_is_written_is_what_numpy_saves(array: np.ndarray, fortran: bool) -> None:
    array = np.asfortranarray(array) if fortran else array
    assert write_npy(array) == saved(array, (1, 0))
    assert write_npy(array[..., ::2] if array.ndim else array) == saved(
        array[..., ::2] if array.ndim else array, (1, 0)
    )


def test_an_array_is_copied_once_on_its_way_out_and_not_at_all_on_its_way_in() -> None:
    array = np.ones((4, 512, 512), np.float32)
    tracemalloc.start()
    try:
        body = write_npy(array)
        assert tracemalloc.get_traced_memory()[1] < 1.1 * array.nbytes
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        read_npy(body)
        assert tracemalloc.get_traced_memory()[1] - before < 0.1 * array.nbytes
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=300))
def test_bytes_that_are_no_npy_file_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        read_npy(body)


@given(st.integers(0, len(VALID) - 1), st.integers(0, 255))
def test_a_flipped_byte_gives_an_array_or_a_refusal(position: int, value: int) -> None:
    body = bytearray(VALID)
    body[position] = value
    with contextlib.suppress(QuartetError):
        read_npy(bytes(body))


LITERALS = st.recursive(
    st.integers()
    | st.booleans()
    | st.none()
    | st.floats()
    | st.sampled_from([*DTYPES, "|O", "<U4", "S5", "V9", "f8,f8"]),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)


@given(st.fixed_dictionaries({}, optional={key: LITERALS for key in ("descr", "fortran_order", "shape")}), st.binary())
@example({"descr": "<f8", "fortran_order": False, "shape": (0,) * 70}, b"")
@example({"descr": "<f8", "fortran_order": False, "shape": (0, 2**39, 2**39)}, b"")
@example({"descr": "<f8", "fortran_order": False, "shape": (-1,)}, b"")
def test_any_header_gives_an_array_or_a_refusal(header: dict[str, object], data: bytes) -> None:
    with contextlib.suppress(QuartetError):
        read_npy(npy(repr(header), data))


@pytest.mark.parametrize(
    "header",
    [
        "",
        "[1]",
        "__import__('os').abort()",
        "(" * 5000,
        "{'descr': '<f8'}",
        "'\\d'",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (2.0,)}",
    ],
)
def test_a_header_that_is_no_header_is_malformed(header: str) -> None:
    with pytest.raises(MalformedBody):
        read_npy(npy(header))


def test_objects_are_refused_unread() -> None:
    with pytest.raises(InvalidShape, match="object"):
        read_npy(npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"cos\nabort\n(tR."))


@pytest.mark.parametrize("body", [VALID[:-1], VALID + b"\0"])
def test_data_of_another_length_than_declared_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody, match="48 bytes"):
        read_npy(body)


@given(
    hnp.arrays(
        np.float64, hnp.array_shapes(max_dims=4, max_side=5), elements=st.floats(allow_nan=False, allow_infinity=False)
    )
)
def test_nested_json_numbers_become_the_same_array(array: np.ndarray) -> None:
    np.testing.assert_array_equal(numeric_array(parse_json(json.dumps(array.tolist()).encode(), LIMITS), "x"), array)


@given(st.integers(-(2**63), 2**64 - 1))
def test_json_integers_are_read_as_floats(number: int) -> None:
    assert numeric_array(parse_json(b"[%d]" % number, LIMITS), "x").tolist() == [float(number)]


@pytest.mark.parametrize("text", ["[[1, 2], [3]]", "[[1], 2]", "[[[1]], [[]]]", "[[[1, 2]], [[3], [4]]]"])
def test_rows_of_different_lengths_are_refused(text: str) -> None:
    with pytest.raises(InvalidShape, match="differ"):
        numeric_array(parse_json(text.encode(), LIMITS), "x")


@pytest.mark.parametrize("text", ['["1"]', "[true]", "[null]", "[[1], [{}]]", "1", '"text"', "{}", "null"])
def test_what_is_no_array_of_numbers_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue) as refusal:
        numeric_array(parse_json(text.encode(), LIMITS), "images")
    assert refusal.value.field == "images"


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=20,
)


@given(JSON_VALUES)
@example([[]])
@example([[], []])
def test_any_json_gives_an_array_or_a_refusal(value: object) -> None:
    try:
        array = numeric_array(parse_json(json.dumps(value).encode(), LIMITS), "x")
    except QuartetError:
        return
    assert array.dtype == np.float64


@given(st.binary(max_size=100) | st.text(max_size=100).map(str.encode))
@example(b"")
@example(b"[" * 5000)
@example(b"[NaN]")
@example(b"\xff\xfe[1]")
@example(b"1" * 5000)
def test_any_bytes_give_a_document_or_a_refusal(body: bytes) -> None:
    with contextlib.suppress(MalformedBody):
        parse_json(body, LIMITS)


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(InvalidValue, match="Unknown") as refusal:
        parse_object(b'{"images": [], "colour": 1}', {"images"}, LIMITS)
    assert refusal.value.field == "colour"


def test_a_first_row_that_promises_more_than_comes_takes_no_memory() -> None:
    """Its sides multiplied are 50 million empty arrays, and there are 250."""
    text = "[]"
    for _ in range(3):
        text = "[" + ",".join([text] + ["[]"] * 370) + "]"
    body = b'{"images":%s}' % text.encode()
    element = parse_object(body, {"images"}, LIMITS)["images"]
    tracemalloc.start()
    try:
        for document in (b"", body):
            with pytest.raises(InvalidShape):
                numeric_array(element, "images", document)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_document_that_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidValue, match="object"):
        parse_object(b"[1]", {"images"}, LIMITS)


@pytest.mark.parametrize("body", [b'{"images": [1], "images": [2]}', b'{"a": 1, "b": 2, "a": 1}'])
def test_a_field_that_is_given_twice_is_refused_by_name(body: bytes) -> None:
    with pytest.raises(InvalidValue, match="twice") as refusal:
        parse_object(body, None, LIMITS)
    assert refusal.value.field in ("images", "a")


def test_a_byte_order_mark_before_json_is_passed_over() -> None:
    assert parse_object(b'\xef\xbb\xbf{"a": 1}', {"a"}, LIMITS) == {"a": 1}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"a": 1', "at character 7"),
        (b"{'a': 1}", "at character 1"),
        (b"[NaN]", "at character"),
        (b"[1e999]", "infinity"),
        (b"  ", "nothing in the body"),
        (b"[" * 5000 + b"]" * 5000, "depth limit"),
    ],
)
def test_what_is_no_json_is_told_in_words_that_help(body: bytes, says: str) -> None:
    with pytest.raises(MalformedBody, match=says):
        parse_json(body, LIMITS)


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }" % (b"1," * 2000),
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (True,), }",
        b"{'descr': [('a', '<f4', (2**63,))], 'fortran_order': False, 'shape': (1,), }",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"(" * 300 + b")" * 300 + b"), }",
        b"{'descr': '<V999999999999', 'fortran_order': False, 'shape': (1,), }",
        b"{'descr': ['<f4'], 'fortran_order': False, 'shape': {1: 2}, }",
        b"\\" * 400,
        b"0" * 5000,
    ],
)
def test_no_header_of_an_npy_file_is_a_fault_of_ours(header: bytes) -> None:
    body = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(4)
    with pytest.raises(QuartetError):
        read_npy(body)


@pytest.mark.parametrize("piece", [b"0,", b"[[]],", b"{},"])
def test_what_would_take_much_memory_to_parse_is_refused_before(piece: bytes) -> None:
    dense = b"[" + piece * (2**24 // len(piece)) + b"0]"
    with pytest.raises(BodyTooLarge, match="npy"):
        parse_json(dense, LIMITS)


def test_a_long_row_is_compared_in_the_memory_of_its_own_text() -> None:
    count = 10**6
    element = parse_object(b'{"images":[%s0]}' % (b"0," * (count - 1)), {"images"}, LIMITS)["images"]
    tracemalloc.start()
    try:
        assert has_shape(element, (count,))
        assert tracemalloc.get_traced_memory()[1] < 8 * count
    finally:
        tracemalloc.stop()

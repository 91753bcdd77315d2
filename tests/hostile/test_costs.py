"""Small requests that want to cost much: each is done with in a moment, and memory is back to what it was."""

import base64
import io
from collections.abc import Iterator
from time import perf_counter

import numpy as np
import pytest
from PIL import Image

from load_tests.hostile.fuzz import resident_mb
from load_tests.hostile.inside import Inside
from load_tests.hostile.seeds import CLASSIFY, CSV, FORM, GENERATE, INFER, PREDICT, SCORE, form
from tests.conftest import npy

JSON, NPY = "application/json", "application/x-npy"
MOMENT_S = 3.0
MEGABYTE = 10**6


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with Inside(tmp_path_factory.mktemp("inside")) as service:
        yield service


def nested(before: bytes, levels: int, after: bytes = b"") -> bytes:
    return before + b"[" * levels + b"1" + b"]" * levels + after


def bomb(side: int = 512) -> bytes:
    """A black PNG, as large as the limits of this service in this process allow."""
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((side, side), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def wide_npy(size: int) -> bytes:
    """A sound `.npy` whose header is padded with `size` spaces."""
    plain = npy(np.zeros((28, 28), np.uint8))
    header = plain[10:128].rstrip() + b" " * size + b"\n"
    return b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header + plain[128:]


TRUTHS = b'{"inputs":[{"name":"x","datatype":"BOOL","shape":[1],"data":'
EXPENSIVE = {
    "lists in lists": (CLASSIFY, JSON, nested(b'{"images":', 100_000, b"}"), 400),
    "as many lists in lists as JSON may have": (CLASSIFY, JSON, nested(b'{"images":', 1000, b"}"), 422),
    "lists in lists of a tensor": (PREDICT, JSON, nested(b'{"inputs":{"x":', 1000, b"}}"), 422),
    "lists in lists of latents": (GENERATE, JSON, nested(b'{"latents":', 1000, b"}"), 422),
    "lists in lists of truths": (INFER, JSON, nested(TRUTHS, 1000, b"}]}"), 422),
    "many fields": (CLASSIFY, JSON, b"{" + b",".join(b'"k%d":1' % i for i in range(80_000)) + b"}", 422),
    "many tensors": (PREDICT, JSON, b'{"inputs":{' + b",".join(b'"k%d":[1]' % i for i in range(60_000)) + b"}}", 422),
    "a field with NUL in its name": (PREDICT, JSON, b'{"inputs":{"\\u0000":[1]}}', 422),
    "many pictures": (CLASSIFY, JSON, b'{"images":[' + b"[[1]]," * 100_000 + b"[[1]]]}", 422),
    "many samples": (GENERATE, JSON, b'{"count":1000000000000}', 422),
    "many rows": (SCORE, CSV, b"age_years\n" + b"1\n" * 500_000, 422),
    "many columns": (SCORE, CSV, b",".join([b"a"] * 250_000) + b"\n" + b",".join([b"1"] * 250_000), 422),
    "many parts": (CLASSIFY, FORM, form("image", *[b"x"] * 10_000), 422),
    "a part with many headers": (CLASSIFY, FORM, b"--edge\r\n" + b"a: b\r\n" * 150_000 + b"\r\nx\r\n--edge--\r\n", 400),
    "black pictures in parts": (CLASSIFY, FORM, form("image", *[bomb()] * 16), 413),
    "a wide header": (CLASSIFY, NPY, wide_npy(MEGABYTE), 400),
    "a header of brackets": (CLASSIFY, NPY, b"\x93NUMPY\x01\x00\x10\x27" + b"(" * 10_000, 400),
}


@pytest.mark.parametrize(("path", "media_type", "body", "status"), EXPENSIVE.values(), ids=EXPENSIVE)
def test_it_is_refused_in_a_moment(inside: Inside, path: str, media_type: str, body: bytes, status: int) -> None:
    started = perf_counter()
    reply = inside.ask("POST", path, {b"content-type": media_type.encode()}, body)
    assert perf_counter() - started < MOMENT_S
    assert reply is not None
    assert reply.status == status, reply.body


def test_pictures_count_together_against_the_limit(inside: Inside) -> None:
    """Each of them is within the limit; the first takes all of it."""
    pictures = b'","'.join([base64.b64encode(bomb())] * 2)
    reply = inside.ask("POST", CLASSIFY, {b"content-type": b"application/json"}, b'{"images":["%s"]}' % pictures)
    assert reply is not None
    assert (reply.status, b'"field":"images[1]"' in reply.body) == (413, True), reply.body


def test_headers_of_arrays_are_not_kept(inside: Inside) -> None:
    def ask(size: int) -> None:
        inside.ask("POST", CLASSIFY, {b"content-type": NPY.encode()}, wide_npy(size))

    ask(MEGABYTE)
    before = resident_mb()
    for size in range(64):
        ask(MEGABYTE - size)
    assert resident_mb() - before < 32

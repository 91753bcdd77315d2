"""Small requests that want to cost much: each is done with in a moment, and memory is back to what it was."""

import asyncio
import base64
import io
import random
from collections.abc import Awaitable, Iterator
from pathlib import Path
from time import process_time

import numpy as np
import pytest
from PIL import Image

from load_tests.hostile.bombs import BOMBS
from load_tests.hostile.cost import MEGABYTE, MEMORY, Cost, Meter, resident_mb
from load_tests.hostile.inside import TIGHT, Inside
from load_tests.hostile.seeds import CLASSIFY, CSV, FORM, GENERATE, INFER, PREDICT, SCORE, form
from load_tests.hostile.shot import Finding, Shot
from tests.conftest import npy

JSON, NPY = "application/json", "application/x-npy"


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inside]:
    with Inside(tmp_path_factory.mktemp("inside"), **TIGHT) as service:
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
    "many columns": (SCORE, CSV, b",".join([b"a"] * 250_000) + b"\n" + b",".join([b"1"] * 250_000), 400),
    "many parts": (CLASSIFY, FORM, form("image", *[b"x"] * 10_000), 422),
    "a part with many headers": (CLASSIFY, FORM, b"--edge\r\n" + b"a: b\r\n" * 150_000 + b"\r\nx\r\n--edge--\r\n", 400),
    "black pictures in parts": (CLASSIFY, FORM, form("image", *[bomb()] * 16), 413),
    "a wide header": (CLASSIFY, NPY, wide_npy(10**6), 400),
    "a header of brackets": (CLASSIFY, NPY, b"\x93NUMPY\x01\x00\x10\x27" + b"(" * 10_000, 400),
}


@pytest.mark.parametrize(("path", "media_type", "body", "status"), EXPENSIVE.values(), ids=EXPENSIVE)
def test_it_is_refused_at_little_cost(inside: Inside, path: str, media_type: str, body: bytes, status: int) -> None:
    reply, cost = inside.measured(Shot("POST", path, b"", {b"content-type": media_type.encode()}, body))
    assert reply is not None
    assert reply.status == status, reply.body
    assert list(cost.excesses(len(body), inside.max_pixels)) == []


def test_pictures_count_together_against_the_limit(inside: Inside) -> None:
    """Each of them is within the limit; the first takes all of it."""
    pictures = b'","'.join([base64.b64encode(bomb())] * 2)
    reply = inside.ask("POST", CLASSIFY, {b"content-type": b"application/json"}, b'{"images":["%s"]}' % pictures)
    assert reply is not None
    assert (reply.status, b'"field":"images[1]"' in reply.body) == (413, True), reply.body


def test_headers_of_arrays_are_not_kept(inside: Inside) -> None:
    def ask(size: int) -> None:
        inside.ask("POST", CLASSIFY, {b"content-type": NPY.encode()}, wide_npy(size))

    ask(10**6)
    before = resident_mb()
    for size in range(64):
        ask(10**6 - size)
    assert resident_mb() - before < 32


def cost_of(work: Awaitable[object]) -> Cost:
    async def measure() -> Cost:
        async with Meter() as meter:
            await work
        return meter.cost

    return asyncio.run(measure())


def busy() -> None:
    started = process_time()
    while process_time() - started < 0.5:
        pass


async def busy_here() -> None:
    busy()


async def large() -> None:
    bytearray(300 * MEGABYTE)[:: 2**12] = b"1" * (300 * 2**8)


def test_what_is_taken_for_a_moment_is_seen() -> None:
    spent = {one.kind: one.spent for one in cost_of(large()).excesses(sent=10_000, max_pixels=2**25)}
    assert round(spent[MEMORY], -2) == 300


def test_work_on_the_event_loop_is_a_stall_and_in_a_thread_it_is_none() -> None:
    here, beside = cost_of(busy_here()), cost_of(asyncio.to_thread(busy))
    assert here.stall_s > 0.45 > beside.stall_s
    assert 0.45 < beside.seconds < 1


def test_waiting_costs_nothing() -> None:
    cost = cost_of(asyncio.sleep(0.5))
    assert (cost.peak < MEGABYTE, cost.seconds < 0.25) == (True, True)


def test_a_finding_can_be_sent_again(tmp_path: Path) -> None:
    shot = Shot("POST", "/v1/\xff", b"a=\xfe", {b"x": b"\x80"}, bytes(range(256)))
    Finding(shot, "too dear").write(tmp_path, 7)
    assert Shot.read(tmp_path / "7.json") == shot


@pytest.mark.parametrize("name", BOMBS)
def test_a_seed_makes_the_same_bombs_again(name: str) -> None:
    first, again = ([BOMBS[name](chance) for _ in range(2)] for chance in (random.Random(1), random.Random(1)))
    assert first == again

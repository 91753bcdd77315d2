"""A request that failed leaves nothing behind, without waiting for the garbage collector."""

import asyncio
import gc
import logging
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from load_tests.in_process import scope_of
from service.budget import Lease
from service.bundle import Arrays
from service.engine.batcher import Job
from service.engine.repository import Repository
from service.http.exchange import Exchange
from service.messages import Request
from service.oip.grpc_server import Call
from service.stage_pool import Caller
from service.task import Payload, Prepared
from tests.conftest import Here, in_memory, lane_over, npy
from tests.service.test_oip_grpc import serving, tensor

ROWS = np.zeros((16, 256, 256), np.float32)  # 4 MB
BODY = npy(ROWS)
TIMES = 6
KINDS = Request, Payload, Prepared, Job, Caller, Lease, Exchange, Call
NOTHING = 0, 0
CT = "/v1/ct/denoise"
NPY = {b"content-type": b"application/x-npy"}


class Cycle:
    """What uvicorn knows of a client who has sent everything and, from some moment on, is gone."""

    def __init__(self, body: bytes) -> None:
        self.body, self.disconnected, self.more_body = body, False, False

    async def receive(self) -> dict[str, Any]:
        body, self.body = self.body, b""
        return {"type": "http.request", "body": body}


@pytest.fixture
def uncollected() -> Iterator[None]:
    logging.disable(logging.CRITICAL)  # pytest keeps what is logged, with the frames that it came through
    gc.collect()
    gc.disable()
    tracemalloc.start()
    yield
    tracemalloc.stop()
    gc.enable()
    logging.disable(logging.NOTSET)


def leftovers() -> int:
    """Objects of single requests that are still there."""
    return sum(issubclass(type(one), KINDS) for one in gc.get_objects())  # some of torch warn when asked


async def left_by(once: Callable[[], Awaitable[Any]]) -> tuple[int, int]:
    """Objects of requests that were not there before, and bytes that were not there after the first time."""
    others = leftovers()  # an earlier test may have left its own
    await once()
    await asyncio.sleep(0.05)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(TIMES):
        await once()
    for _ in range(20):  # a thread may still be at it
        more = tracemalloc.get_traced_memory()[0] - before
        if more < len(BODY) and leftovers() <= others:
            break
        await asyncio.sleep(0.05)
    return max(0, leftovers() - others), max(0, more - len(BODY))


def failing(inputs: Arrays) -> Arrays:
    raise RuntimeError("poison")


@pytest.fixture(scope="module")
def lane(repository: Repository) -> Here:
    return lane_over(repository, max_pixels=2**24)


async def posted(lane: Here, path: str, body: bytes, headers: dict[bytes, bytes], gone: bool = False) -> int:
    cycle, sent = Cycle(body), []

    async def send(message: Any) -> None:
        sent.append(message)

    cycle.disconnected = gone
    await lane.app(scope_of("POST", path, headers, body, b"model=toy-ct"), cycle.receive, send)
    return int(sent[0]["status"])


NAN = npy(np.full((16, 256, 256), np.nan, np.float32))
CASES: dict[str, tuple[str, bytes, dict[bytes, bytes], bool, int]] = {
    "time was up": (CT, BODY, NPY | {b"x-timeout-ms": b"1"}, False, 504),
    "hung up": (CT, BODY, NPY, True, 499),
    "wrong value": (CT, NAN, NPY, False, 422),
    "wrong shape": (CT, npy(ROWS[..., :8]), NPY, False, 422),
    "damaged": (CT, BODY[:-1], NPY, False, 400),
    "unknown model": (CT, BODY, NPY | {b"x-model-version": b"0"}, False, 404),
    "wrong on the protocol": ("/v2/models/toy-ct/infer", b'{"inputs": [], "more": "' + bytes(2**22), {}, False, 422),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("uncollected")
def test_refusals_leave_nothing(lane: Here, case: str) -> None:
    path, body, headers, gone, status = CASES[case]

    async def once() -> None:
        assert await posted(lane, path, body, headers, gone) == status

    assert asyncio.run(left_by(once)) == NOTHING


@pytest.mark.usefixtures("uncollected")
def test_failed_inference_leaves_nothing(lane: Here, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_memory(repository, "toy-ct").batcher, "_run", failing)

    async def once() -> None:
        assert await posted(lane, CT, BODY, NPY) == 500

    assert asyncio.run(left_by(once)) == NOTHING


@pytest.mark.parametrize(("array", "seconds"), [(ROWS, 1e-3), (ROWS[..., :1].astype(np.float64), 60), (ROWS[0], 60)])
@pytest.mark.usefixtures("uncollected")
def test_failed_calls_leave_nothing(repository: Repository, array: np.ndarray, seconds: float) -> None:
    many = np.ascontiguousarray(np.resize(array, (16, *array.shape[1:])))

    async def measure() -> tuple[int, int]:
        async with serving(repository, max_body_bytes=2**24) as address, InferenceServerClient(address) as client:

            async def once() -> None:
                with pytest.raises(InferenceServerException):
                    await client.infer("toy-digits", [tensor("image", many)], client_timeout=seconds)

            return await left_by(once)

    assert asyncio.run(measure()) == NOTHING

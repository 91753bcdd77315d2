"""What requests hold together stays within a budget; whoever does not fit is told so at once."""

import asyncio
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from load_tests.in_process import scope_of
from service.budget import MB, SHARE, Budget, default_size
from service.engine.repository import Repository
from service.errors import BodyTooLarge, MemoryFull
from service.limits import Limits
from service.quota import memory_limit
from tests.conftest import Here, assert_refused, lane_over, npy


def test_a_lease_holds_what_it_claims_and_gives_it_back() -> None:
    budget = Budget(100)
    with budget.lease() as lease:
        lease.grow(60)
        lease.grow(40)
        assert budget.held == 100
        lease.settle(30)
        assert budget.held == 30
    assert budget.held == 0


def test_one_request_may_have_all_of_it_and_no_more() -> None:
    limits = Limits(1, 1, Budget(100).lease())
    limits.claim(60)
    with pytest.raises(BodyTooLarge):
        limits.claim(41, "image")
    limits.claim(40)


def test_what_fits_only_later_is_to_be_tried_again() -> None:
    budget = Budget(100)
    first, second = budget.lease(), budget.lease()
    first.grow(60)
    with pytest.raises(MemoryFull) as refusal:
        second.grow(60)
    assert refusal.value.retry_after_s
    first.drop()
    second.grow(60)


def test_a_lease_ends_with_its_last_user() -> None:
    budget = Budget(100)
    lease = budget.lease()
    lease.grow(10)
    lease.keep()
    lease.drop()
    assert budget.held == 10
    lease.drop()
    assert budget.held == 0


def test_threads_count_together() -> None:
    budget = Budget(10**9)

    def work() -> None:
        for _ in range(2000):
            with budget.lease() as lease:
                lease.grow(7)
                lease.settle(3)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert budget.held == 0


@pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])
def test_the_limit_is_that_of_the_container(tmp_path: Path, file: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(f"{2**30}\n")
    assert memory_limit(tmp_path) == 2**30


@pytest.mark.parametrize("content", ["max\n", "9223372036854771712\n"])
def test_without_a_limit_it_is_half_of_the_machine(tmp_path: Path, content: str) -> None:
    (tmp_path / "memory.max").write_text(content)
    assert memory_limit(tmp_path) == psutil.virtual_memory().total // 2


def test_processes_share_what_there_is() -> None:
    assert default_size(1, 0) > default_size(2, 0) > default_size(10**6, 0) > 0


def test_what_models_may_come_to_take_is_not_for_requests() -> None:
    assert default_size(1, 100 * MB) <= default_size(1, 0) - SHARE * 90 * MB


@pytest.fixture(scope="module")
def tight(repository: Repository) -> Here:
    return lane_over(repository, memory_budget=2**20)


def held(lane: Here) -> int:
    return int(lane.app.pipeline.budget.held)  # type: ignore[attr-defined]


def test_answers_leave_nothing_held(tight: Here) -> None:
    answer = tight("POST", "/v1/digits/classify?model=toy-digits", content=npy(np.zeros((2, 28, 28), np.uint8)))
    assert answer.status_code == 200
    assert held(tight) == 0


@pytest.mark.parametrize("path", ["/v1/digits/classify", "/v1/ct/denoise"])
def test_a_body_that_never_fits_is_too_large(tight: Here, path: str) -> None:
    answer = tight("POST", path, content=bytes(2**20 + 1), headers={"content-type": "application/x-npy"})
    assert_refused(answer, 413, "body_too_large")
    assert held(tight) == 0


def test_a_body_that_does_not_fit_now_is_told_when_to_come_again(tight: Here) -> None:
    with tight.app.pipeline.budget.lease() as other:  # type: ignore[attr-defined]
        other.grow(2**20)
        answer = tight("POST", "/v1/digits/classify", content=bytes(10))
    assert_refused(answer, 503, "memory_full")
    assert answer.headers["retry-after"] == "1"


class Slow:
    """uvicorn's request cycle where the client has sent all, and reads the answer when told to."""

    def __init__(self, body: bytes) -> None:
        self.body, self.disconnected, self.more_body, self.write_paused = body, False, False, False
        self.flow, self.read = self, asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        return {"type": "http.request", "body": self.body}

    async def send(self, message: Any) -> None:
        self.write_paused = True

    async def drain(self) -> None:
        await self.read.wait()


def test_an_answer_counts_until_it_has_been_read(repository: Repository) -> None:
    lane = lane_over(repository)
    slices = npy(np.zeros((4, 256, 256), np.float32))

    async def scene() -> None:
        client = Slow(slices)
        scope = scope_of("POST", "/v1/ct/denoise", {b"content-type": b"application/x-npy"}, slices, b"model=toy-ct")
        asked = asyncio.ensure_future(lane.app(scope, client.receive, client.send))
        while not client.write_paused:
            await asyncio.sleep(0.01)
        assert held(lane) == len(slices)  # the answer is as large
        client.read.set()
        await asked
        assert held(lane) == 0

    asyncio.run(scene())


def test_the_protocol_has_the_same_budget(tight: Here) -> None:
    answer: httpx.Response = tight("POST", "/v2/models/any/infer", content=bytes(2**20 + 1))
    assert answer.status_code == 413
    assert held(tight) == 0


def test_the_budget_is_to_be_seen_in_the_metrics(repository: Repository) -> None:
    page = lane_over(repository, memory_budget=2**20)("GET", "/metrics").text
    assert "quartet_memory_held_bytes 0.0" in page
    assert "quartet_memory_budget_bytes 1.048576e+06" in page

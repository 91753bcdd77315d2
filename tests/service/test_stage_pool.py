"""Small work stays on the event loop; large work leaves it, within its time and for somebody who waits."""

import asyncio
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from service import stage_pool
from service.budget import Budget
from service.errors import ClientGone, DeadlineExceeded, QueueFull
from service.stage_pool import (
    INLINE_BYTES,
    LARGE_JSON,
    MOST_WAITING,
    THREADS,
    Caller,
    run_in_thread,
    run_parser,
    run_stage,
)


def caller(seconds: float = 60, gone: bool = False, budget: Budget | None = None) -> Caller:
    return Caller(monotonic() + seconds, lambda: gone, budget.lease() if budget else None)


@pytest.fixture
def busy() -> Iterator[threading.Event]:
    """All threads are at work until it is set."""
    end = threading.Event()
    running = [stage_pool._threads.submit(end.wait, 60) for _ in range(THREADS)]
    yield end
    end.set()
    for one in running:
        one.result()


@pytest.mark.parametrize(("size", "here"), [(0, True), (INLINE_BYTES, True), (INLINE_BYTES + 1, False)])
def test_the_size_decides_where_a_stage_runs(size: int, here: bool) -> None:
    ran_in = asyncio.run(run_stage(size, caller(), threading.get_ident))
    assert (ran_in == threading.get_ident()) is here


def test_what_waits_for_a_thread_when_its_time_is_up_never_runs(busy: threading.Event) -> None:
    ran: list[int] = []
    with pytest.raises(DeadlineExceeded):
        asyncio.run(run_in_thread(caller(0.01), ran.append, 1))
    busy.set()
    asyncio.run(run_in_thread(caller(), int))
    assert not ran


def test_nothing_is_read_for_somebody_who_hung_up_meanwhile() -> None:
    ran: list[int] = []
    with pytest.raises(ClientGone):
        asyncio.run(run_in_thread(caller(gone=True), ran.append, 1))
    assert not ran


def test_only_so_many_wait_for_a_thread(busy: threading.Event) -> None:
    async def crowd() -> list[object]:
        many = [asyncio.ensure_future(run_in_thread(caller(), int)) for _ in range(MOST_WAITING + 3)]
        await asyncio.sleep(0)
        busy.set()
        return await asyncio.gather(*many, return_exceptions=True)

    answers = asyncio.run(crowd())
    assert answers.count(0) == MOST_WAITING
    assert sum(isinstance(answer, QueueFull) for answer in answers) == 3


def test_memory_is_held_until_the_thread_is_done_with_it() -> None:
    budget, begun, end = Budget(10), threading.Event(), threading.Event()
    given_up = caller(0.05, budget=budget)
    assert given_up.lease is not None

    def slow() -> None:
        begun.set()
        end.wait(60)

    given_up.lease.grow(10)
    with pytest.raises(DeadlineExceeded):
        asyncio.run(run_in_thread(given_up, slow))
    assert begun.wait(60)
    given_up.lease.drop()
    assert budget.held == 10
    end.set()
    asyncio.run(run_in_thread(caller(), int))  # no sooner than a thread is free
    for _ in range(1000):
        if not budget.held:
            break
        threading.Event().wait(0.01)
    assert budget.held == 0


def test_large_json_is_parsed_one_after_the_other() -> None:
    at_once: list[int] = []
    here: list[int] = []

    def parse() -> None:
        here.append(1)
        at_once.append(len(here))
        threading.Event().wait(0.02)
        here.pop()

    async def crowd(size: int) -> None:
        await asyncio.gather(*(run_parser(size, caller(), parse) for _ in range(4)))

    asyncio.run(crowd(LARGE_JSON + 1))
    assert at_once == [1] * 4

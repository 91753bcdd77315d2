"""Where a stage runs: on the event loop, or in one of a few threads so that no other request waits for it."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import BoundedSemaphore
from time import monotonic
from typing import NamedTuple, ParamSpec, Protocol, TypeVar

from service.budget import Lease
from service.errors import ClientGone, DeadlineExceeded, QueueFull
from service.quota import cpu_quota

INLINE_BYTES = 32 * 1024  # above these a stage may take milliseconds
HEAVY = INLINE_BYTES + 1  # for a stage whose bytes say little of its time
THREADS = cpu_quota() + 1
MOST_WAITING = 256  # stages, those that run included
LARGE_JSON = 2**20  # bytes

P = ParamSpec("P")
T = TypeVar("T")

_threads = ThreadPoolExecutor(THREADS, "stage")
_parser = ThreadPoolExecutor(1, "parser")
_room = BoundedSemaphore(MOST_WAITING)


def never() -> bool:
    return False


class Sender(Protocol):
    """A request, as far as it says who sent it."""

    @property
    def request_id(self) -> bytes: ...

    @property
    def headers(self) -> Mapping[bytes, bytes]: ...


class Caller(NamedTuple):
    """Who waits for a stage: until when (monotonic clock), whether they have gone, and the lease on their memory.

    `alone` says whether theirs is the only request that the process has.
    """

    deadline: float
    abandoned: Callable[[], bool]
    lease: Lease | None = None
    alone: Callable[[], bool] = never
    sender: Sender | None = None


async def run_stage(size: int, caller: Caller, stage: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a stage here when it handles little, in a thread when it handles much. Raises what `run_in_thread` raises."""
    if size <= INLINE_BYTES:
        return stage(*args, **kwargs)
    return await run_in_thread(caller, stage, *args, **kwargs)


async def run_parser(size: int, caller: Caller, stage: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a stage that parses JSON of `size` bytes: like `run_stage`, but large bodies one after the other.

    The parser holds the interpreter lock, and the event loop would wait for all that run side by side.
    """
    if size <= LARGE_JSON:
        return await run_stage(size, caller, stage, *args, **kwargs)
    return await _in(_parser, caller, partial(stage, *args, **kwargs))


async def run_in_thread(caller: Caller, stage: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a stage in a thread.

    Raises QueueFull at once, DeadlineExceeded when the time is up, ClientGone when nobody waits once its turn has come.
    A thread that has begun cannot be stopped: it goes on by itself, and the lease ends with it.
    """
    return await _in(_threads, caller, partial(stage, *args, **kwargs))


async def _in(threads: ThreadPoolExecutor, caller: Caller, stage: Callable[[], T]) -> T:
    if not _room.acquire(blocking=False):
        raise QueueFull("Too many requests wait to be read already. Try again in a moment.")
    if caller.lease is not None:
        caller.lease.keep()
    done = threads.submit(_if_wanted, caller, stage)
    done.add_done_callback(partial(_leave, caller.lease))
    try:
        async with asyncio.timeout(caller.deadline - monotonic()) as patience:
            return await asyncio.wrap_future(done)
    except TimeoutError:
        if not patience.expired():
            raise
        raise DeadlineExceeded("The request's time was up before it had been read.") from None


def _if_wanted(caller: Caller, stage: Callable[[], T]) -> T:
    if caller.abandoned():
        raise ClientGone("The client hung up.")
    return stage()


def _leave(lease: Lease | None, done: object) -> None:
    _room.release()
    if lease is not None:
        lease.drop()

"""The calls that a gRPC server is answering: how many there may be, and how their messages are read and written.

Every method is served as a stream, so nothing of a message is read before the caller is admitted: until somebody reads,
gRPC takes no more than the window of the stream.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from time import monotonic
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from service.allocator import give_back_now
from service.budget import Lease
from service.errors import (
    BodyTimeout,
    BodyTooLarge,
    ClientGone,
    Draining,
    EmptyBody,
    MalformedBody,
    MemoryFull,
    QuartetError,
    TooManyConnections,
)
from service.http.access_log import AccessLog
from service.http.keys import Keys
from service.http.observability import Observed
from service.metrics import Metrics
from service.oip.grpc_messages import SERVICE
from service.pipeline import OPEN_INFERENCE, Pipeline
from service.settings import Settings
from service.stage_pool import Caller, run_stage
from service.timing import Timing

ENDPOINT = "open_inference_grpc"
PATHS = {ENDPOINT: f"/{SERVICE}"}
MOST = 1024  # calls
SHARE = 2  # of the memory budget, one part is for messages of which the rest is still to come
FEWEST = 2  # such messages
LARGE_FOR = "ModelInfer", "ModelStreamInfer"
SMALL = 2**16  # bytes, the most of a message for other methods, most of which anybody may ask
SOON_S = 0.05  # in which a message of some kilobytes is there
LARGE, TIDY_S = 2**22, 2.0  # bytes of a message, and when what it took is given back
PATIENT_TURNS = 10
LEAST_RATE = 2**16  # bytes of an answer per second

Context = Any  # grpc.aio.ServicerContext: grpc has no types


class Call(Observed):
    """A call on the wire; `method` is its name within the service."""

    def __init__(
        self, method: str, streams: bool, context: Context, lease: Lease, metrics: Metrics, access_log: AccessLog
    ) -> None:
        """`streams`: whether it may wait for its client, or for something to tell it."""
        metadata = context.invocation_metadata() or ()
        headers = {name.encode(): value.encode() if isinstance(value, str) else value for name, value in metadata}
        super().__init__(ENDPOINT, method, headers, metrics, access_log)
        self.streams, self.context, self.lease = streams, context, lease
        self.timing: Timing | None = None
        self.pending = 0  # requests of a stream that have no answer yet
        self.refusal: QuartetError | None = None
        self._task = asyncio.current_task()

    def cancel(self, why: QuartetError) -> None:
        """End it; `refusal` tells whoever serves it why."""
        self.refusal = why
        if self._task is not None:
            self._task.cancel()

    def resume(self) -> None:
        """Undo `cancel`, so that the refusal can be sent."""
        if self._task is not None:
            self._task.uncancel()

    def end(self, status: int) -> None:
        """Tell what follows an answer: the id, the times, the trace."""
        marks = [(b"x-request-id", self.request_id), *self.marks(self.timing)]
        self.context.set_trailing_metadata(tuple((name.decode(), value.decode("latin-1")) for name, value in marks))
        self.ended(status, self.timing)


class Calls:
    def __init__(self, pipeline: Pipeline, settings: Settings, keys: Keys | None) -> None:
        self.budget, self.keys = pipeline.budget, keys
        self.metrics, self.access_log = pipeline.repository.metrics, AccessLog(settings.access_log, PATHS)
        self.leaving = asyncio.Event()
        self._room = min(MOST, settings.max_connections)
        self._places = max(FEWEST, self.budget.size // SHARE // settings.body_limit_of(OPEN_INFERENCE))
        self._patience_s, self._most_s = settings.body_timeout_s, settings.timeout_of(OPEN_INFERENCE)
        self._running: set[Call] = set()
        self._streams: dict[Call, None] = {}  # the one that has waited longest for a message first
        self._late: dict[Call, None] = {}  # whose message does not come soon
        self._empty = asyncio.Event()
        self._tidying: asyncio.Task[None] | None = None

    def caller(self, call: Call, lease: Lease) -> Caller:
        left = call.context.time_remaining()
        return Caller(
            monotonic() + (self._most_s if left is None else min(left, self._most_s)), waiting, lease, sender=call
        )

    @contextmanager
    def at(self, call: Call) -> Iterator[None]:
        """Raises Draining, TooManyConnections."""
        if self.leaving.is_set():
            raise Draining("The service is going down.")
        full = TooManyConnections("There are too many calls. Try again in a moment.")
        if len(self._running) >= self._room and not self._end_longest(self._streams, full):
            raise full
        self._running.add(call)
        self.metrics.in_flight += 1
        try:
            yield
        finally:
            self.metrics.in_flight -= 1
            self._running.discard(call)
            self._streams.pop(call, None)
            if not self._running:
                self._empty.set()

    async def receive(self, call: Call) -> bytes | None:
        """The next message; None: there is none. Raises MemoryFull, BodyTimeout, BodyTooLarge."""
        if call.streams:
            self._streams.pop(call, None)
            self._streams[call] = None
        message = await Arrival(self, call).read()
        if message is grpc.aio.EOF:
            return None
        if len(message) > SMALL and call.method not in LARGE_FOR:  # gRPC itself has one limit for all
            raise BodyTooLarge(f"A message for {call.method} has at most {SMALL} bytes.")
        if len(message) > LARGE and self._tidying is None:
            self._tidying = asyncio.create_task(self._tidy())
        return bytes(message)

    async def send(self, call: Call, message: Any, size: int) -> None:
        """Raises ClientGone when it is not read."""
        try:
            async with asyncio.timeout(self._patience_s + size / LEAST_RATE):
                await call.context.write(message)
        except (TimeoutError, grpc.aio.InternalError):  # the latter once the connection has ended
            raise ClientGone("The answer was not read.") from None

    async def leave(self, grace_s: float) -> None:
        """Refuse new calls, and wait for `grace_s` until those that have been accepted have their answers."""
        self.leaving.set()
        while self._running and grace_s > 0:
            self._empty.clear()
            try:
                await asyncio.wait_for(self._empty.wait(), grace_s)
            except TimeoutError:
                break
        for call in self._running:
            call.cancel(Draining("The service is going down, and had no more time for this request."))

    async def _tidy(self) -> None:
        """gRPC takes a message apart into blocks so small that the allocator keeps them."""
        await asyncio.sleep(TIDY_S)
        self._tidying = None
        await asyncio.to_thread(give_back_now)

    def take_place(self, call: Call) -> float | None:
        """Count the call among those with a slow message, each of which may become as large as the limit.

        Returns for how many seconds it may wait; None: until another call needs the place. Raises MemoryFull.
        """
        full = MemoryFull("Too many messages come slowly. Try again in a moment.")
        if len(self._late) >= self._places and not self._end_longest(self._late, full):
            raise full
        self._late[call] = None
        return None if call.streams else self._patience_s

    def leave_place(self, call: Call) -> None:
        self._late.pop(call, None)

    def _end_longest(self, calls: Iterable[Call], why: QuartetError) -> bool:
        """End the first stream on which nothing is pending; whether there was one."""
        idle = (call for call in calls if call.streams and not call.pending and call.refusal is None)
        longest = next(idle, None)
        if longest is not None:
            longest.cancel(why)
            self._streams.pop(longest, None)
            self._late.pop(longest, None)
        return longest is not None


class Arrival:
    """Reads a message within its time. Only timers: nearly all messages are there at once."""

    def __init__(self, calls: Calls, call: Call) -> None:
        self._calls, self._call = calls, call
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._turns = PATIENT_TURNS
        self._refusal: QuartetError | None = None
        self._wait(SOON_S, self._take_place)

    async def read(self) -> Any:
        """Raises MemoryFull, BodyTimeout."""
        try:
            return await self._call.context.read()
        except asyncio.CancelledError:
            if self._refusal is None or self._task is None:
                raise
            self._task.uncancel()
            raise self._refusal from None
        finally:
            self._timer.cancel()
            self._calls.leave_place(self._call)

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._due = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._due, then)

    def _take_place(self) -> None:
        self._turns -= 1
        if self._turns and self._loop.time() > self._due + SOON_S:  # this loop is late itself, not the client
            self._wait(SOON_S, self._take_place)
            return
        try:
            seconds = self._calls.take_place(self._call)
        except MemoryFull as full:
            self._refuse(full)
        else:
            if seconds is not None:
                late = BodyTimeout(f"The message did not arrive within {seconds:g} s.")
                self._wait(seconds, partial(self._refuse, late))

    def _refuse(self, why: QuartetError) -> None:
        self._refusal = why
        if self._task is not None:
            self._task.cancel()


def waiting() -> bool:
    """Never abandoned: when a client cancels, gRPC cancels the coroutine that serves it."""
    return False


async def message_in(body: bytes | None, message: Any, caller: Caller) -> Any:
    """The message in `body`, which the caller's lease holds. Raises EmptyBody, MalformedBody, MemoryFull."""
    if body is None:
        raise EmptyBody("The call has no message.")
    assert caller.lease is not None
    caller.lease.grow(2 * len(body))
    read = await run_stage(len(body), caller, parse_message, message, body)
    caller.lease.settle(len(body))
    return read


def parse_message(message: Any, body: bytes) -> Any:
    """The message in `body`. Raises MalformedBody."""
    try:
        return message.FromString(body)
    except DecodeError:
        raise MalformedBody(f"Not a {message.DESCRIPTOR.name}.") from None

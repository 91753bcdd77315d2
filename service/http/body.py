"""The body of a request: read whole, in time, within its limit."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from time import monotonic
from typing import Any

from service.budget import Lease
from service.codecs.compression import decompressed
from service.errors import BodyTimeout, BodyTooLarge, ClientGone
from service.stage_pool import Caller, run_in_thread

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

MOST_TIMES = 1032  # what deflate shrinks by
MOST_TIMES_ZSTD = 2**15


class Client:
    """What uvicorn knows of the other end; `receive` is a bound method of the object that knows.

    ASGI itself tells of a hang-up only those who await `receive`, which takes a task per request, and never whether
    the body is complete, so that every read needs a timer. Under another server nobody counts as gone.
    """

    __slots__ = ("_cycle",)

    def __init__(self, receive: Receive) -> None:
        self._cycle = getattr(receive, "__self__", None)

    def alone(self) -> bool:
        """Whether no other request has come to the process: each has a task from its head on."""
        connection = getattr(getattr(self._cycle, "on_response", None), "__self__", None)
        return len(getattr(connection, "tasks", ())) == 1

    def gone(self) -> bool:
        return getattr(self._cycle, "disconnected", False)

    async def has_read(self) -> None:
        """Wait until the transport's buffer is nearly empty, or the connection ends."""
        flow = getattr(self._cycle, "flow", None)
        if flow is not None and flow.write_paused:
            await flow.drain()

    def abort(self) -> None:
        """End the connection in the middle of an answer, so that nobody takes what there is of it for all."""
        transport = getattr(self._cycle, "transport", None)
        if transport is not None:
            transport.abort()

    def sent_all(self) -> bool:
        return not getattr(self._cycle, "more_body", True)


async def read_body(
    headers: dict[bytes, bytes], receive: Receive, client: Client, limit: int, timeout_s: float, lease: Lease
) -> bytes:
    """At most `limit` bytes, compressed and decompressed, which the lease holds.

    Raises BodyTooLarge, BodyTimeout, ClientGone, MemoryFull, and for a content encoding UnsupportedMedia or
    MalformedBody.
    """
    if int(headers.get(b"content-length", b"0")) > limit:
        raise BodyTooLarge(f"The body has more than {limit} bytes.")
    reading = _read(receive, limit, lease)
    body = await (reading if client.sent_all() else _in_time(reading, timeout_s))
    encoding = headers.get(b"content-encoding")
    if encoding is None:
        return body
    # Always in a thread: what little there is may decode to much.
    times = MOST_TIMES_ZSTD if encoding.strip().lower() == b"zstd" else MOST_TIMES
    lease.grow(2 * min(limit, times * len(body)))  # what is decoded grows by being copied
    caller = Caller(monotonic() + timeout_s, client.gone, lease)
    decoded = await run_in_thread(caller, decompressed, body, encoding, limit)
    lease.settle(len(decoded))
    return decoded


async def _in_time(reading: Awaitable[bytes], timeout_s: float) -> bytes:
    try:
        async with asyncio.timeout(timeout_s):
            return await reading
    except TimeoutError:
        raise BodyTimeout(f"The body did not arrive within {timeout_s:g} s.") from None


async def _read(receive: Receive, limit: int, lease: Lease) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("The client hung up.")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise BodyTooLarge(f"The body has more than {limit} bytes.")
        lease.grow(len(chunk))
        chunks.append(chunk)
        if not message.get("more_body"):
            return _joined(chunks, lease) if len(chunks) > 1 else bytes(chunk)


def _joined(chunks: list[bytes], lease: Lease) -> bytes:
    size = lease.held
    lease.grow(size)
    body = b"".join(chunks)
    chunks.clear()
    lease.settle(size)
    return body

"""The body of a request: read whole, in time, within its limit."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from service.codecs.compression import decompressed
from service.errors import BodyTimeout, BodyTooLarge, ClientGone

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]


class Client:
    """What uvicorn knows of the other end; `receive` is a bound method of the object that knows.

    ASGI itself tells of a hang-up only those who await `receive`, which takes a task per request, and never whether
    the body is complete, so that every read needs a timer. Under another server nobody counts as gone.
    """

    __slots__ = ("_cycle",)

    def __init__(self, receive: Receive) -> None:
        self._cycle = getattr(receive, "__self__", None)

    def gone(self) -> bool:
        return getattr(self._cycle, "disconnected", False)

    def sent_all(self) -> bool:
        return not getattr(self._cycle, "more_body", True)


async def read_body(
    headers: dict[bytes, bytes], receive: Receive, client: Client, limit: int, timeout_s: float
) -> bytes:
    """At most `limit` bytes, compressed and decompressed.

    Raises BodyTooLarge, BodyTimeout, ClientGone, and for a content encoding UnsupportedMedia or MalformedBody.
    """
    if int(headers.get(b"content-length", b"0")) > limit:
        raise BodyTooLarge(f"The body has more than {limit} bytes.")
    body = await (_read(receive, limit) if client.sent_all() else _read_in_time(receive, limit, timeout_s))
    encoding = headers.get(b"content-encoding")
    if encoding is None:
        return body
    # Always in a thread: what little there is may decode to much.
    return await asyncio.to_thread(decompressed, body, encoding, limit)


async def _read_in_time(receive: Receive, limit: int, timeout_s: float) -> bytes:
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(receive, limit)
    except TimeoutError:
        raise BodyTimeout(f"The body did not arrive within {timeout_s:g} s.") from None


async def _read(receive: Receive, limit: int) -> bytes:
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
        chunks.append(chunk)
        if not message.get("more_body"):
            return b"".join(chunks) if len(chunks) > 1 else bytes(chunk)

"""Answers and problems on their way out."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from service.errors import BodyTimeout, BodyTooLarge, MethodNotAllowed, QuartetError, Unauthorized, problem
from service.messages import Answer

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

PROBLEM = b"application/problem+json"


async def send_answer(
    send: Send, answer: Answer, request_id: bytes, server_timing: bytes | None = None, *, head: bool = False
) -> None:
    headers = _headers(answer.media_type.encode(), answer.body, request_id)
    if server_timing is not None:
        headers.append((b"server-timing", server_timing))
    await _send(send, 200, headers, b"" if head else answer.body)


async def send_problem(send: Send, error: QuartetError, request_id: bytes) -> None:
    body = problem(error, request_id.decode("latin-1"))
    headers = _headers(PROBLEM, body, request_id)
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % error.retry_after_s))
    if isinstance(error, BodyTooLarge | BodyTimeout):  # the rest of the body is still on its way
        headers.append((b"connection", b"close"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allowed.encode()))
    if isinstance(error, Unauthorized):
        headers.append((b"www-authenticate", b"Bearer"))
    await _send(send, error.status, headers, body)


def _headers(media_type: bytes, body: bytes, request_id: bytes) -> Headers:
    return [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id)]


async def _send(send: Send, status: int, headers: Headers, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})

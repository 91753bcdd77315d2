"""An ASGI app asked in this process, without an HTTP server."""

from collections.abc import MutableMapping, Sequence
from typing import Any

from service.lane import App

Message = MutableMapping[str, Any]


def scope_of(method: str, path: str, headers: dict[bytes, bytes], body: bytes, query: bytes = b"") -> dict[str, Any]:
    """What a server tells the app of a request before its body."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": query,
        "headers": [*headers.items(), (b"content-length", b"%d" % len(body))],
    }


async def exchange(app: App, scope: dict[str, Any], parts: Sequence[bytes]) -> list[Message]:
    """All that the app sends for a request, whose body comes in `parts`."""
    left, sent = list(parts), []

    async def receive() -> Message:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


async def not_found(scope: Any, receive: Any, send: Any) -> None:
    """For the inner app of a lane: what is not the lane's is not there."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})

"""One request and how its answer is read, before anything is sent: what both clients share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypedDict, TypeVar

import httpx

T = TypeVar("T")
JSON = "application/json"
Parameter = str | int | float | bool
OnError = Literal["refuse", "skip"]


class Options(TypedDict, total=False):
    """What every method takes beside its own arguments."""

    model: str  # in place of the default of the endpoint
    version: str  # refused when the service has another one
    timeout: float  # seconds for the whole call, retries included
    patient: bool  # let other requests go first
    request_id: str  # for the log of the service


@dataclass(frozen=True)
class Call(Generic[T]):
    """`parameters` that are None are left out. `timeout` None is that of the client."""

    path: str
    read: Callable[[httpx.Response], T]
    method: str = "POST"
    parameters: Mapping[str, Parameter | None] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    json: Any = None
    files: Sequence[tuple[str, tuple[str, bytes, str]]] | None = None
    timeout: float | None = None

    def request(self, client: "httpx.Client | httpx.AsyncClient", headers: Mapping[str, str]) -> httpx.Request:
        query = {name: _text(value) for name, value in self.parameters.items() if value is not None}
        return client.build_request(
            self.method,
            self.path,
            params=query or None,
            headers={**headers, **self.headers},
            content=self.content,
            json=self.json,
            files=self.files,
        )


def call(
    path: str,
    read: Callable[[httpx.Response], T],
    options: Options,
    accept: str = JSON,
    parameters: Mapping[str, Parameter | None] | None = None,
    **body: Any,
) -> Call[T]:
    """A POST with the options where the service looks for them. `body`: content, json or files, and headers."""
    headers = {"accept": accept, **body.pop("headers", {})}
    if options.get("patient"):
        headers["x-priority"] = "patient"
    if "request_id" in options:
        headers["x-request-id"] = options["request_id"]
    query = {"model": options.get("model"), "version": options.get("version"), **(parameters or {})}
    return Call(path, read, parameters=query, headers=headers, timeout=options.get("timeout"), **body)


def _text(value: Parameter) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

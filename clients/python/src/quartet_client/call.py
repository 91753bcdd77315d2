"""One request and how its answer is read, before anything is sent: what both clients share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypedDict, TypeVar

import httpx

T = TypeVar("T")
JSON, PNG = "application/json", "image/png"
Parameter = str | int | float | bool
OnError = Literal["refuse", "skip"]


BESIDE = frozenset(("timeout", "patient", "request_id"))  # options that are no parameters


class Options(TypedDict, total=False):
    """What every method takes beside its own arguments."""

    model: str  # in place of the default of the endpoint
    version: str  # refused when the service has another one
    timeout: float  # seconds for the whole call, retries included
    patient: bool  # let other requests go first
    request_id: str  # for the log of the service


class SliceOptions(Options, total=False):
    spacing_mm: float  # size of a pixel, where the slice does not say it
    strength: float  # how much of the model's change is made, 0 to 1
    noise: float  # of the slice in HU, for models that want to be told
    deidentify: bool  # DICOM comes back without what tells of the patient


class PreviewOptions(SliceOptions, total=False):
    window: str  # lung, soft-tissue, bone, brain, or centre/width in HU
    view: Literal["denoised", "compare", "difference"]


class Wish(Options, total=False):
    """What samples are to be drawn."""

    seed: int  # the same one gives the same samples
    label: str | int | Sequence[str | int]  # for all, or one for each
    latents: Sequence[Sequence[float]]  # codes in place of random ones
    interpolate: Sequence[int | Sequence[float]]  # two seeds or codes to go between
    grid: int  # so many by so many codes, of a model with two numbers a code
    truncation: float  # above 0, at most 1: codes are drawn in by it


class Order(TypedDict, total=False):
    """What a change of releases is told."""

    who: str
    reason: str
    force: bool


class Rollout(Order, total=False):
    mode: Literal["shadow", "canary"]
    steps: str  # shares of the traffic, such as 5%,25%,100%
    every: str  # how long each lasts, such as 10m
    by: str  # the header that traffic is split by
    rules: Mapping[str, str | float | None]


@dataclass(frozen=True)
class Call(Generic[T]):
    """`parameters` that are None are left out. `timeout` None is that of the client.

    What is not `idempotent` is not sent again after the connection was lost: it may have been done.
    """

    path: str
    read: Callable[[httpx.Response], T]
    method: str = "POST"
    parameters: Mapping[str, Parameter | None] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None
    json: Any = None
    files: Sequence[tuple[str, tuple[str, bytes, str]]] | None = None
    timeout: float | None = None
    idempotent: bool = True

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
    options: Mapping[str, Any],
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
    query = {name: value for name, value in options.items() if name not in BESIDE}
    return Call(
        path, read, parameters={**query, **(parameters or {})}, headers=headers, timeout=options.get("timeout"), **body
    )


def _text(value: Parameter) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def content(response: httpx.Response) -> bytes:
    return response.content


def json_of(response: httpx.Response) -> Mapping[str, Any]:
    found: Mapping[str, Any] = response.json()
    return found

"""One request and its answer on the wire: its id, its headers, what is counted, logged and traced of it."""

import asyncio
import itertools
import logging
import os
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from time import monotonic, perf_counter
from typing import Any

from service.budget import Budget, Lease
from service.codecs.compression import CODERS, coding_for
from service.errors import (
    CLOSE,
    Draining,
    Headers,
    InternalError,
    MethodNotAllowed,
    QuartetError,
    forget_path,
    problem,
)
from service.http.access_log import AccessLog
from service.http.body import Client, Receive, read_body
from service.http.coalescing import CoalescedWrites
from service.http.tracing import Trace
from service.messages import Answer, Request
from service.metrics import Metrics
from service.settings import Settings
from service.stage_pool import Caller, run_stage
from service.timing import Timing

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PROBLEM = b"application/problem+json"
UNNOTICED = 64 * 1024  # bytes of an answer: what a connection takes without being read
COMPRESSING_S = 30

REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")

log = logging.getLogger(__name__)

_prefix = os.urandom(6).hex().encode()
_counter = itertools.count()


class Exchange:
    """`endpoint` is the name under which it is counted."""

    __slots__ = (
        "client",
        "endpoint",
        "headers",
        "journal",
        "lease",
        "metrics",
        "receive",
        "request_id",
        "scope",
        "send",
        "started",
        "trace",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, endpoint: str, metrics: Metrics, journal: AccessLog
    ) -> None:
        self.started = perf_counter()
        self.scope, self.receive, self.send = scope, receive, send
        self.endpoint, self.metrics, self.journal = endpoint, metrics, journal
        self.headers = _by_name(scope["headers"])
        self.client = Client(receive)
        self.lease: Lease | None = None  # once there is a body
        self.request_id = request_id(self.headers)
        parent = self.headers.get(b"traceparent")
        self.trace = None if parent is None else Trace.follow(parent)

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    def require(self, *methods: str) -> None:
        """Raises MethodNotAllowed."""
        if self.scope["method"] not in methods:
            raise MethodNotAllowed(methods)

    async def read(self, settings: Settings, budget: Budget) -> Request:
        """The request with its body; from now on it counts as in flight. Raises what `read_body` raises."""
        self.lease = budget.lease()
        self.metrics.in_flight += 1
        body = await read_body(
            self.headers,
            self.receive,
            self.client,
            settings.body_limit_of(self.endpoint),
            settings.body_timeout_s,
            self.lease,
        )
        return Request(body, self.headers, self.scope["query_string"], self.lease)

    async def admits(self, check: Callable[[], None]) -> bool:
        """Whether `check` raises no error; one that it raises is answered."""
        try:
            check()
        except QuartetError as error:
            await self.refuse(error)
            return False
        return True

    async def serve(self, work: Awaitable[tuple[Answer, Timing | None]]) -> None:
        """Send what `work` comes to, an answer or an error."""
        try:
            await self._settle(work)
        finally:
            if self.lease is not None:
                self.metrics.in_flight -= 1
                if self.lease.held > UNNOTICED:  # who reads slowly holds what is written
                    await self.client.has_read()
                self.lease.drop()

    async def _settle(self, work: Awaitable[tuple[Answer, Timing | None]]) -> None:
        try:
            answer, timing = await work
        except QuartetError as error:
            forget_path(error)
            await self.refuse(error)
        except asyncio.CancelledError as error:  # by the server, whose time to drain is up
            forget_path(error)
            await self.refuse(Draining("The service is going down, and had no more time for this request."))
        except Exception as error:
            log.exception("request %s to %s failed", self.request_id.decode("latin-1"), self.endpoint)
            forget_path(error)
            await self.refuse(InternalError())
        else:
            await self.answer(answer, timing)

    async def answer(self, answer: Answer, timing: Timing | None = None) -> None:
        body, coding = answer.body, None
        if b"accept-encoding" in self.headers:
            coding = coding_for(self.headers[b"accept-encoding"], answer.media_type, len(body))
        if coding is not None:
            caller = Caller(monotonic() + COMPRESSING_S, self.client.gone, self.lease)
            body = await run_stage(len(body), caller, CODERS[coding], body)
        if self.lease is not None and self.lease.held > UNNOTICED and self.lease.held > len(body):
            self.lease.settle(len(body))
        headers = self._headers(answer.media_type.encode(), body)
        headers += answer.headers
        if coding is not None:
            headers += ((b"content-encoding", coding.encode()), (b"vary", b"accept-encoding"))
        if timing is not None:
            headers.append((b"server-timing", timing.header()))
        await self._reply(200, headers, body)
        self.journal.answered(self, len(body), timing)
        if self.trace is not None:
            self.trace.record(self.endpoint, 200, timing)

    async def refuse(self, error: QuartetError) -> None:
        await self.fail(error, problem(error, self.request_id.decode("latin-1")), PROBLEM)

    async def fail(self, error: QuartetError, body: bytes, media_type: bytes) -> None:
        """Answer with an error in a form of the caller's; OPTIONS with what may be asked here."""
        if isinstance(error, MethodNotAllowed) and self.method == "OPTIONS":
            await self._reply(204, [*error.headers(), (b"x-request-id", self.request_id)], b"")
            return
        self.metrics.errors[self.endpoint, error.code] += 1
        headers = self._headers(media_type, body)
        headers += [pair for pair in error.headers() if pair not in headers]
        await self._reply(error.status, headers, body)
        self.journal.refused(self, error)
        if self.trace is not None:
            self.trace.record(self.endpoint, error.status, None)

    def _headers(self, media_type: bytes, body: bytes) -> Headers:
        headers = describing(media_type, body, self.request_id)
        if self.trace is not None:
            headers.append((b"traceparent", self.trace.header()))
        if b"expect" in self.headers and not self.client.sent_all():  # nobody knows now whether a body comes
            headers.append(CLOSE)
        return headers

    async def _reply(self, status: int, headers: Headers, body: bytes) -> None:
        with CoalescedWrites(self.receive):
            await self.send({"type": "http.response.start", "status": status, "headers": headers})
            await self.send({"type": "http.response.body", "body": b"" if self.scope["method"] == "HEAD" else body})
        self.metrics.replied(self.endpoint, status, perf_counter() - self.started)


def describing(media_type: bytes, body: bytes, identity: bytes) -> Headers:
    """What is said of every body: its type, its length and the request's id."""
    return [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), (b"x-request-id", identity)]


def _by_name(pairs: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """What comes several times is one list, RFC 9110 section 5.3."""
    headers = dict(pairs)
    if len(headers) == len(pairs):
        return headers
    values: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {name: b", ".join(several) for name, several in values.items()}


def request_id(headers: dict[bytes, bytes]) -> bytes:
    """The client's own `x-request-id` when it is printable, else a new one."""
    given = headers.get(b"x-request-id")
    if given is not None and REQUEST_ID.fullmatch(given):
        return given
    return b"%s-%x" % (_prefix, next(_counter))

"""One HTTP request and its answer on the wire."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import aclosing
from time import monotonic, perf_counter
from typing import Any

from service.budget import Budget, Lease
from service.codecs.compression import CODERS, coding_for
from service.errors import (
    CLOSE,
    Draining,
    Headers,
    MethodNotAllowed,
    QuartetError,
    forget_path,
    problem,
)
from service.http.access_log import AccessLog
from service.http.body import Client, Receive, read_body
from service.http.coalescing import CoalescedWrites
from service.http.observability import Observed
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
OUT_OF_TIME = "The service is going down, and had no more time for this request."


class Exchange(Observed):
    __slots__ = ("client", "lease", "receive", "scope", "send")

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, endpoint: str, metrics: Metrics, access_log: AccessLog
    ) -> None:
        super().__init__(endpoint, scope["method"], _by_name(scope["headers"]), metrics, access_log)
        self.scope, self.receive, self.send = scope, receive, send
        self.client = Client(receive)
        self.lease: Lease | None = None  # once there is a body

    def require(self, *methods: str) -> None:
        """Raises MethodNotAllowed."""
        if self.method not in methods:
            raise MethodNotAllowed(methods)

    async def read(self, settings: Settings, budget: Budget, usual: int | None = None) -> Request:
        """The request with its body. Raises what `read_body` raises.

        `usual` is the endpoint's own limit on the body's bytes, unless the settings have another.
        """
        lease = self.begin(budget)
        body = await read_body(
            self.headers,
            self.receive,
            self.client,
            settings.body_limit_of(self.endpoint, usual),
            settings.body_timeout_s,
            lease,
        )
        return Request(body, self.headers, self.scope["query_string"], lease, self.request_id)

    def begin(self, budget: Budget) -> Lease:
        """From now on it counts as in flight, and holds memory."""
        self.lease = budget.lease()
        self.metrics.in_flight += 1
        return self.lease

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
        except asyncio.CancelledError as error:  # by the server, whose time to drain is up
            forget_path(error)
            await self.refuse(Draining(OUT_OF_TIME))
        except Exception as error:
            await self.refuse(self.explain(error))
        else:
            await self.answer(answer, timing)

    async def answer(self, answer: Answer, timing: Timing | None = None) -> None:
        if answer.rest is not None and self.scope.get("http_version") != "1.0":  # which knows no chunks
            await self._answer_in_pieces(answer, answer.rest, timing)
            return
        body, coding = answer.body, None
        if answer.rest is not None:
            body = b"".join([body, *[piece async for piece in answer.rest]])
        if b"accept-encoding" in self.headers:
            coding = coding_for(self.headers[b"accept-encoding"], answer.media_type, len(body))
        if coding is not None:
            caller = Caller(monotonic() + COMPRESSING_S, self.client.gone, self.lease)
            body = await run_stage(len(body), caller, CODERS[coding], body)
        if self.lease is not None and self.lease.held > UNNOTICED and self.lease.held > len(body):
            self.lease.settle(len(body))
        headers = self._headers(answer.media_type.encode(), body, timing)
        headers += answer.headers
        if coding is not None:
            headers += ((b"content-encoding", coding.encode()), (b"vary", b"accept-encoding"))
        await self._reply(200, headers, body)
        self.answered(len(body), timing)
        self.ended(200, timing)

    async def _answer_in_pieces(self, answer: Answer, rest: AsyncGenerator[bytes, None], timing: Timing | None) -> None:
        """Each is sent once the one before is nearly read, so that there is never more than one of them."""
        headers = [(b"content-type", answer.media_type.encode()), (b"x-request-id", self.request_id)]
        headers += [*self.marks(timing), *answer.headers]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})
        size, piece = 0, answer.body
        try:
            async with aclosing(rest):
                while piece:
                    await self.send({"type": "http.response.body", "body": piece, "more_body": True})
                    size += len(piece)
                    await self.client.has_read()
                    piece = await anext(rest, b"")
            await self.send({"type": "http.response.body", "body": b""})
        except (asyncio.CancelledError, Exception) as error:
            self._broken_off(error)
            return
        self.metrics.replied(self.endpoint, 200, perf_counter() - self.started)
        self.answered(size, timing)
        self.ended(200, timing)

    def _broken_off(self, error: BaseException) -> None:
        """It cannot be answered any more that something went wrong: the connection ends, and the log says why."""
        cancelled = isinstance(error, asyncio.CancelledError)
        told = Draining(OUT_OF_TIME) if cancelled else self.explain(error)
        self.client.abort()
        self.refused(told)
        self.metrics.replied(self.endpoint, told.status, perf_counter() - self.started)
        self.ended(told.status)

    async def refuse(self, error: QuartetError) -> None:
        trace_id = None if self.trace is None else self.trace.trace_id
        await self.fail(error, problem(error, self.request_id.decode("latin-1"), trace_id), PROBLEM)

    async def fail(self, error: QuartetError, body: bytes, media_type: bytes) -> None:
        """Answer with an error whose body the caller has written; OPTIONS with the methods that are allowed."""
        if isinstance(error, MethodNotAllowed) and self.method == "OPTIONS":
            await self._reply(204, [*error.headers(), (b"x-request-id", self.request_id)], b"")
            return
        self.refused(error)
        headers = self._headers(media_type, body, None)
        headers += [pair for pair in error.headers() if pair not in headers]
        await self._reply(error.status, headers, body)
        self.ended(error.status)

    def _headers(self, media_type: bytes, body: bytes, timing: Timing | None) -> Headers:
        headers = describing(media_type, body, self.request_id) + self.marks(timing)
        if b"expect" in self.headers and not self.client.sent_all():  # nobody knows now whether a body comes
            headers.append(CLOSE)
        return headers

    async def _reply(self, status: int, headers: Headers, body: bytes) -> None:
        with CoalescedWrites(self.receive):
            await self.send({"type": "http.response.start", "status": status, "headers": headers})
            await self.send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})
        self.metrics.replied(self.endpoint, status, perf_counter() - self.started)


def describing(media_type: bytes, body: bytes, identity: bytes) -> Headers:
    """The headers of every answer: type and length of its body, and the request's id."""
    return [(b"content-type", media_type), (b"content-length", b"%d" % len(body)), (b"x-request-id", identity)]


def _by_name(pairs: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by name; the values of one that comes several times are joined (RFC 9110 section 5.3)."""
    headers = dict(pairs)
    if len(headers) == len(pairs):
        return headers
    values: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        values.setdefault(name, []).append(value)
    return {name: b", ".join(several) for name, several in values.items()}

"""uvicorn's HTTP/1.1 protocol with limits on what a connection may cost.

uvicorn itself limits neither the size of a request's head nor the time in which it must arrive, nor the bytes around a
body, the number of pipelined requests, the time for which an answer may stay unread, or the number of connections. It
also takes the trailer fields of a chunked body for headers, and loses the body of a request that asks for an upgrade,
as the first one of Java's client does, for HTTP/2.

The limits of a body are in `service/http/body.py`.
"""

import asyncio
import resource
import sys
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from fcntl import ioctl
from itertools import islice
from math import ceil
from termios import TIOCOUTQ
from typing import Any, ClassVar

from httptools import HttpParserUpgrade, HttpRequestParser
from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.errors import (
    CLOSE,
    TITLES,
    BodyTooLarge,
    HeadTimeout,
    HeadTooLarge,
    MalformedRequest,
    QuartetError,
    TooManyConnections,
    problem,
)
from service.http.exchange import PROBLEM, describing
from service.http.observability import request_id
from service.settings import Settings

OTHER_FILES = 128  # that a process has open beside its connections
LOOKED_AT = 16  # connections, to find one that is idle
FRAMING = b"content-length", b"transfer-encoding"
LEAST_RATE = 4096  # bytes of an answer per second: the slowest mobile phones are faster
WRAPPING = 8  # bytes on the way for each byte of a body: chunks may be small
ENDPOINT = "connection"  # under which what is refused here is counted


def room_of(settings: Settings) -> int:
    """The most connections over HTTP; gRPC, where there is any, may have as many."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHER_FILES
    return min(settings.max_connections, files // 2 if settings.grpc_port else files)


class _Flow(FlowControl):
    """Reads nothing while pipelined requests wait: the one that is being answered has all of its body."""

    def __init__(self, transport: asyncio.Transport, pipeline: deque[Any]) -> None:
        super().__init__(transport)
        self._pipeline = pipeline

    def resume_reading(self) -> None:
        if not self._pipeline:
            super().resume_reading()


class Connection(HttpToolsProtocol):
    """A connection that is closed once a request on it has been refused, after the answers to those before it.

    While the client is still sending, the connection stays open and what comes is thrown away, until the client hangs
    up or `body_timeout_s` is over. Otherwise the kernel would reset it, and the client might never see the answer.
    """

    settings: ClassVar[Settings]
    errors: ClassVar[Counter[tuple[str, str]]]  # of this process's metrics
    room: ClassVar[int]  # connections
    most_bytes: ClassVar[int]  # of a body and what it is wrapped in
    leaving: ClassVar[bool] = False  # whether each answer is the last one of its connection

    @classmethod
    def install(cls, settings: Settings, errors: Counter[tuple[str, str]]) -> None:
        """Make the uvicorn that this process is about to start use this protocol."""
        cls.settings, cls.errors = settings, errors
        cls.room = room_of(settings)
        cls.most_bytes = WRAPPING * int(max(settings.max_body_bytes, *settings.body_limits.values(), 0))
        HTTP_PROTOCOLS["auto"] = cls  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.config.timeout_graceful_shutdown is None:  # uvicorn would wait for ever
            self.config.timeout_graceful_shutdown = ceil(self.settings.drain_s)
        self.flow = _Flow(transport, self.pipeline)
        self._answering: RequestResponseCycle | None = None
        self._taken = 0  # bytes since the head
        self._head_timer: asyncio.TimerHandle | None = None  # runs while bytes are there that make no request
        self._head_bytes = 0
        self._unread_timer: asyncio.TimerHandle | None = None
        self._refusal: QuartetError | None = None
        self._lingers = False
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        if len(self.connections) > self.room:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._unread_timer):
            if timer is not None:
                timer.cancel()
        self._unset_keepalive_if_required()  # uvicorn leaves it to a connection that was reset, for as long as it runs
        super().connection_lost(exc)
        if self._answering is not None:  # uvicorn tells the newest request alone
            self._answering.disconnected = True
            self._answering.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self._lingers:
            return
        self._piece = data
        self._taken += len(data)
        super().data_received(data)
        self._piece = b""
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope or cycle.response_complete:
            self._await_head(len(data))
        elif self._taken > self.most_bytes:
            self._refuse(BodyTooLarge("There is more around the body than in it."))

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self.headers = deque(maxlen=0)  # type: ignore[assignment]  # for the fields of a trailer
        self._taken = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        if self.leaving:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def _should_upgrade(self) -> bool:
        return False  # there are no web sockets here

    def _unsupported_upgrade_warning(self) -> None:
        """Ignore the upgrade: put a second parser in place of uvicorn's, which takes nothing after it for HTTP."""
        stopped = sys.exception()
        assert isinstance(stopped, HttpParserUpgrade)
        self.cycle.more_body = True
        self.cycle.message_event.clear()
        self.parser = HttpRequestParser(_AfterUpgrade(self))
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        framing = (pair for pair in self.scope["headers"] if pair[0] in FRAMING)
        head = b"".join([b"POST / HTTP/1.1\r\n", *map(b"%s: %s\r\n".__mod__, framing), b"\r\n"])
        self._piece = head + self._piece[stopped.args[0] :]
        super().data_received(self._piece)

    def send_400_response(self, msg: str) -> None:
        self._refuse(MalformedRequest("This is not HTTP/1.1."))

    def end(self) -> None:
        """Close the connection after an answer, or let it linger when the client is still sending."""
        if self._answering is not None and self._answering.more_body:
            self._lingers = True
        else:
            self.transport.close()

    def on_response_complete(self) -> None:
        if self._answering is not None:  # an idle connection has no need of what was asked
            self._answering.body, self._answering.scope["headers"] = bytearray(), []
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch_the_end()
        elif self._lingers:
            self._linger()
        elif self._refusal is not None:
            self.loop.call_soon(self._refuse, self._refusal)  # once `CoalescedWrites` has let the answer go
        else:
            self.flow.resume_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        super().resume_writing()
        self._watch_the_end()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch_the_end()

    def _await_head(self, size: int) -> None:
        if self.transport.is_closing():
            return
        if self._head_timer is None:
            self._head_bytes = 0  # this piece may have begun with an earlier request
            self._head_timer = self.loop.call_later(self.settings.head_timeout_s, self._head_is_late)
        elif self._has_begun():
            self._head_bytes += size
            if self._head_bytes > self.settings.max_head_bytes:
                self._refuse(HeadTooLarge(f"The head has more than {self.settings.max_head_bytes} bytes."))

    def _has_begun(self) -> bool:
        """Whether part of a head has arrived, not just more of a body that was not waited for."""
        return self.scope is not None and (self.cycle is None or self.cycle.scope is not self.scope)

    def _head_is_late(self) -> None:
        self._head_timer = None
        within_s = self.settings.head_timeout_s
        if self.transport.is_closing() or self not in self.connections:  # gone, or no longer HTTP
            pass
        elif self._is_answering():  # meanwhile the rest may not have been read
            self._head_timer = self.loop.call_later(within_s, self._head_is_late)
        elif self._has_begun():
            self._refuse(HeadTimeout(f"The head did not arrive within {within_s:g} s."))
        else:
            self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, error: QuartetError) -> None:
        if self._lingers:
            return
        if self._is_answering() and (self.pipeline or not self.cycle.more_body):
            self._refusal = error
            self.flow.pause_reading()
            return
        self.errors[ENDPOINT, error.code] += 1
        identity = request_id({})
        body = problem(error, identity.decode())
        headers = [*describing(PROBLEM, body, identity), *error.headers(), CLOSE]
        head = [b"HTTP/1.1 %d %s" % (error.status, TITLES[error.status].encode()), *map(b"%s: %s".__mod__, headers)]
        self.transport.write(b"\r\n".join([*head, b"", body]))
        if isinstance(error, TooManyConnections):
            self.transport.close()
        else:
            self._linger()

    def _linger(self) -> None:
        self._lingers = True
        if self._is_answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self._head_timer is not None:
            self._head_timer.cancel()
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(
            self.settings.body_timeout_s, self.timeout_keep_alive_handler
        )
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _watch_the_end(self) -> None:
        """A closing connection stays until all has been read: abort it when the client reads too slowly."""
        if self._unread_timer is None and self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._expect_reading()

    def _expect_reading(self) -> None:
        """Give the client the time for which an idle connection is kept to read at LEAST_RATE."""
        self._unread_timer = self.loop.call_later(self.timeout_keep_alive, self._look_what_is_read, self._unread())

    def _look_what_is_read(self, left: int) -> None:
        unread = self._unread()
        if left - unread >= min(left, LEAST_RATE * self.timeout_keep_alive):
            self._expect_reading()
        else:
            self.transport.abort()

    def _unread(self) -> int:
        """Bytes that the client has not acknowledged: those in the transport and, on Linux, in the kernel."""
        waiting = bytearray(4)
        with suppress(OSError):
            ioctl(self.transport.get_extra_info("socket").fileno(), TIOCOUTQ, waiting)
        return self.transport.get_write_buffer_size() + int.from_bytes(waiting, sys.byteorder)

    def _make_room(self) -> None:
        """Close an idle connection, the one idle for longest of the first LOOKED_AT; refuse this one if none is."""
        if longest := min(islice(self._waiting(), LOOKED_AT), key=lambda one: one[0], default=None):
            longest[1].transport.close()
        else:
            self._refuse(TooManyConnections("There are too many connections. Try again in a moment."))

    def _waiting(self) -> Iterator[tuple[float, HttpToolsProtocol]]:
        """The other idle connections, each with the time at which it would be closed."""
        for one in self.connections:
            if one is not self and isinstance(one, Connection) and not one.transport.is_closing():
                timer = one.timeout_keep_alive_task
                if timer is not None:
                    yield timer.when(), one


class _AfterUpgrade:
    """The protocol of the second parser: skips the made-up head that says how long the body is, then passes all on."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.deaf = connection, True
        self.on_body, self.on_message_complete = connection.on_body, connection.on_message_complete

    def on_message_begin(self) -> None:
        if not self.deaf:
            self.connection.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self.deaf:
            self.connection.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.deaf:
            self.connection.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self.deaf:
            self.connection.on_headers_complete()
        self.deaf = False

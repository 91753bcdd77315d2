"""What connections may cost.

uvicorn, whose protocol this is, bounds neither the head of a request, in bytes or in time, nor how long an answer lies
there unread, nor how many connections there are.

The bounds of a body are in `service/body.py`.
"""

import asyncio
import resource
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import ClassVar

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.errors import (
    CLOSE,
    TITLES,
    HeadTimeout,
    HeadTooLarge,
    MalformedRequest,
    QuartetError,
    TooManyConnections,
    problem,
)
from service.exchange import PROBLEM, describing, request_id
from service.settings import Settings

OTHER_FILES = 128  # that a process has open beside its connections
LOOKED_AT = 16  # connections
ENDPOINT = "connection"  # under which what is refused here is counted


class Connection(HttpToolsProtocol):
    """A refusal waits until the requests before it have been answered, and closes the connection."""

    settings: ClassVar[Settings]
    errors: ClassVar[Counter[tuple[str, str]]]  # of this process's metrics
    room: ClassVar[int]  # connections

    @classmethod
    def install(cls, settings: Settings, errors: Counter[tuple[str, str]]) -> None:
        """For the uvicorn that this process is about to start."""
        cls.settings, cls.errors = settings, errors
        cls.room = min(settings.max_connections, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHER_FILES)
        HTTP_PROTOCOLS["auto"] = cls  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_timer: asyncio.TimerHandle | None = None  # runs while bytes are there that make no request
        self._head_bytes = 0
        self._unread_timer: asyncio.TimerHandle | None = None
        self._refusal: QuartetError | None = None
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        if len(self.connections) > self.room:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head_timer, self._unread_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope or cycle.response_complete:
            self._await_head(len(data))
        elif self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def send_400_response(self, msg: str) -> None:
        self._refuse(MalformedRequest("This is not HTTP/1.1."))

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._refusal is not None and not self.transport.is_closing():
            self._refuse(self._refusal)

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
        """Whether part of a head is there, and not only of the body of a request that was answered without it."""
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
        self.transport.close()

    def _watch_the_end(self) -> None:
        """To close is to wait until all is read."""
        if self._unread_timer is None and self.transport.is_closing() and self.transport.get_write_buffer_size():
            self._expect_reading()

    def _expect_reading(self) -> None:
        """Somebody who reads nothing of an answer for as long as an idle connection is kept is not waited for."""
        left = self.transport.get_write_buffer_size()
        self._unread_timer = self.loop.call_later(self.timeout_keep_alive, self._look_what_is_read, left)

    def _look_what_is_read(self, left: int) -> None:
        if self.transport.get_write_buffer_size() < left:
            self._expect_reading()
        else:
            self.transport.abort()

    def _make_room(self) -> None:
        """Close a connection that waits for a request: of some that are found quickly the one that has for longest."""
        if longest := min(islice(self._waiting(), LOOKED_AT), key=lambda one: one[0], default=None):
            longest[1].transport.close()
        else:
            self._refuse(TooManyConnections("There are too many connections. Try again in a moment."))

    def _waiting(self) -> Iterator[tuple[float, HttpToolsProtocol]]:
        """The others that are between two requests, each with when it would be closed for it."""
        for one in self.connections:
            if one is not self and isinstance(one, Connection) and not one.transport.is_closing():
                timer = one.timeout_keep_alive_task
                if timer is not None:
                    yield timer.when(), one

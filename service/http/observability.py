"""What is counted, logged and traced of a request, whichever transport it came over."""

import itertools
import logging
import os
import re
from time import perf_counter

from service.errors import Headers, InternalError, QuartetError, forget_path
from service.http.access_log import AccessLog
from service.http.tracing import Trace
from service.metrics import Metrics
from service.timing import Timing

REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")

log = logging.getLogger(__name__)

_prefix = os.urandom(6).hex().encode()
_counter = itertools.count()


class Observed:
    """A request with its id and its trace. `endpoint` is the name under which it is counted."""

    __slots__ = ("access_log", "endpoint", "headers", "method", "metrics", "request_id", "started", "trace")

    def __init__(
        self, endpoint: str, method: str, headers: dict[bytes, bytes], metrics: Metrics, access_log: AccessLog
    ) -> None:
        self.started = perf_counter()
        self.endpoint, self.method, self.headers = endpoint, method, headers
        self.metrics, self.access_log = metrics, access_log
        self.request_id = request_id(headers)
        parent = headers.get(b"traceparent")
        self.trace = None if parent is None else Trace.follow(parent)

    def marks(self, timing: Timing | None) -> Headers:
        """What an answer says of the trace that it belongs to and of its times."""
        marks: Headers = []
        if self.trace is not None:
            marks.append((b"traceparent", self.trace.header()))
        if timing is not None:
            marks.append((b"server-timing", timing.header()))
        return marks

    def explain(self, error: BaseException) -> QuartetError:
        """What the client is told of an error; one that nobody expected goes to the log."""
        if not isinstance(error, QuartetError):
            identity = self.request_id.decode("latin-1")
            log.error("request %s to %s (%s) failed", identity, self.endpoint, self.method, exc_info=error)
            forget_path(error)
            return InternalError()
        forget_path(error)
        return error

    def refused(self, error: QuartetError) -> None:
        """Count and log it. Of a stream each request may be refused by itself."""
        if not error.expected:
            self.metrics.errors[self.endpoint, error.code] += 1
            self.access_log.refused(self, error)

    def answered(self, size: int, timing: Timing | None) -> None:
        """`size` is that of the answer in bytes."""
        self.access_log.answered(self, size, timing)

    def ended(self, status: int, timing: Timing | None = None) -> None:
        """Its part of the trace is over."""
        if self.trace is not None:
            self.trace.record(self.endpoint, status, timing)


def request_id(headers: dict[bytes, bytes]) -> bytes:
    """The client's own `x-request-id` when it is printable, else a new one."""
    given = headers.get(b"x-request-id")
    if given is not None and REQUEST_ID.fullmatch(given):
        return given
    return b"%s-%x" % (_prefix, next(_counter))

"""The access log: a line of JSON per request, with nothing in it that the request held but its id and its size."""

import logging
import time
from typing import Literal, Protocol

import orjson

from service.errors import QuartetError
from service.http.tracing import Trace
from service.timing import Timing

Level = Literal["off", "errors", "all"]

log = logging.getLogger("service.access")


class Entry(Protocol):
    """What the log says of a request, whichever transport it came over."""

    endpoint: str
    request_id: bytes
    trace: Trace | None

    @property
    def method(self) -> str: ...


class AccessLog:
    def __init__(self, level: Level) -> None:
        self._all, self._errors = level == "all", level != "off"

    def answered(self, entry: Entry, size: int, timing: Timing | None) -> None:
        """`size` is that of the answer in bytes."""
        if self._all:
            milliseconds = {} if timing is None else {k: round(v * 1e3, 3) for k, v in timing._asdict().items()}
            _write(entry, status=200, bytes=size, ms=milliseconds)

    def refused(self, entry: Entry, error: QuartetError) -> None:
        if self._errors:
            _write(entry, status=error.status, code=error.code)


def _write(entry: Entry, **more: object) -> None:
    line = {
        "time": round(time.time(), 3),
        "request_id": entry.request_id.decode("latin-1"),
        "method": entry.method,
        "endpoint": entry.endpoint,
        **more,
    }
    if entry.trace is not None:
        line["trace_id"] = entry.trace.trace_id
    log.info("%s", orjson.dumps(line).decode())

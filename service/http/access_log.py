"""The access log: a line of JSON per request, with nothing in it that the request held but its id and its size.

The path is that of the route, not the one that was asked for, which may hold anything.
"""

import logging
import time
from collections.abc import Mapping
from typing import Literal, Protocol

import orjson

from service.attribution import noted
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
    def __init__(self, level: Level, paths: Mapping[str, str]) -> None:
        """`paths` has the routes by their endpoints."""
        self._all, self._errors, self._paths = level == "all", level != "off", paths

    def answered(self, entry: Entry, size: int, timing: Timing | None) -> None:
        """`size` is that of the answer in bytes."""
        if self._all:
            milliseconds = {} if timing is None else {k: round(v * 1e3, 3) for k, v in timing._asdict().items()}
            self._write(entry, status=200, bytes=size, ms=milliseconds)

    def refused(self, entry: Entry, error: QuartetError) -> None:
        if self._errors:
            self._write(entry, status=error.status, code=error.code)

    def _write(self, entry: Entry, **more: object) -> None:
        line = {
            "time": round(time.time(), 3),
            "request_id": entry.request_id.decode("latin-1"),
            "method": entry.method,
            "endpoint": entry.endpoint,
            **noted(),
            **more,
        }
        if entry.endpoint in self._paths:
            line["path"] = self._paths[entry.endpoint]
        if entry.trace is not None:
            line["trace_id"] = entry.trace.trace_id
        log.info("%s", orjson.dumps(line).decode())

"""The access log: a line of JSON per request, with nothing in it that the request held but its id and its size."""

import logging
import time
from typing import TYPE_CHECKING, Literal

import orjson

from service.errors import QuartetError
from service.messages import Answer
from service.timing import Timing

if TYPE_CHECKING:
    from service.exchange import Exchange

Level = Literal["off", "errors", "all"]

log = logging.getLogger("service.access")


class Journal:
    def __init__(self, level: Level) -> None:
        self._all, self._errors = level == "all", level != "off"

    def answered(self, exchange: "Exchange", answer: Answer, timing: Timing | None) -> None:
        if self._all:
            milliseconds = {} if timing is None else {k: round(v * 1e3, 3) for k, v in timing._asdict().items()}
            _write(exchange, status=200, bytes=len(answer.body), ms=milliseconds)

    def refused(self, exchange: "Exchange", error: QuartetError) -> None:
        if self._errors:
            _write(exchange, status=error.status, code=error.code)


def _write(exchange: "Exchange", **more: object) -> None:
    line = {
        "time": round(time.time(), 3),
        "request_id": exchange.request_id.decode("latin-1"),
        "method": exchange.scope["method"],
        "endpoint": exchange.endpoint,
        **more,
    }
    if exchange.trace is not None:
        line["trace_id"] = exchange.trace.trace_id
    log.info("%s", orjson.dumps(line).decode())

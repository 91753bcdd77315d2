"""Every line of the log is one JSON object: our own, those of libraries, and what C code writes to standard error."""

import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

LONGEST = 4096  # bytes of a line of C code, of which a pipe takes no more at once


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def speak_json(level: int = logging.WARNING) -> None:
    """Have this process write its log so; also warnings, and what nobody catches."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda given: _uncaught(given.exc_type, given.exc_value, given.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if error is not None:
        logging.getLogger("service").critical("uncaught %s", kind.__name__, exc_info=(kind, error, traceback))


class ForeignLines:
    """A pipe that stands in for the standard error of other processes.

    What C code writes there, of which no formatter knows, comes out here as JSON. `end` is theirs. Where nobody reads
    the log a full pipe loses lines, and holds up nobody.
    """

    def __init__(self) -> None:
        self._read, self.end = os.pipe()
        os.set_blocking(self.end, False)
        self.thread = threading.Thread(target=self._follow, name="foreign lines", daemon=True)
        self.thread.start()

    def _follow(self) -> None:
        log = logging.getLogger("stderr")
        for line in _lines(self._read):
            if text := line.decode(errors="replace").strip():
                log.warning("%s", text)


def _lines(file: int) -> Iterator[bytes]:
    rest = b""
    while read := os.read(file, LONGEST):
        *whole, rest = (rest + read).split(b"\n")
        yield from whole
        if len(rest) > LONGEST:
            yield rest
            rest = b""


def own_standard_error(descriptor: int) -> None:
    """Write what Python writes to this descriptor: that of C code is a pipe of the parent's."""
    os.set_inheritable(descriptor, False)
    stream: Any = os.fdopen(descriptor, "w", buffering=1, errors="backslashreplace")
    sys.stderr = stream

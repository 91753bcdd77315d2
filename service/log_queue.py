"""Log lines that wait for their reader, so that no request does: a full pipe would stop the event loop.

Lines are put together where they come from, for a record may hold the frames of a failed request, and written by a
thread. Where too many wait a line is dropped; how many were is counted, and said before the next one.
"""

import atexit
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from queue import Full, Queue
from threading import Thread
from time import monotonic, sleep, time
from typing import Any

import orjson

ROOM = 4096  # lines
LAST_S = 1.0  # that the lines get when the process ends


class LogQueue:
    """Of all handlers of a process. `dropping` is called for each line that is dropped."""

    def __init__(self, dropping: Callable[[], None], room: int = ROOM) -> None:
        self._dropping, self._dropped = dropping, 0
        self._lines: Queue[tuple[Any, str]] = Queue(room)
        Thread(target=self._write, name="backlog", daemon=True).start()
        atexit.register(self.wait, LAST_S)

    def put(self, stream: Any, line: str) -> None:
        try:
            self._lines.put_nowait((stream, line))
        except Full:
            self._dropped += 1
            self._dropping()

    def wait(self, most_s: float) -> None:
        """Until all is written, or time is up."""
        until = monotonic() + most_s
        while self._lines.unfinished_tasks and monotonic() < until:
            sleep(0.01)

    def _write(self) -> None:
        while True:
            stream, line = self._lines.get()
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                line = f"{orjson.dumps({'time': round(time(), 3), 'dropped': dropped}).decode()}\n{line}"
            with suppress(OSError, ValueError):  # nobody is there to be told
                _write_all(stream, line.encode(errors="replace"))
            self._lines.task_done()


class QueuedHandler(logging.Handler):
    """A StreamHandler that leaves the writing to a backlog."""

    def __init__(self, backlog: LogQueue, stream: Any = None) -> None:
        super().__init__()
        self._backlog, self._stream = backlog, stream

    @classmethod
    def in_place_of(cls, handler: logging.Handler, backlog: LogQueue) -> logging.Handler:
        if type(handler) is not logging.StreamHandler:
            return handler
        unhurried = cls(backlog, handler.stream)
        unhurried.setLevel(handler.level)
        unhurried.setFormatter(handler.formatter)
        unhurried.filters = handler.filters
        return unhurried

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._backlog.put(self._stream or sys.stderr, f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)


def _write_all(stream: Any, text: bytes) -> None:
    """Past Python's buffers, whose locks a thread that waits for the reader would hold when the process ends."""
    while text:
        text = text[os.write(stream.fileno(), text) :]

"""A log whose reader stalls stops nobody: lines are dropped, counted, and the next line says how many."""

import json
import logging
import os
from collections.abc import Iterator
from io import FileIO

import pytest

from service.log_queue import LogQueue, QueuedHandler

PIPE = 2**16  # bytes that a pipe holds


@pytest.fixture
def pipe() -> Iterator[tuple[FileIO, FileIO]]:
    read, write = os.pipe()
    with FileIO(read) as reader, FileIO(write, "w") as writer:
        yield reader, writer


def logger_to(handler: logging.Handler) -> logging.Logger:
    logger = logging.Logger("of this test")
    logger.addHandler(handler)
    return logger


def test_a_reader_that_stalls_stops_nobody_and_hears_how_many_lines_it_lost(pipe: tuple[FileIO, FileIO]) -> None:
    dropped: list[None] = []
    backlog = LogQueue(lambda: dropped.append(None), room=10)
    logger = logger_to(QueuedHandler(backlog, pipe[1]))
    sent = PIPE // 1000 + 100
    for _ in range(sent):
        logger.error("x" * 1000)
        backlog.wait(0 if dropped else 0.01)
    assert 0 < len(dropped) <= sent - 10
    lines = bytearray()
    while lines.count(b"x\n") < sent - len(dropped):
        lines += pipe[0].read(PIPE)
    backlog.wait(10)
    logger.error("next")
    backlog.wait(10)
    lines += pipe[0].read(PIPE)
    told = [json.loads(line)["dropped"] for line in lines.splitlines() if line.startswith(b"{")]
    assert sum(told) == len(dropped)
    assert lines.endswith(b"next\n")


def test_it_stands_in_for_the_handlers_that_are_there(pipe: tuple[FileIO, FileIO]) -> None:
    backlog = LogQueue(lambda: None)
    old = logging.StreamHandler(pipe[1])  # type: ignore[type-var]
    old.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    old.setLevel(logging.WARNING)
    logger = logger_to(QueuedHandler.in_place_of(old, backlog))
    logger.info("small")
    logger.warning("large")
    backlog.wait(10)
    assert pipe[0].read(PIPE) == b"WARNING large\n"


def test_a_reader_that_is_gone_harms_nobody(pipe: tuple[FileIO, FileIO]) -> None:
    backlog = LogQueue(lambda: None)
    logger = logger_to(QueuedHandler(backlog, pipe[1]))
    pipe[0].close()
    for _ in range(3):
        logger.error("anybody?")
    backlog.wait(10)
    assert backlog._lines.unfinished_tasks == 0

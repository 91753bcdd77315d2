"""A graph whose arithmetic a test can do itself, and what waits for it."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from service.bundle import Arrays
from service.engine.batcher import INLINE_S, Batcher, Job
from service.stage_pool import Caller

MAX_BATCH, MAX_QUEUE = 8, 24
POISON = -1.0
FOREVER = 1e9  # on the monotonic clock
INLINE, THREADED = [INLINE_S / 100] * (MAX_BATCH + 1), [INLINE_S * 2] * (MAX_BATCH + 1)


class Graph:
    """y = 3 x + 1 row by row; a row of POISON makes the whole batch fail. Remembers the batches it saw."""

    def __init__(self, hold: threading.Event | None = None) -> None:
        self.batches: list[np.ndarray] = []
        self.hold = hold

    def run(self, inputs: Arrays) -> Arrays:
        if self.hold:
            self.hold.wait(10)
        self.batches.append(inputs["x"])
        if (inputs["x"] == POISON).any():
            raise RuntimeError("poison")
        return {"y": inputs["x"] * 3 + 1, "first": inputs["x"].reshape(len(inputs["x"]), -1)[:, 0]}


def batcher(graph: Graph, pool: ThreadPoolExecutor, cost_s: list[float] = INLINE, **changes: Any) -> Batcher:
    options = {"max_batch": MAX_BATCH, "max_queue_rows": MAX_QUEUE, "cost_s": cost_s, "observe": lambda *seen: None}
    return Batcher(graph.run, pool, **(options | changes))


def job(rows: int, first: float = 1, width: int = 2, deadline: float = FOREVER, gone: Any = lambda: False) -> Job:
    """Rows that count up from `first`, `width` numbers each."""
    x = np.repeat(np.arange(first, first + rows), width).reshape(rows, width)
    return Job({"x": x}, Caller(deadline, gone))


async def quiet(queue: Batcher) -> None:
    """Return when nothing waits and nothing runs."""
    while queue.queued_rows or queue.running_rows:
        await asyncio.sleep(0.001)

"""What a batch takes, measured when a model is loaded, on its golden inputs."""

from collections.abc import Sequence
from time import perf_counter

import numpy as np

from service.bundle import Arrays, repeat_rows, rows_of
from service.engine.batcher import INLINE_S, Run

ENOUGH_S = 0.02  # of runs, for whatever else the machine does adds to each
RUNS = 4


def batch_sizes(largest: int) -> list[int]:
    """1, 2, 4, ... and `largest` itself."""
    return sorted({2**power for power in range(largest.bit_length())} | {largest})


def fastest_row(run: Run, inputs: Arrays) -> Arrays:
    """The row of `inputs` that takes the least time: a graph may look twice at what it is unsure of."""

    def seconds(row: Arrays) -> float:
        once = _once(run, row)
        return once if once > INLINE_S else min(once, _once(run, row))

    rows = rows_of(inputs)
    run(rows[0])
    return min(rows, key=seconds)


def costs_s(run: Run, row: Arrays, max_batch: int) -> list[float]:
    """The seconds that a batch takes, by its rows.

    Batches of a doubling number of rows are run until one is too long for the event loop, beyond which nothing hangs
    on it, then the largest, for the memory that it needs. What lies between two of them is on a straight line.
    """
    known = {0: 0.0}
    for rows in batch_sizes(max_batch):
        known[rows] = seconds_of(run, repeat_rows(row, rows))
        if known[rows] > INLINE_S:
            break
    if max_batch not in known:
        known[max_batch] = _once(run, repeat_rows(row, max_batch))
    costs = np.interp(np.arange(max_batch + 1), list(known), list(known.values()))
    return [min(float(cost), known[max_batch]) for cost in costs]  # none takes longer than the largest


def warm(run: Run, row: Arrays, max_batch: int, cost_s: Sequence[float]) -> None:
    """Run once each batch that `costs_s` has timed, for what a session does for a shape that it meets first."""
    for rows in batch_sizes(max_batch):
        run(repeat_rows(row, rows))
        if cost_s[rows] > INLINE_S:
            break
    if rows != max_batch:
        run(repeat_rows(row, max_batch))


def seconds_of(run: Run, batch: Arrays) -> float:
    """The shortest of a few runs; of two where they are long."""
    took = [_once(run, batch), _once(run, batch)]
    while len(took) < RUNS and sum(took) < ENOUGH_S:
        took.append(_once(run, batch))
    return min(took)


def _once(run: Run, batch: Arrays) -> float:
    started = perf_counter()
    run(batch)
    return perf_counter() - started

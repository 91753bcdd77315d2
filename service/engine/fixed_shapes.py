"""Batches of any number of rows, run in a few fixed ones.

A GPU makes a new plan whenever the shape of a convolution's input differs from its last one, which takes longer than
the batch, and kernels can only be captured for a shape. So a batch is filled up to the next bucket; what becomes of
the filling reaches no answer.
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Protocol

import numpy as np

from service.bundle import MAIN, Arrays, Bundle, repeat_rows, rows_of
from service.engine.costs import batch_sizes
from service.engine.device_memory import share_of
from service.engine.precision import precision_of
from service.engine.profile import Tuning
from service.engine.session import Session
from service.settings import Settings

TRIED = 16  # batches, each of another size than the one before


class Runnable(Protocol):
    """What runs batches: a session, or something in front of sessions."""

    @property
    def provider(self) -> str: ...

    @property
    def precision(self) -> str: ...

    def run(self, inputs: Arrays) -> Arrays: ...


class FixedShapes:
    """Sessions behind buckets: one for all, or one for each."""

    def __init__(self, runners: Sequence[Runnable], buckets: Sequence[int]) -> None:
        """`buckets` are numbers of rows, ascending."""
        each = runners if len(runners) > 1 else [runners[0]] * len(buckets)
        self._runners = dict(zip(buckets, each, strict=True))
        self._largest = buckets[-1]
        self.provider, self.precision = runners[0].provider, runners[0].precision

    def run(self, inputs: Arrays) -> Arrays:
        """More rows than the largest bucket has are run one part after the other."""
        rows = len(next(iter(inputs.values())))
        if rows <= self._largest:
            return self._filled(inputs, rows)
        starts = range(0, rows, self._largest)
        parts = [{name: array[start : start + self._largest] for name, array in inputs.items()} for start in starts]
        outputs = [self._filled(part, len(next(iter(part.values())))) for part in parts]
        return {name: np.concatenate([part[name] for part in outputs]) for name in outputs[0]}

    def _filled(self, inputs: Arrays, rows: int) -> Arrays:
        bucket = next(size for size in self._runners if size >= rows)
        if bucket == rows:
            return self._runners[bucket].run(inputs)
        # With its last row, which is one that the graph takes.
        places = np.minimum(np.arange(bucket), rows - 1)
        outputs = self._runners[bucket].run({name: array[places] for name, array in inputs.items()})
        return {name: array[:rows] for name, array in outputs.items()}


def fastest(open_session: Callable[[], Runnable], max_batch: int, row: Arrays) -> FixedShapes:
    """For a graph whose kernels cannot be captured: a session per bucket, or all in the largest, what is faster."""
    buckets, first = batch_sizes(max_batch), open_session()
    one = FixedShapes([first], buckets[-1:])
    if len(buckets) == 1:
        return one
    apart = FixedShapes([*(open_session() for _ in buckets[1:]), first], buckets)
    return min(one, apart, key=lambda way: mixed_s(way, max_batch, row))


def mixed_s(way: Runnable, max_batch: int, row: Arrays) -> float:
    """Seconds for batches of different sizes, once all of them have been run."""
    sizes = [1 + (number * 7919) % max_batch for number in range(TRIED)]
    for rows in (*batch_sizes(max_batch), *sizes):
        way.run(repeat_rows(row, rows))
    started = perf_counter()
    for rows in sizes:
        way.run(repeat_rows(row, rows))
    return perf_counter() - started


def open_runnable(bundle: Bundle, settings: Settings, tuning: Tuning, graph: str = MAIN) -> Runnable:
    """A session, on a GPU behind buckets. Raises what `Session` raises."""

    def open_session() -> Session:
        memory, precision = share_of(bundle, settings, graph), precision_of(bundle.manifest, settings, graph)
        return Session(bundle, settings.provider, tuning.threads, graph, gpu_memory=memory, precision=precision)

    session = open_session()
    if not session.on_device:
        return session
    if session.captures or session.many_shapes or tuning.buckets:
        return FixedShapes([session], tuning.filled_to)
    if settings.gpu_memory:  # of which this session has its share, and further ones have none
        return FixedShapes([session], [tuning.max_batch])
    return fastest(open_session, tuning.max_batch, rows_of(bundle.golden(graph)[0])[0])

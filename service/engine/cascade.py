"""The main graph behind its queue, and behind it that of the second graph: rows in doubt of all requests share batches.

A request waits for its own rows alone: whoever has none in doubt is answered after the first graph.
"""

from collections.abc import Awaitable
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.bundle import MAIN, Arrays, Bundle, picked, put, size_of
from service.engine.batcher import Job, Run
from service.engine.fixed_shapes import open_runnable
from service.engine.profile import Tuning
from service.settings import Settings
from service.stage_pool import run_stage
from service.watch import Watch


class Queued(Protocol):
    """A graph behind its queue."""

    gain: float

    def outputs(self, job: Job) -> Awaitable[Arrays]: ...

    def input_size(self, inputs: Arrays) -> int: ...


class Cascaded:
    """Two graphs that answer as one."""

    def __init__(self, bundle: Bundle, first: Queued, second: Queued, watch: Watch | None = None) -> None:
        """`watch` counts what both give together: neither of them does so for itself."""
        assert bundle.manifest.cascade
        self._rule, self._first, self._second = bundle.manifest.cascade, first, second
        self._taken = [tensor.name for tensor in bundle.manifest.graphs[self._rule.graph].inputs]
        self._watch = watch if watch is not None and watch.histograms else None
        self.gain = first.gain

    async def outputs(self, job: Job) -> Arrays:
        """Raises what `Batcher.submit` raises: a request fails as a whole, and alone, where its second look does."""
        inputs = job.inputs  # which the first graph may fill up
        outputs = await self._first.outputs(job)
        places = self._rule.in_doubt(outputs)
        if len(places):
            again = self._again(inputs, places, job)
            put(await self._second.outputs(again), outputs, places)
            job.queued_s += again.queued_s
            job.infer_s += again.infer_s
        if self._watch is not None:
            await run_stage(size_of(inputs), job.caller, self._watch.observe, inputs, outputs)
        return outputs

    def _again(self, inputs: Arrays, places: NDArray[np.intp], job: Job) -> Job:
        """The rows in doubt. Raises MemoryFull or BodyTooLarge where there is no room for a copy of them."""
        taken = {name: inputs[name] for name in self._taken}
        if job.caller.lease is not None:
            job.caller.lease.grow(size_of(taken) * len(places) // job.rows)
        return Job(picked(taken, places), job.caller, job.priority)

    def input_size(self, inputs: Arrays) -> int:
        return self._first.input_size(inputs)


def answering(bundle: Bundle, first: Run, second: Run) -> Run:
    """Both graphs one after the other, for who needs no queue."""
    rule = bundle.manifest.cascade
    assert rule
    return partial(rule.run, first=first, second=second, at_once=bundle.manifest.graphs[rule.graph].max_batch)


def open_answering(bundle: Bundle, settings: Settings, threads: int, graph: str = MAIN) -> Run:
    """What answers for a graph, without a queue: the main one with the second, where the bundle has a cascade."""

    def opened(name: str) -> Run:
        tuning = Tuning(threads=threads, max_batch=bundle.manifest.graphs[name].max_batch)
        return open_runnable(bundle, settings, tuning, name).run

    first, rule = opened(graph), bundle.manifest.cascade
    return answering(bundle, first, opened(rule.graph)) if rule and graph == MAIN else first

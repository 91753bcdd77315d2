"""Rows of concurrent requests become batches.

One queue per served model version. There is no artificial delay: whenever the session is free, everything that waits
and has the same item shape goes as one batch of up to `max_batch` rows, so batches form while the previous one runs.
Urgent jobs go before patient ones, which ride along where there is room. A batch that takes less than `INLINE_S` runs
on the event loop, where handing it to a thread and back would cost more than it frees, and at once where its request
is the only one of the process: nobody could ride along. A longer one runs in a thread. How long it takes was measured
beforehand, and is corrected by how much longer others took lately: a graph may look twice at what it is unsure of.

A job's deadline, and whether anybody still waits, is looked at when its turn has come, before somebody is refused
for lack of room and whenever a batch begins in a thread; the deadline by a timer as well where that may take long:
behind or in a batch in a thread, and for the patient.

All methods belong to the event loop's thread; only `run` leaves it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from itertools import chain
from time import monotonic, perf_counter
from typing import Protocol

import numpy as np

from service.bundle import MAIN, Arrays
from service.errors import ClientGone, DeadlineExceeded, InferenceFailed, QuartetError, QueueFull
from service.stage_pool import Caller

INLINE_S = 0.003
LATELY = 16  # batches
MOST_TIMES = 16.0  # what was measured: more, and one hiccup would be taken for a habit
URGENT, PATIENT = 0, 1  # priorities

log = logging.getLogger(__name__)

Run = Callable[[Arrays], Arrays]
Shape = tuple[tuple[int, ...], ...]


class Observer(Protocol):
    """Hears of each batch that ran: its rows, the seconds it took, and how long each of its jobs had waited."""

    def __call__(self, rows: int, infer_s: float, queued_s: list[float]) -> None: ...


class Job:
    """One request's rows on their way through the batcher."""

    __slots__ = (
        "caller",
        "follows",
        "future",
        "graphs",
        "infer_s",
        "inputs",
        "priority",
        "queued_at",
        "queued_s",
        "rows",
        "shape",
        "timer",
        "times",
    )

    def __init__(
        self,
        inputs: Arrays,
        caller: Caller,
        priority: int = URGENT,
        graphs: tuple[str, ...] = (MAIN,),
        follows: bool = False,
        times: float = 1.0,
    ) -> None:
        """`inputs` are batch-first arrays of equal length, for the `graphs`; a later one takes what others give, too.

        An item is `times` as large as those that `cost_s` was measured with. A job that `follows` is a later part of a
        request: while its first part runs, it does not count as waiting.
        """
        self.priority, self.graphs, self.follows, self.times = priority, graphs, follows, times
        self.inputs = inputs
        self.rows = len(next(iter(inputs.values())))
        self.shape = shape_of(inputs)
        self.caller = caller
        self.queued_at = perf_counter()
        self.queued_s = self.infer_s = 0.0
        self.future: asyncio.Future[Arrays]
        self.timer: asyncio.TimerHandle | None = None

    def reshape(self, inputs: Arrays) -> None:
        """The same rows, filled up."""
        self.inputs, self.shape = inputs, shape_of(inputs)


def shape_of(inputs: Arrays) -> Shape:
    """Of one item."""
    return tuple(array.shape[1:] for array in inputs.values())


class Batcher:
    """The queue before a graph: takes jobs, runs batches of their rows, hands out each job's share of the outputs."""

    def __init__(
        self,
        run: Run,
        executor: Executor,
        *,
        max_batch: int,
        max_queue_rows: int,
        cost_s: Sequence[float],
        observe: Observer,
        slots: int = 1,
    ) -> None:
        """`max_batch` and `max_queue_rows` count rows. `cost_s` has the seconds of a batch by its rows.

        `slots` batches run at once, which takes as many threads of `executor`.
        """
        self._run, self._executor, self._observe, self._cost_s = run, executor, observe, cost_s
        self.max_batch, self.max_queue_rows = max_batch, max_queue_rows
        self.slots = slots
        self.queued_rows = self.running_rows = 0
        self._queues: tuple[deque[Job], deque[Job]] = (deque(), deque())  # by priority
        self._running = 0
        self._swept = False  # in this turn of the loop
        self._times = 1.0  # what was measured: the mean of what batches took lately
        self._scheduled: asyncio.Handle | None = None

    async def submit(self, job: Job) -> Arrays:
        """The outputs of the job's rows, in order.

        Raises QueueFull at once, DeadlineExceeded when the answer would provably be late, InferenceFailed when
        the session fails on these very rows.
        """
        if self._is_full(job):
            self._sweep()
            if self._is_full(job):
                raise QueueFull(f"{self.queued_rows} samples are waiting already. Try again in a moment.")
        if job.rows <= self.max_batch:
            if job.caller.alone() and self._is_idle() and self._is_short([job], job.rows):
                return self._run_now(job)
            return await self._enqueue(job)
        parts = [
            Job(rows, job.caller, job.priority, follows=number > 0, times=job.times)
            for number, rows in enumerate(_cut(job.inputs, range(0, job.rows, self.max_batch)))
        ]
        outputs = await _all_or_error([self._enqueue(part) for part in parts])
        job.queued_s = parts[0].queued_s
        job.infer_s = sum(part.infer_s for part in parts)
        return {name: np.concatenate([output[name] for output in outputs]) for name in outputs[0]}

    def _is_full(self, job: Job) -> bool:
        return self.queued_rows > 0 and self.queued_rows + job.rows > self.max_queue_rows

    def _is_idle(self) -> bool:
        return not self._running and not self.queued_rows

    def _run_now(self, job: Job) -> Arrays:
        """What `_dispatch` would come to in the next turn of the loop, without a future and its turns."""
        if (fault := _fault(job, monotonic())) is not None:
            raise fault
        job.queued_s = perf_counter() - job.queued_at
        (result,), job.infer_s = _attempt(self._run, [job])
        self._learn([job], job.rows, job.infer_s)
        if isinstance(result, QuartetError):
            raise result
        return result

    def _sweep(self) -> None:
        """Drop the dead, once in a turn of the loop: no more are known of within it."""
        if self._swept:
            return
        self._swept = True
        asyncio.get_running_loop().call_soon(self._sweep_again)
        now = monotonic()
        for queue in self._queues:
            living = [job for job in queue if not self._dead(job, now)]
            queue.clear()
            queue.extend(living)

    def _sweep_again(self) -> None:
        self._swept = False

    def _enqueue(self, job: Job) -> "asyncio.Future[Arrays]":
        job.future = asyncio.get_running_loop().create_future()
        self._queues[job.priority].append(job)
        self.queued_rows += job.rows
        if self._running >= self.slots or job.priority == PATIENT:
            self._limit(job)
        if self._scheduled is None:
            # Not now but after the sockets that are readable in this turn of the loop: their rows ride along.
            self._schedule()
        return job.future

    def _limit(self, job: Job) -> None:
        """See to it that the job ends when its time is up, wherever it is by then."""
        if job.timer is None:
            timer = asyncio.get_running_loop().call_later(job.caller.deadline - monotonic(), self._expire, job)
            job.timer = timer
            job.future.add_done_callback(lambda _: timer.cancel())

    def _expire(self, job: Job) -> None:
        if job.future.done():
            return
        job.future.set_exception(DeadlineExceeded("The request's time was up before its answer was there."))
        with suppress(ValueError):  # it runs, and nobody waits for it
            self._queues[job.priority].remove(job)
            self.queued_rows -= job.rows

    def _schedule(self) -> None:
        self._scheduled = asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        """Start as many batches as there are slots, here or in the threads."""
        self._scheduled = None
        while self._running < self.slots and self.queued_rows:
            batch = self._take()
            if batch and self._start(batch):
                self._schedule()  # an inline batch: let the loop breathe before the next
                return

    def _start(self, batch: list[Job]) -> bool:
        """Run the batch; whether it is done already."""
        rows = sum(job.rows for job in batch)
        if self._is_short(batch, rows):
            self._finish(batch, rows, *_attempt(self._run, batch))
            return True
        self._running += 1
        self.running_rows += rows
        self._sweep()  # they hold memory for as long as the batch takes
        for job in chain(batch, *self._queues):
            self._limit(job)
        for job in batch:
            if job.caller.lease is not None:  # the rows are there until the thread is done with them
                job.caller.lease.keep()
        running = asyncio.get_running_loop().run_in_executor(self._executor, _attempt, self._run, batch)
        running.add_done_callback(lambda done: self._resume(batch, rows, done))
        return False

    def _is_short(self, batch: list[Job], rows: int) -> bool:
        return self._cost_s[rows] * batch[0].times * max(1.0, self._times) <= INLINE_S

    def _resume(
        self, batch: list[Job], rows: int, done: "asyncio.Future[tuple[list[Arrays | QuartetError], float]]"
    ) -> None:
        self._running -= 1
        self.running_rows -= rows
        for job in batch:
            if job.caller.lease is not None:
                job.caller.lease.drop()
        self._finish(batch, rows, *done.result())
        if self._scheduled is None:
            self._dispatch()

    def _take(self) -> list[Job]:
        """The longest-waiting job and everything of its shape behind it that fits, urgent ones first.

        The dead are dropped on the way.
        """
        batch: list[Job] = []
        rows = 0
        for queue in self._queues:
            rows = self._fill(batch, rows, queue)
        self.queued_rows -= rows
        started = perf_counter()
        for job in batch:
            job.queued_s = started - job.queued_at
        return batch

    def _fill(self, batch: list[Job], rows: int, queue: deque[Job]) -> int:
        """Move jobs from the queue to the batch; the rows it has then."""
        kept: list[Job] = []
        now = monotonic()
        while queue and self._dead(queue[0], now):
            queue.popleft()
        while queue and rows < self.max_batch:
            job = queue.popleft()
            if self._dead(job, now):
                continue
            if batch and (job.shape != batch[0].shape or rows + job.rows > self.max_batch):
                kept.append(job)
                if job.shape == batch[0].shape:
                    break  # first come, first served: nobody overtakes a job of the same shape
                continue
            batch.append(job)
            rows += job.rows
        queue.extendleft(reversed(kept))
        return rows

    def _dead(self, job: Job, now: float) -> bool:
        if not job.future.done():
            if (fault := _fault(job, now)) is None:
                return False
            job.future.set_exception(fault)
        self.queued_rows -= job.rows
        return True

    def _finish(self, batch: list[Job], rows: int, results: "list[Arrays | QuartetError]", infer_s: float) -> None:
        for job, result in zip(batch, results, strict=True):
            job.infer_s = infer_s
            if job.future.done():
                continue
            if isinstance(result, QuartetError):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)
        self._learn(batch, rows, infer_s)

    def _learn(self, batch: list[Job], rows: int, infer_s: float) -> None:
        self._times += (min(infer_s / (self._cost_s[rows] * batch[0].times), MOST_TIMES) - self._times) / LATELY
        self._observe(rows, infer_s, [job.queued_s for job in batch if not job.follows])


def _fault(job: Job, now: float) -> QuartetError | None:
    """Why nobody waits for the job any more; None: somebody does."""
    if job.caller.abandoned():
        return ClientGone("The client hung up.")
    if now > job.caller.deadline:
        return DeadlineExceeded("The request's time was up before its turn came.")
    return None


def _attempt(run: Run, batch: list[Job]) -> "tuple[list[Arrays | QuartetError], float]":
    started = perf_counter()
    return _isolate(run, batch), perf_counter() - started


def _isolate(run: Run, batch: list[Job]) -> "list[Arrays | QuartetError]":
    """Run the batch; when it fails, run its halves, so that only the job at fault gets the error."""
    try:
        return _run(run, batch)
    except Exception as error:
        if len(batch) == 1 and isinstance(error, QuartetError):
            return [error]
        if len(batch) == 1:
            log.exception("inference failed on a batch of %d rows", batch[0].rows)
            return [InferenceFailed()]
        half = len(batch) // 2
        return _isolate(run, batch[:half]) + _isolate(run, batch[half:])


def _run(run: Run, batch: list[Job]) -> "list[Arrays | QuartetError]":
    if len(batch) == 1:
        return [run(batch[0].inputs)]
    outputs = run({name: np.concatenate([job.inputs[name] for job in batch]) for name in batch[0].inputs})
    starts = np.cumsum([0] + [job.rows for job in batch[:-1]]).tolist()
    return [
        {name: array[start : start + job.rows] for name, array in outputs.items()}
        for job, start in zip(batch, starts, strict=True)
    ]


def _cut(inputs: Arrays, starts: range) -> list[Arrays]:
    return [{name: array[start : start + starts.step] for name, array in inputs.items()} for start in starts]


async def _all_or_error(futures: "list[asyncio.Future[Arrays]]") -> list[Arrays]:
    """Every result, or the first error once the others have been called off."""
    try:
        return await asyncio.gather(*futures)
    except BaseException:
        for future in futures:
            future.cancel()
        await asyncio.gather(*futures, return_exceptions=True)
        raise

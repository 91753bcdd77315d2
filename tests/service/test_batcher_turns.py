"""When batches run, here or in a thread, and when those who wait are told that their turn did not come."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any

import pytest

from service.bundle import Arrays
from service.engine.batcher import INLINE_S, PATIENT, Batcher, Job
from service.errors import ClientGone, DeadlineExceeded, InferenceFailed, QuartetError, QueueFull
from service.stage_pool import Caller
from tests.service.batches import FOREVER, INLINE, MAX_BATCH, POISON, THREADED, Graph, batcher, job, quiet


@pytest.mark.parametrize("apart_s", [0, 0.01], ids=["in one turn", "later"])
@pytest.mark.parametrize("ahead", [0, 1], ids=["at work", "waiting"])
def test_when_the_time_is_up_the_error_comes_at_once(executor: ThreadPoolExecutor, ahead: int, apart_s: float) -> None:
    async def scene() -> None:
        graph = Graph(hold=threading.Event())
        queue = batcher(graph, executor, THREADED)
        before = [asyncio.ensure_future(queue.submit(job(1, width=1))) for _ in range(ahead)]
        if apart_s:
            await asyncio.sleep(apart_s)
        late = asyncio.ensure_future(queue.submit(job(2, deadline=monotonic() + 0.05)))
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(late, 5)
        assert queue.queued_rows == 0
        graph.hold.set()
        await asyncio.gather(*before)
        await quiet(queue)
        assert [len(batch) for batch in graph.batches] == ([1] if ahead else [2])

    asyncio.run(scene())


def test_the_patient_hear_in_time_that_their_turn_did_not_come(executor: ThreadPoolExecutor) -> None:
    async def scene() -> None:
        queue = batcher(Graph(), executor)
        stop = asyncio.Event()

        async def hurry() -> None:
            while not stop.is_set():
                await queue.submit(job(MAX_BATCH))

        urgent = [asyncio.ensure_future(hurry()) for _ in range(2)]
        await asyncio.sleep(0)
        patient = Job(job(1).inputs, Caller(monotonic() + 0.05, lambda: False), PATIENT)
        with pytest.raises(DeadlineExceeded):
            await asyncio.wait_for(queue.submit(patient), 5)
        stop.set()
        await asyncio.gather(*urgent)
        assert queue.queued_rows == 0

    asyncio.run(scene())


def test_the_parts_of_a_request_do_not_count_as_waiting_for_each_other(executor: ThreadPoolExecutor) -> None:
    async def scene() -> None:
        seen: list[list[float]] = []
        graph = Moody()
        graph.seconds = 0.1
        queue = batcher(graph, executor, THREADED, observe=lambda rows, infer_s, queued_s: seen.append(queued_s))
        whole = job(3 * MAX_BATCH)
        await queue.submit(whole)
        await quiet(queue)
        assert seen == [[whole.queued_s], [], []]
        assert whole.queued_s < 0.1 < 0.3 <= whole.infer_s

    asyncio.run(scene())


def test_the_loop_stays_free_while_a_long_batch_runs(executor: ThreadPoolExecutor) -> None:
    async def scene() -> None:
        graph = Graph(hold=threading.Event())
        running = asyncio.ensure_future(batcher(graph, executor, THREADED).submit(job(1)))
        for _ in range(5):
            await asyncio.sleep(0.001)
        assert not running.done()
        graph.hold.set()
        await running

    asyncio.run(scene())


class Moody(Graph):
    """Takes `seconds`, and remembers whether it had the event loop's thread."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.on_the_loop: list[bool] = []

    def run(self, inputs: Arrays) -> Arrays:
        sleep(self.seconds)
        self.on_the_loop.append(threading.current_thread() is threading.main_thread())
        return super().run(inputs)


def run_stage(graph: Moody, queue: Batcher, seconds: float, times: int) -> list[bool]:
    """Where so many batches of so many seconds ran."""
    graph.seconds = seconds
    graph.on_the_loop.clear()
    for _ in range(times):
        asyncio.run(queue.submit(job(1)))
    return graph.on_the_loop.copy()


def test_batches_that_take_longer_than_was_measured_leave_the_loop_until_they_do_no_longer(
    executor: ThreadPoolExecutor,
) -> None:
    graph = Moody()
    queue = batcher(graph, executor, [INLINE_S / 4] * (MAX_BATCH + 1))
    assert all(run_stage(graph, queue, 0, 5))
    assert not any(run_stage(graph, queue, 4 * INLINE_S, 20)[10:])
    assert all(run_stage(graph, queue, 0, 100)[80:])


def test_a_hiccup_is_no_habit(executor: ThreadPoolExecutor) -> None:
    graph = Moody()
    queue = batcher(graph, executor, [INLINE_S / 4] * (MAX_BATCH + 1))
    assert all(run_stage(graph, queue, 0.1, 1) + run_stage(graph, queue, 0, 20))


def test_times_are_told_to_the_job_and_the_observer(executor: ThreadPoolExecutor) -> None:
    seen: list[Any] = []

    class Slow(Graph):
        def run(self, inputs: Arrays) -> Arrays:
            sleep(0.02)
            return super().run(inputs)

    async def scene() -> list[Job]:
        jobs = [job(2), job(3, width=1)]
        queue = batcher(Slow(), executor, THREADED, observe=lambda *told: seen.append(told))
        await asyncio.gather(*map(queue.submit, jobs))
        await quiet(queue)
        return jobs

    first, second = asyncio.run(scene())
    assert first.infer_s >= 0.02
    assert second.queued_s >= 0.02
    assert [(rows, waited) for rows, _, waited in seen] == [(2, [first.queued_s]), (3, [second.queued_s])]


@pytest.mark.parametrize("end", ["gone", "cancelled", "late"])
def test_the_dead_do_not_count_as_waiting(executor: ThreadPoolExecutor, end: str) -> None:
    async def scene() -> None:
        graph = Graph(hold=threading.Event())
        queue = batcher(graph, executor, THREADED)
        first = asyncio.ensure_future(queue.submit(job(1)))
        while not queue.running_rows:
            await asyncio.sleep(0)
        there: list[bool] = []
        deadline = monotonic() + 0.05 if end == "late" else FOREVER
        crowd = [
            asyncio.ensure_future(queue.submit(job(8, deadline=deadline, gone=lambda: bool(there)))) for _ in range(3)
        ]
        await asyncio.sleep(0.1 if end == "late" else 0)
        if end == "gone":
            there.append(True)
        elif end == "cancelled":
            for one in crowd:
                one.cancel()
            await asyncio.sleep(0)
        living = asyncio.ensure_future(queue.submit(job(8)))
        await asyncio.sleep(0)
        assert queue.queued_rows == 8
        assert graph.hold is not None
        graph.hold.set()
        assert len((await living)["y"]) == 8
        await first
        assert all(isinstance(one, BaseException) for one in await asyncio.gather(*crowd, return_exceptions=True))
        assert queue.queued_rows == 0

    asyncio.run(scene())


def test_a_crowd_that_is_refused_is_looked_through_once_a_turn(executor: ThreadPoolExecutor) -> None:
    async def scene() -> None:
        graph = Graph(hold=threading.Event())
        queue = batcher(graph, executor, THREADED)
        first = asyncio.ensure_future(queue.submit(job(1)))
        while not queue.running_rows:
            await asyncio.sleep(0)
        asked: list[int] = []
        waiting = [asyncio.ensure_future(queue.submit(job(8, gone=lambda: bool(asked.append(1))))) for _ in range(3)]
        await asyncio.sleep(0)
        refused = [asyncio.ensure_future(queue.submit(job(8))) for _ in range(50)]
        await asyncio.sleep(0)
        assert len(asked) == len(waiting)
        assert all(isinstance(one.exception(), QueueFull) for one in refused)
        assert graph.hold is not None
        graph.hold.set()
        await asyncio.gather(first, *waiting)

    asyncio.run(scene())


def alone(asked: Job) -> Job:
    """The same rows, of the only request that the process has."""
    return Job(asked.inputs, asked.caller._replace(alone=lambda: True))


def test_the_only_request_of_a_process_is_answered_in_the_same_turn(executor: ThreadPoolExecutor) -> None:
    seen: list[Any] = []
    queue = batcher(Graph(), executor, observe=lambda *what: seen.append(what))
    asked = alone(job(2))
    with pytest.raises(StopIteration) as done:
        queue.submit(asked).send(None)
    assert done.value.value["y"][:, 0].tolist() == [4, 7]
    ((rows, infer_s, (queued_s,)),) = seen
    assert (rows, infer_s, queued_s) == (2, asked.infer_s, asked.queued_s)


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (job(1, first=POISON), InferenceFailed),
        (job(1, deadline=0.0), DeadlineExceeded),
        (job(1, gone=lambda: True), ClientGone),
    ],
)
def test_it_fails_as_any_other(executor: ThreadPoolExecutor, wanted: Job, error: type[QuartetError]) -> None:
    with pytest.raises(error):
        asyncio.run(batcher(Graph(), executor).submit(alone(wanted)))


@pytest.mark.parametrize("cost_s", [INLINE, THREADED])
def test_it_overtakes_nobody_and_blocks_no_loop(executor: ThreadPoolExecutor, cost_s: list[float]) -> None:
    async def main() -> list[float]:
        graph = Graph()
        queue = batcher(graph, executor, cost_s)
        first = asyncio.ensure_future(queue.submit(job(1, first=5)))
        await asyncio.sleep(0)
        second = queue.submit(alone(job(1, first=9)))
        assert second.send(None) is not None  # it waits
        second.close()
        await first
        return [float(batch[0, 0]) for batch in graph.batches]

    assert asyncio.run(main())[0] == 5

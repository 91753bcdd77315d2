"""The batcher: whatever arrives, each request gets exactly one right answer or one right error."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic, sleep
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.bundle import Arrays
from service.engine.batcher import INLINE_S, PATIENT, Batcher, Job
from service.errors import ClientGone, DeadlineExceeded, InferenceFailed, QuartetError, QueueFull
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


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def batcher(graph: Graph, pool: ThreadPoolExecutor, cost_s: list[float] = INLINE, **changes: Any) -> Batcher:
    options = {"max_batch": MAX_BATCH, "max_queue_rows": MAX_QUEUE, "cost_s": cost_s, "observe": lambda *seen: None}
    return Batcher(graph.run, pool, **(options | changes))


def job(rows: int, first: float = 1, width: int = 2, deadline: float = FOREVER, gone: Any = lambda: False) -> Job:
    """Rows that count up from `first`, `width` numbers each."""
    x = np.repeat(np.arange(first, first + rows), width).reshape(rows, width)
    return Job({"x": x}, Caller(deadline, gone))


class Wish(NamedTuple):
    """One request of an interleaving."""

    rows: int
    width: int
    pause: int  # turns of the loop before it is submitted
    fate: str  # what happens to it: nothing, poison, hung up, too late, cancelled


WISHES = st.lists(
    st.builds(
        Wish,
        rows=st.integers(1, 20),
        width=st.integers(1, 3),
        pause=st.integers(0, 6),
        fate=st.sampled_from(["", "", "", "poison", "gone", "late", "cancel"]),
    ),
    max_size=14,
)


async def submit(queue: Batcher, number: int, wish: Wish) -> Any:
    """The answer, or the error."""
    for _ in range(wish.pause):
        await asyncio.sleep(0)
    wanted = job(
        wish.rows,
        first=1000.0 * (number + 1),
        width=wish.width,
        deadline=monotonic() - 1 if wish.fate == "late" else FOREVER,
        gone=lambda: wish.fate == "gone",
    )
    if wish.fate == "poison":
        wanted.inputs["x"][wish.rows // 2] = POISON
    task = asyncio.ensure_future(queue.submit(wanted))
    if wish.fate == "cancel":
        await asyncio.sleep(0)
        task.cancel()
    try:
        return wanted, await task
    except (QuartetError, asyncio.CancelledError) as error:
        return wanted, error


async def quiet(queue: Batcher) -> None:
    """Return when nothing waits and nothing runs."""
    while queue.queued_rows or queue.running_rows:
        await asyncio.sleep(0.001)


async def play(queue: Batcher, wishes: list[Wish]) -> list[Any]:
    results = await asyncio.gather(*(submit(queue, i, wish) for i, wish in enumerate(wishes)))
    await asyncio.wait_for(quiet(queue), 10)
    return results


@settings(max_examples=300)
@given(WISHES, st.booleans())
def test_each_request_gets_its_answer_or_its_error_and_the_queue_ends_empty(
    executor: ThreadPoolExecutor, wishes: list[Wish], threaded: bool
) -> None:
    graph = Graph()
    queue = batcher(graph, executor, THREADED if threaded else INLINE)
    errors = {"poison": InferenceFailed, "gone": ClientGone, "late": DeadlineExceeded, "cancel": asyncio.CancelledError}
    for wish, (wanted, got) in zip(wishes, asyncio.run(play(queue, wishes)), strict=True):
        if isinstance(got, dict):
            assert wish.fate in ("", "cancel")  # the answer may have come before the cancellation
            np.testing.assert_array_equal(got["y"], wanted.inputs["x"] * 3 + 1)
            np.testing.assert_array_equal(got["first"], wanted.inputs["x"][:, 0])
        else:
            assert isinstance(got, QueueFull if isinstance(got, QueueFull) else errors[wish.fate])
    assert queue.queued_rows == queue.running_rows == 0
    assert all(len(batch) <= MAX_BATCH for batch in graph.batches)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(1, MAX_BATCH), st.integers(1, 3)), min_size=1, max_size=20))
def test_nobody_is_overtaken_by_a_later_request_of_the_same_shape(
    executor: ThreadPoolExecutor, sizes: list[tuple[int, int]]
) -> None:
    graph = Graph()
    queue = batcher(graph, executor, max_queue_rows=1000)
    asyncio.run(play(queue, [Wish(rows, width, 0, "") for rows, width in sizes]))
    for width in (1, 2, 3):
        rows = [batch[:, 0] for batch in graph.batches if batch.shape[1] == width]
        served = np.concatenate(rows) // 1000 if rows else np.empty(0)
        assert (np.diff(served) >= 0).all()


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 2)), min_size=1, max_size=12))
def test_a_batched_answer_is_the_answer_of_the_request_alone(
    executor: ThreadPoolExecutor, sizes: list[tuple[int, int]]
) -> None:
    wishes = [Wish(rows, width, 0, "") for rows, width in sizes]
    together = asyncio.run(play(batcher(Graph(), executor, max_queue_rows=1000), wishes))
    for i, wish in enumerate(wishes):
        _, alone = asyncio.run(submit(batcher(Graph(), executor), i, wish))
        np.testing.assert_array_equal(together[i][1]["y"], alone["y"])


def test_what_arrives_together_goes_as_one_batch(executor: ThreadPoolExecutor) -> None:
    graph = Graph()
    asyncio.run(play(batcher(graph, executor), [Wish(1, 2, 0, "")] * MAX_BATCH))
    assert [len(batch) for batch in graph.batches] == [MAX_BATCH]


def test_batches_form_while_another_runs(executor: ThreadPoolExecutor) -> None:
    async def scene() -> list[int]:
        graph = Graph(hold=threading.Event())
        queue = batcher(graph, executor, THREADED)
        first = asyncio.ensure_future(queue.submit(job(1)))
        while not queue.running_rows:
            await asyncio.sleep(0)
        rest = [asyncio.ensure_future(queue.submit(job(1))) for _ in range(5)]
        await asyncio.sleep(0)
        assert (queue.running_rows, queue.queued_rows) == (1, 5)
        graph.hold.set()
        await asyncio.gather(first, *rest)
        return [len(batch) for batch in graph.batches]

    assert asyncio.run(scene()) == [1, 5]


def test_a_request_larger_than_a_batch_is_cut_and_put_together_again(executor: ThreadPoolExecutor) -> None:
    graph, wanted = Graph(), job(MAX_BATCH * 2 + 3)
    answer = asyncio.run(batcher(graph, executor).submit(wanted))
    np.testing.assert_array_equal(answer["y"], wanted.inputs["x"] * 3 + 1)
    assert [len(batch) for batch in graph.batches] == [8, 8, 3]


def test_a_poisoned_row_fails_alone(executor: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture) -> None:
    wishes = [Wish(1, 2, 0, "poison" if i == 3 else "") for i in range(MAX_BATCH)]
    results = asyncio.run(play(batcher(Graph(), executor), wishes))
    assert [isinstance(got, InferenceFailed) for _, got in results] == [i == 3 for i in range(MAX_BATCH)]


def test_a_full_queue_refuses_at_once_and_recovers(executor: ThreadPoolExecutor) -> None:
    async def scene() -> None:
        graph = Graph(hold=threading.Event())
        queue = batcher(graph, executor, THREADED)
        first = asyncio.ensure_future(queue.submit(job(1)))
        while not queue.running_rows:
            await asyncio.sleep(0)
        waiting = [asyncio.ensure_future(queue.submit(job(8))) for _ in range(3)]
        await asyncio.sleep(0)
        assert queue.queued_rows == MAX_QUEUE
        with pytest.raises(QueueFull, match="24 samples"):
            await queue.submit(job(1))
        graph.hold.set()
        await asyncio.gather(first, *waiting)
        assert len((await queue.submit(job(1)))["y"]) == 1

    asyncio.run(scene())


def test_a_request_larger_than_the_queue_is_taken_when_nothing_waits(executor: ThreadPoolExecutor) -> None:
    answer = asyncio.run(batcher(Graph(), executor).submit(job(MAX_QUEUE * 2)))
    assert len(answer["y"]) == MAX_QUEUE * 2


def test_a_client_that_hung_up_takes_no_place_in_a_batch(executor: ThreadPoolExecutor) -> None:
    graph = Graph()
    asyncio.run(play(batcher(graph, executor), [Wish(1, 2, 0, "gone"), Wish(1, 2, 0, ""), Wish(1, 2, 0, "late")]))
    assert [len(batch) for batch in graph.batches] == [1]


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

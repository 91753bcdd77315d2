"""The batcher: whatever arrives, each request gets exactly one right answer or one right error."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.engine.batcher import Batcher
from service.errors import ClientGone, DeadlineExceeded, InferenceFailed, QuartetError, QueueFull
from tests.service.batches import FOREVER, INLINE, MAX_BATCH, MAX_QUEUE, POISON, THREADED, Graph, batcher, job, quiet


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

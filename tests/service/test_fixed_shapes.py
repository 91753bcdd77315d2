"""Whatever the number of rows, only declared shapes reach a session, and the filling reaches no answer."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.bundle import MAIN, Arrays, Bundle, repeat_rows
from service.engine.costs import batch_sizes
from service.engine.fixed_shapes import FixedShapes, fastest, open_runnable
from service.engine.profile import Tuning
from service.engine.session import Buffers, Session
from service.settings import Settings
from tests import toys

LARGEST = 12


class Counting:
    """A session that remembers the shapes that it met."""

    def __init__(self, session: Session, slow: bool = False) -> None:
        self.session, self.slow = session, slow
        self.provider, self.precision = session.provider, session.precision
        self.shapes: list[tuple[int, ...]] = []

    def run(self, inputs: Arrays) -> Arrays:
        self.shapes += [array.shape for array in inputs.values()]
        if self.slow and len(self.shapes) > 1 and self.shapes[-1] != self.shapes[-2]:
            np.linalg.svd(np.ones((200, 200)))  # as a device that plans anew
        return self.session.run(inputs)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle(toys.digits(tmp_path_factory.mktemp("fixed")))


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.integers(1, 3 * LARGEST), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_filling_up_changes_no_answer_and_few_shapes_reach_the_session(
    bundle: Bundle, rows: list[int], seed: int
) -> None:
    counting = Counting(Session(bundle, "cpu", 1))
    buckets = batch_sizes(LARGEST)
    fixed = FixedShapes([counting], buckets)
    for number in rows:
        images = np.random.default_rng(seed).integers(0, 256, (number, 28, 28)).astype(np.float32)
        expected = counting.session.run({"image": images})
        given = fixed.run({"image": images})
        assert given.keys() == expected.keys()
        for name, array in expected.items():
            np.testing.assert_allclose(given[name], array, atol=1e-6)
    assert {shape[0] for shape in counting.shapes} <= set(buckets)


def test_sessions_apart_meet_one_shape_each(bundle: Bundle) -> None:
    sessions = [Counting(Session(bundle, "cpu", 1)) for _ in batch_sizes(LARGEST)]
    fixed = FixedShapes(sessions, batch_sizes(LARGEST))
    for rows in range(1, 2 * LARGEST):
        fixed.run(repeat_rows(bundle.golden()[0], rows))
    assert [set(one.shapes) for one in sessions] == [{(rows, 28, 28)} for rows in batch_sizes(LARGEST)]


def test_where_other_shapes_are_dear_none_reaches_a_session_twice(bundle: Bundle) -> None:
    """Be it with a session for each or with the largest for all: what is faster is taken."""
    opened: list[Counting] = []

    def open_session() -> Counting:
        opened.append(Counting(Session(bundle, "cpu", 1), slow=True))
        return opened[-1]

    way = fastest(open_session, LARGEST, repeat_rows(bundle.golden()[0], 1))
    for one in opened:
        one.shapes.clear()
    for rows in range(1, LARGEST + 1):
        way.run(repeat_rows(bundle.golden()[0], rows))
    assert all(len(set(one.shapes)) <= 1 for one in opened)


def test_a_single_bucket_takes_one_session(bundle: Bundle) -> None:
    opened: list[Session] = []

    def open_session() -> Session:
        opened.append(Session(bundle, "cpu", 1))
        return opened[-1]

    fastest(open_session, 1, repeat_rows(bundle.golden()[0], 1))
    assert len(opened) == 1


def test_on_the_cpu_nothing_stands_before_a_session(bundle: Bundle) -> None:
    assert isinstance(open_runnable(bundle, Settings(), Tuning(threads=1, max_batch=LARGEST)), Session)


@pytest.mark.parametrize("make", [toys.digits, toys.tensors, toys.series])
def test_buffers_used_again_hold_nothing_of_the_batch_before(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    bundle = Bundle(make(tmp_path))
    session = Session(bundle, "cpu", 1)
    golden, _ = bundle.golden()
    buffers = session.buffers(golden)
    first = buffers.run(golden)
    backwards = {name: array[::-1] for name, array in golden.items()}
    second = buffers.run(backwards)
    for name, array in session.run(golden).items():
        np.testing.assert_allclose(first[name], array, atol=1e-6)
    for name, array in session.run({name: np.ascontiguousarray(array) for name, array in backwards.items()}).items():
        np.testing.assert_allclose(second[name], array, atol=1e-6)


def test_inputs_are_staged_in_memory_of_the_kind_that_is_asked_for_and_always_the_same(bundle: Bundle) -> None:
    """Here in that of the arena of all sessions, which stands for pages that a GPU reads without help."""
    session = Session(bundle, "cpu", 1)
    inputs, golden = bundle.golden()
    arena = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    graph = bundle.manifest.graphs[MAIN]
    buffers = Buffers(session._session, "cpu", inputs, graph, None, arena)
    (staged,) = buffers.staged.values()
    assert not staged.flags.owndata
    for turn in range(3):
        rolled = {name: np.roll(array, turn, axis=0) for name, array in inputs.items()}
        given = buffers.run(rolled)
        np.testing.assert_allclose(given["probabilities"], np.roll(golden["probabilities"], turn, axis=0), atol=1e-6)
        np.testing.assert_array_equal(staged, rolled["image"])
        assert buffers.staged["image"] is staged


def test_outputs_are_copied_out_of_the_buffers_once(bundle: Bundle) -> None:
    """What was given is not written over by the next batch."""
    inputs, golden = bundle.golden()
    buffers = Session(bundle, "cpu", 1).buffers(inputs)
    first = buffers.run(inputs)
    buffers.run({name: array * 0 for name, array in inputs.items()})
    np.testing.assert_allclose(first["probabilities"], golden["probabilities"], atol=1e-6)


def test_without_such_memory_inputs_are_staged_elsewhere(bundle: Bundle) -> None:
    session = Session(bundle, "cpu", 1)
    inputs, golden = bundle.golden()
    strange = onnxruntime.OrtMemoryInfo(
        "CudaPinned", onnxruntime.OrtAllocatorType.ORT_DEVICE_ALLOCATOR, 0, onnxruntime.OrtMemType.CPU
    )
    buffers = Buffers(session._session, "cpu", inputs, bundle.manifest.graphs[MAIN], None, strange)
    assert buffers.staged["image"].flags.owndata
    np.testing.assert_allclose(buffers.run(inputs)["probabilities"], golden["probabilities"], atol=1e-6)

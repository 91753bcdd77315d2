"""A cascade: what the first graph is unsure of, a second one answers, as if one graph had answered all."""

import asyncio
from math import inf
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.budget import Budget
from service.bundle import SINGLE, Arrays, Bundle, BundleError, Cascade, Histogram, Tensor
from service.engine.batcher import Job
from service.engine.cascade import open_answering
from service.engine.loaded_model import LoadedModel
from service.engine.profile import Profile
from service.engine.trial_process import _verdict
from service.errors import ClientGone, DeadlineExceeded, InferenceFailed, MemoryFull, QuartetError, QueueFull
from service.model_metrics import ModelMetrics
from service.settings import Settings
from service.stage_pool import Caller
from service.watch import Watch
from tests import toys

SECOND = "second-look"
SURE, UNSURE, FAILING = [1, 2, 3], [-1, 2, 1], [-1, 2, 7]  # rows; the second graph fails on the last
LOOKS = Histogram(feature="look", edges=(0, 1.5, 3), counts=(1, 1))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle(toys.doubtful(tmp_path_factory.mktemp("cascade")))


@pytest.fixture(scope="module")
def model(bundle: Bundle) -> LoadedModel:
    return loaded(bundle)


def loaded(bundle: Bundle, metrics: ModelMetrics | None = None, watch: Watch | None = None) -> LoadedModel:
    return LoadedModel(bundle, Settings(threads=1), metrics or ModelMetrics(), Profile(), watch)


def rows(*wanted: Any) -> NDArray[np.float32]:
    return np.array(wanted, np.float32)


def job(x: NDArray[np.float32], deadline: float = inf, **options: Any) -> Job:
    return Job({"x": x}, Caller(deadline, options.pop("gone", lambda: False), **options))


async def asked(model: LoadedModel, *jobs: Job) -> list[Any]:
    """The answer to each, or its error."""

    async def one(job: Job) -> Arrays | QuartetError:
        try:
            return await model.outputs(job)
        except QuartetError as error:
            return error

    return await asyncio.gather(*map(one, jobs))


def assert_right(answer: Any, x: NDArray[np.float32]) -> None:
    assert isinstance(answer, dict), answer
    for name, expected in toys.doubted(x).items():
        np.testing.assert_array_equal(answer[name], expected)


ROW = st.tuples(st.integers(-3, 3), st.integers(-9, 9), st.integers(0, 1))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(ROW, min_size=1, max_size=20), min_size=1, max_size=8), st.booleans())
def test_rows_are_answered_alike_however_they_are_mixed_and_split(
    bundle: Bundle, model: LoadedModel, requests: list[list[Any]], alone: bool
) -> None:
    arrays = [rows(*one) for one in requests]
    jobs = [job(x, alone=lambda: alone and len(arrays) == 1) for x in arrays]
    whole = open_answering(bundle, Settings(), 1)({"x": np.concatenate(arrays)})
    assert_right(whole, np.concatenate(arrays))
    for x, answer in zip(arrays, asyncio.run(asked(model, *jobs)), strict=True):
        assert_right(answer, x)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["sure", "unsure", "failing", "gone", "late"]), min_size=1, max_size=12))
def test_a_request_whose_second_look_fails_fails_alone(model: LoadedModel, fates: list[str]) -> None:
    x = {"sure": rows(SURE), "failing": rows(SURE, FAILING)}
    jobs = [
        job(x.get(fate, rows(SURE, UNSURE)), 0 if fate == "late" else inf, gone=lambda fate=fate: fate == "gone")
        for fate in fates
    ]
    errors = {"failing": InferenceFailed, "gone": ClientGone, "late": DeadlineExceeded}
    for fate, one, answer in zip(fates, jobs, asyncio.run(asked(model, *jobs)), strict=True):
        if fate in errors:
            assert isinstance(answer, errors[fate])
        else:
            assert_right(answer, one.inputs["x"])
    assert not model.is_busy


class Held:
    """A second graph that waits until it may run, and remembers its batches."""

    def __init__(self, model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.batches, self._batcher = Event(), list[int](), model.graphs[SECOND].batcher
        run = self._batcher._run
        monkeypatch.setattr(self._batcher, "_run", lambda inputs: self._run(run, inputs))
        monkeypatch.setattr(self._batcher, "_cost_s", [1.0] * 9)  # so that it runs in its thread

    def _run(self, run: Any, inputs: Arrays) -> Any:
        self.go.wait(10)
        self.batches.append(len(inputs["x"]))
        return run(inputs)

    async def runs(self, waiting: int) -> None:
        while not self._batcher.running_rows or self._batcher.queued_rows < waiting:
            await asyncio.sleep(0.001)


def test_rows_in_doubt_of_all_requests_share_batches_and_nobody_else_waits_for_them(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        second = Held(model, monkeypatch)
        first = asyncio.create_task(asked(model, job(rows(UNSURE))))
        await second.runs(0)
        others = [asyncio.create_task(asked(model, job(rows(SURE, UNSURE)))) for _ in range(5)]
        await second.runs(5)
        assert (model.gauges().queued_rows, model.gauges().running_rows) == (5, 1)
        assert_right((await asked(model, job(rows(SURE))))[0], rows(SURE))
        second.go.set()
        for done in (*await asyncio.gather(*others), *await asyncio.gather(first)):
            assert isinstance(done[0], dict)
        assert second.batches == [1, 5]

    asyncio.run(scene())


def test_a_second_look_that_would_be_late_or_for_nobody_ends_the_request(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        second, left = Held(model, monkeypatch), Event()
        first = asyncio.create_task(asked(model, job(rows(UNSURE))))
        await second.runs(0)
        gone = asyncio.create_task(asked(model, job(rows(UNSURE), gone=left.is_set)))
        cancelled = asyncio.create_task(asked(model, job(rows(UNSURE))))
        await second.runs(2)
        left.set()
        cancelled.cancel()
        (late,) = await asked(model, job(rows(UNSURE), monotonic() + 0.01))
        assert isinstance(late, DeadlineExceeded)
        second.go.set()
        assert isinstance((await gone)[0], ClientGone)
        assert isinstance((await first)[0], dict)
        assert second.batches == [1]

    asyncio.run(scene())


def test_a_full_second_queue_refuses_at_once(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        second = Held(model, monkeypatch)
        monkeypatch.setattr(model.graphs[SECOND].batcher, "max_queue_rows", 2)
        first = asyncio.create_task(asked(model, job(rows(UNSURE))))
        await second.runs(0)
        waiting = asyncio.create_task(asked(model, job(rows(UNSURE, UNSURE))))
        await second.runs(2)
        refused, answered = await asked(model, job(rows(UNSURE)), job(rows(SURE)))
        assert isinstance(refused, QueueFull)
        assert isinstance(answered, dict)
        second.go.set()
        await asyncio.gather(first, waiting)

    asyncio.run(scene())


def test_what_is_looked_at_again_is_timed_and_counted_once_more(bundle: Bundle) -> None:
    metrics, wanted = ModelMetrics(), job(rows(SURE, UNSURE, SURE, UNSURE))
    model = loaded(bundle, metrics)
    first = job(rows(SURE))
    asyncio.run(asked(model, first, wanted))
    assert metrics.rows_again == 2
    assert metrics.rows.values()[-1] == 5
    assert sum(metrics.stages["infer"].values()[:-1]) == 2  # batches
    assert wanted.infer_s > first.infer_s


def test_a_lease_holds_the_copy_of_rows_in_doubt(model: LoadedModel) -> None:
    budget = Budget(100)
    with budget.lease() as lease:
        (answer,) = asyncio.run(asked(model, job(rows(SURE, UNSURE), lease=lease)))
        assert_right(answer, rows(SURE, UNSURE))
        assert lease.held == rows(UNSURE).nbytes
    with budget.lease() as lease, budget.lease() as other:
        other.grow(95)
        (answer,) = asyncio.run(asked(model, job(rows(SURE, UNSURE), lease=lease)))
        assert isinstance(answer, MemoryFull)


def test_drift_counts_what_was_answered(tmp_path: Path) -> None:
    cascade = Cascade(graph=SECOND, output="margin", below=0)
    bundle = Bundle(toys.doubtful(tmp_path, changes={"cascade": cascade, "reference": (LOOKS,)}))
    watch = Watch(bundle.manifest, 60)
    asyncio.run(asked(loaded(bundle, watch=watch), job(rows(SURE, UNSURE, SURE)), job(rows(UNSURE))))
    assert watch.counts() == {"look": [2, 2]}


def test_golden_outputs_are_those_of_both_graphs_together(bundle: Bundle, tmp_path: Path) -> None:
    """A second graph that gives something else is found, and so is a cascade that asks it of others."""
    assert not _verdict(bundle.path, 2**30, SINGLE).reason
    other = toys.doubtful(tmp_path, changes={"cascade": Cascade(graph=SECOND, output="margin", below=0.5)})
    assert "golden output" in _verdict(other, 2**30, SINGLE).reason
    with pytest.raises(BundleError, match="golden output"):
        loaded(Bundle(other))


@pytest.mark.parametrize(
    ("cascade", "complaint"),
    [
        (Cascade(graph="nobody", output="margin", below=0), "needs a graph 'nobody' beside 'main'"),
        (Cascade(graph="main", output="margin", below=0), "needs a graph 'main'"),
        (Cascade(graph=SECOND, output="x", below=0), "gives no numbers 'x'"),
    ],
)
def test_a_cascade_that_does_not_fit_is_refused(tmp_path: Path, cascade: Cascade, complaint: str) -> None:
    with pytest.raises(BundleError, match=complaint):
        Bundle(toys.doubtful(tmp_path, changes={"cascade": cascade}))


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_second_graph_knows_only_tensors_of_the_first(bundle: Bundle, tmp_path: Path, side: str) -> None:
    graphs, strange = bundle.manifest.graphs, (Tensor(name="z", dtype="float32", shape=("batch",)),)
    changed = {**graphs, SECOND: graphs[SECOND].model_copy(update={side: strange})}
    with pytest.raises(BundleError, match="'z', which model.onnx does not"):
        Bundle(toys.doubtful(tmp_path, changes={"cascade": bundle.manifest.cascade, "graphs": changed}))


def test_a_row_of_numbers_is_in_doubt_where_none_of_them_is_large_enough() -> None:
    rule = Cascade(graph=SECOND, output="p", below=0.8)
    assert rule.in_doubt({"p": rows([0.9, 0.1], [0.5, 0.5], [0.2, 0.8])}).tolist() == [1]
    assert rule.in_doubt({"p": rows(0.9, 0.5)}).tolist() == [1]
    for numbers, places in (([0.9, 0.1], []), ([0.5, 0.5], [0]), ([np.nan, 0.5], [0]), ([np.nan, 0.8], [])):
        assert rule.in_doubt({"p": rows(numbers)}).tolist() == places
        assert rule.in_doubt({"p": rows(numbers, numbers)}).tolist() == places + [1] * len(places)

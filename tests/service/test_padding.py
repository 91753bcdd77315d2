"""Items of different lengths share batches, and nobody sees the padding."""

import asyncio
from pathlib import Path
from time import monotonic

import numpy as np
import pytest

from service.bundle import Axis, Bundle, size_of
from service.engine.batcher import Job
from service.engine.loaded_model import LoadedModel
from service.engine.padding import Padding
from service.engine.profile import Profile
from service.engine.repository import Repository
from service.model_metrics import ModelMetrics
from service.settings import Settings
from service.stage_pool import Caller
from tests import toys
from tests.conftest import Here, assert_refused, lane_over


@pytest.fixture
def padding(tmp_path: Path) -> Padding:
    manifest = Bundle(toys.series(tmp_path)).manifest
    return Padding(manifest.graphs["main"], manifest.axes)


def test_an_item_is_filled_up_to_the_next_bucket_and_the_mask_says_where(padding: Padding) -> None:
    filled, lengths = padding.fill({"values": np.ones((1, 3), np.float32)})
    assert filled["values"].tolist() == [[1, 1, 1, 1000]]
    assert filled["mask"].tolist() == [[1, 1, 1, 0]]
    assert padding.cut({"doubled": filled["values"] * 2, "mean": np.ones(1)}, lengths)["doubled"].tolist() == [
        [2, 2, 2]
    ]


def test_a_mask_that_was_sent_holds(padding: Padding) -> None:
    filled, _ = padding.fill({"values": np.ones((1, 2), np.float32), "mask": np.array([[1, 0]], np.float32)})
    assert filled["mask"].tolist() == [[1, 0, 0, 0]]


@pytest.mark.parametrize("length", [3, 4, 9, 32])
@pytest.mark.parametrize("masked", [True, False])
def test_the_size_of_what_will_be_filled_in_is_known_before(padding: Padding, length: int, masked: bool) -> None:
    values = np.ones((2, length), np.float32)
    inputs = {"values": values} | ({"mask": values} if masked else {})
    assert padding.size(inputs) == size_of(padding.fill(inputs)[0])


def test_a_lease_holds_what_padding_takes(lane: Here, repository: Repository) -> None:
    """Nine steps become 32, and masks come with them: less than the request itself says would not do."""
    asked = {"json": {"inputs": {"values": [[1] * 9] * 32}}}
    small = lane_over(repository, max_rows=32, memory_budget=16 * 1024)
    assert lane("POST", "/v1/models/toy-series/predict", **asked).status_code == 200
    assert_refused(small("POST", "/v1/models/toy-series/predict", **asked), 413, "body_too_large")


def test_an_item_costs_as_much_as_what_it_is_filled_up_to(tmp_path: Path) -> None:
    model = LoadedModel(Bundle(toys.series(tmp_path)), Settings(threads=1), ModelMetrics(), Profile())
    times = []
    for length in (9, 32):
        job = Job({"values": np.ones((1, length), np.float32)}, Caller(monotonic() + 60, lambda: False))
        asyncio.run(_outputs(model, job))
        times.append(job.times)
    assert times[0] == times[1] > 1


async def _outputs(model: LoadedModel, job: Job) -> dict[str, np.ndarray]:
    return await model.outputs(job)


def test_what_fills_a_bucket_is_left_alone(padding: Padding) -> None:
    values = np.ones((1, 8), np.float32)
    assert padding.fill({"values": values})[0]["values"] is values


def test_items_of_different_lengths_ride_in_one_batch(tmp_path: Path) -> None:
    metrics = ModelMetrics()
    model = LoadedModel(Bundle(toys.series(tmp_path)), Settings(threads=1), metrics, Profile())
    caller = Caller(monotonic() + 60, lambda: False)

    async def together() -> list[dict[str, np.ndarray]]:
        jobs = [Job({"values": np.full((1, length), length, np.float32)}, caller) for length in (5, 6, 8)]
        return await asyncio.gather(*map(model.outputs, jobs))

    answers = asyncio.run(together())
    assert [answer["mean"].tolist() for answer in answers] == [[5], [6], [8]]
    assert [answer["doubled"].shape for answer in answers] == [(1, 5), (1, 6), (1, 8)]
    assert metrics.rows.values()[2] == 1  # one batch, of three or four rows


def test_a_client_may_leave_the_mask_out(lane: Here) -> None:
    answer = lane("POST", "/v1/models/toy-series/predict", json={"inputs": {"values": [[1, 2, 6]]}})
    assert answer.json()["outputs"] == {"mean": [3], "doubled": [[2, 4, 12]]}


def test_a_series_that_is_too_long_is_refused(lane: Here) -> None:
    answer = lane("POST", "/v1/models/toy-series/predict", json={"inputs": {"values": [[0] * 33]}})
    assert_refused(answer, 422, "invalid_shape", "inputs.values")
    assert "The steps must be 1 to 32" in answer.json()["detail"]


def test_tensors_that_share_an_axis_have_one_length(lane: Here) -> None:
    inputs = {"values": [[1, 2, 3]], "mask": [[1, 1]]}
    answer = lane("POST", "/v1/models/toy-series/predict", json={"inputs": inputs})
    assert_refused(answer, 422, "invalid_shape", "inputs.mask")


@pytest.mark.parametrize("wrong", [{"least": 5}, {"buckets": (2, 3)}, {"buckets": (4, 2)}, {"mask": "mask"}])
def test_an_axis_that_contradicts_itself_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="least|buckets|mask"):
        Axis.model_validate({"most": 4} | wrong)

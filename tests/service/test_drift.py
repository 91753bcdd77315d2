"""Drift is quiet where nothing has changed, speaks where something has, and adds up over workers."""

import asyncio
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.bundle import Bundle, Histogram, Manifest
from service.drift import LEAST_ROWS, chi_squared_tail, compare
from service.engine.repository import Repository
from service.metrics import Metrics
from service.settings import Settings
from service.watch import BLOCKS, Watch
from tests import toys
from tests.conftest import Here, assert_refused, lane_over
from training.data.german import Applicants
from training.data.german import applicants as everyone
from training.kinds import credit

TRIALS = 1000
ROOMS = Histogram(feature="rooms", edges=(1, 3, 6, 10), counts=(50, 30, 20))
PRICE = Histogram(feature="price", edges=(100, 300, 600, 1050), counts=(50, 30, 20))


@pytest.fixture(scope="module")
def applicants() -> Applicants:
    return everyone()


def reference_of(applicants: Applicants) -> list[Histogram]:
    return list(credit.reference(applicants.attributes))


@pytest.mark.parametrize("level", [0.05, 0.2])
@pytest.mark.parametrize("rows", [200, 3000])
def test_false_alarms_come_as_often_as_the_level_says(applicants: Applicants, level: float, rows: int) -> None:
    """Training data and requests drawn from the same applicants; 1,000 trials, each with another attribute."""
    chance = np.random.default_rng(0)
    shares = [np.array(one.counts) / sum(one.counts) for one in reference_of(applicants)]
    found = [
        compare(chance.multinomial(900, share), chance.multinomial(rows, share))
        for share in (shares[trial % len(shares)] for trial in range(TRIALS))
    ]
    alarms = sum(one is not None and one.p_value < level for one in found)
    assert abs(alarms / TRIALS - level) < 4 * (level * (1 - level) / TRIALS) ** 0.5
    psi, expected = (np.mean([getattr(one, name) for one in found]) for name in ("psi", "expected"))
    assert psi == pytest.approx(expected, rel=0.1)


def test_rows_drawn_again_from_the_training_data_raise_no_more_alarms_than_that(applicants: Applicants) -> None:
    chance = np.random.default_rng(1)
    one = reference_of(applicants)[4]
    drawn = chance.multinomial(500, np.array(one.counts) / sum(one.counts), TRIALS)
    alarms = sum(found.p_value < 0.05 for row in drawn if (found := compare(one.counts, row.tolist())))
    assert 0 < alarms < 0.06 * TRIALS


@pytest.mark.parametrize(
    ("statistic", "degrees", "tail"),
    [(3.841459, 1, 0.05), (5.991465, 2, 0.05), (16.918978, 9, 0.05), (29.587, 10, 0.001), (0, 3, 1), (7, 0, 1)],
)
def test_the_tail_of_chi_squared_is_that_of_the_tables(statistic: float, degrees: int, tail: float) -> None:
    assert chi_squared_tail(statistic, degrees) == pytest.approx(tail, rel=1e-3)


def test_a_bin_that_the_training_data_left_empty_is_drift() -> None:
    found = compare([900, 100, 0], [90, 10, 60])
    assert found is not None
    assert found.p_value < 1e-9
    assert found.psi > 10 * found.expected


@pytest.fixture
def watched(tmp_path: Path) -> Manifest:
    moon = ROOMS.model_copy(update={"feature": "moon"})
    return Bundle(toys.table(tmp_path, changes={"reference": (ROOMS, PRICE, moon)})).manifest


def rows(numbers: list[float]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    inputs = np.array([[one, 0] for one in numbers], np.float32)
    return {"row": inputs}, {"values": inputs[:, :1] * 100}


def test_a_window_counts_inputs_and_outputs_by_the_bins_of_the_bundle(watched: Manifest) -> None:
    watch = Watch(watched, 60)
    watch.observe(*rows([-5, 1, 2.9, 3, 9.9, 50]))
    assert watch.counts() == {"rooms": [3, 1, 2], "price": [3, 1, 2]}
    assert watch.unwatched == ["moon"]


@pytest.mark.parametrize("batch", [1, 150])
def test_bins_are_those_that_the_histogram_was_counted_in(applicants: Applicants, tmp_path: Path, batch: int) -> None:
    reference = reference_of(applicants)
    watch = Watch(Bundle(toys.credit(tmp_path, changes={"reference": tuple(reference)})).manifest, 60)
    for start in range(0, len(applicants.attributes), batch):
        part = applicants.attributes[start : start + batch]
        watch.observe({"applicant": part}, {})
    assert watch.counts() == {one.feature: list(one.counts) for one in reference}


def test_what_is_missing_is_not_counted(tmp_path: Path) -> None:
    watch = Watch(Bundle(toys.ranges(tmp_path, changes={"reference": (ROOMS, PRICE)})).manifest, 60)
    watch.observe(*rows([-1, 4]))
    watch.observe(*rows([-1]))
    assert watch.counts() == {"rooms": [0, 1, 0], "price": [2, 1, 0]}


def test_the_mean_of_an_item_is_counted_where_items_have_sizes_of_their_own(tmp_path: Path) -> None:
    level = Histogram(feature="mean denoised", edges=(-1000, 0, 1000), counts=(5, 5))
    seen = level.model_copy(update={"feature": "mean HU"})
    watch = Watch(Bundle(toys.ct(tmp_path, changes={"reference": (level, seen)})).manifest, 60)
    for size in (32, 40):
        low, high = np.full((1, size, size), -500, np.float32), np.full((1, size, size), 500, np.float32)
        watch.observe({"hu": low}, {"denoised": high})
        watch.observe({"hu": np.concatenate([low, low])}, {"denoised": np.concatenate([high, low])})
    assert watch.counts() == {"mean denoised": [2, 4], "mean HU": [6, 0]}


def test_the_likeliest_label_is_counted(tmp_path: Path) -> None:
    labels = Histogram(feature="probabilities", edges=(-0.5, 0.5, 1.5), counts=(5, 5))
    watch = Watch(Bundle(toys.digits(tmp_path, changes={"reference": (labels,)})).manifest, 60)
    for rows in ([[0.9, 0.1]], [[0.2, 0.8], [0.4, 0.6]]):
        watch.observe({}, {"probabilities": np.array(rows, np.float32)})
    assert watch.counts() == {"probabilities": [1, 2]}


def test_a_window_slides(watched: Manifest) -> None:
    now = [1000.0]
    watch = Watch(watched, 240, lambda: now[0])
    watch.observe(*rows([1]))
    now[0] += 120
    watch.observe(*rows([4, 4]))
    assert watch.counts()["rooms"] == [1, 2, 0]
    now[0] += 240 / BLOCKS * (BLOCKS - 12)
    assert watch.counts()["rooms"] == [0, 2, 0]
    now[0] += 10 * 240
    assert watch.counts()["rooms"] == [0, 0, 0]


@pytest.fixture
def lane(tmp_path: Path) -> Here:
    toys.table(tmp_path / "models", changes={"reference": (ROOMS, PRICE)})
    repository = Repository(Settings(models_dir=tmp_path / "models", threads=1), Metrics())
    (tmp_path / "shared").mkdir(mode=0o700)
    repository.metrics.shared = tmp_path / "shared"
    asyncio.run(repository.load())
    return lane_over(repository)


def ask(lane: Here, counts: dict[int, int]) -> None:
    chance = np.random.default_rng(0)
    many = chance.permutation([rooms for rooms, count in counts.items() for _ in range(count)])
    body = {"rows": [{"rooms": int(rooms), "kind": "flat"} for rooms in many]}
    assert lane("POST", "/v1/tables/predict", json=body).status_code == 200


def of(lane: Here, feature: str) -> dict[str, object]:
    features = lane("GET", "/v1/models/toy-table/drift").json()["features"]
    return next(one for one in features if one["feature"] == feature)


def metrics_of(lane: Here, feature: str) -> dict[str, float]:
    lines = [line for line in lane("GET", "/metrics").text.splitlines() if f'feature="{feature}"' in line]
    return {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_a_shifted_column_shows_and_one_as_in_training_does_not(lane: Here) -> None:
    ask(lane, {1: 75, 4: 45, 8: 30})
    calm = of(lane, "rooms")
    assert calm["p_value"] == 1
    assert calm["counts"] == [75, 45, 30]
    ask(lane, {8: 100})
    for feature in ("rooms", "price"):
        shifted = of(lane, feature)
        assert shifted["rows"] == 250
        assert shifted["p_value"] < 1e-6
        assert shifted["psi"] > 5 * shifted["expected_psi"]


def test_the_metrics_say_the_same(lane: Here) -> None:
    ask(lane, {1: 75, 4: 45, 8: 80})
    told, series = of(lane, "rooms"), metrics_of(lane, "rooms")
    assert series == {
        "quartet_drift_rows": 200,
        "quartet_drift_psi": pytest.approx(told["psi"]),
        "quartet_drift_expected_psi": pytest.approx(told["expected_psi"]),
        "quartet_drift_p_value": pytest.approx(told["p_value"]),
    }


def test_of_few_rows_only_their_number_is_told(lane: Here) -> None:
    ask(lane, {8: LEAST_ROWS - 1})
    told = of(lane, "rooms")
    assert told["rows"] == LEAST_ROWS - 1
    assert told["psi"] is told["p_value"] is told["counts"] is None
    assert metrics_of(lane, "rooms") == {"quartet_drift_rows": LEAST_ROWS - 1}


def test_workers_add_up(lane: Here, tmp_path: Path) -> None:
    ask(lane, {1: 30})
    window = ["window", "toy-table", "1", "rooms"]
    (tmp_path / "shared" / "1.json").write_text(json.dumps({"counted": [], "levels": [[window, [0, 20, 10]]]}))
    told = of(lane, "rooms")
    assert (told["rows"], told["counts"]) == (60, [30, 20, 10])
    assert metrics_of(lane, "rooms")["quartet_drift_rows"] == 60


def test_a_picture_is_drawn_for_who_accepts_one(lane: Here) -> None:
    ask(lane, {1: 75, 4: 45, 8: 30})
    answer = lane("GET", "/v1/models/toy-table/drift", headers={"accept": "image/png"})
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-model"] == "toy-table"
    assert len(np.unique(np.asarray(Image.open(io.BytesIO(answer.content))).reshape(-1, 3), axis=0)) > 3


def test_drift_has_two_forms_and_models_that_there_are(lane: Here) -> None:
    refused = lane("GET", "/v1/models/toy-table/drift", headers={"accept": "text/csv"})
    assert_refused(refused, 406, "not_acceptable", "accept")
    assert_refused(lane("GET", "/v1/models/moon/drift"), 404, "unknown_model", "model")

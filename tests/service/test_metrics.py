"""Metrics count what happened, in the exposition format, under labels that no request can choose."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from service.engine.repository import Repository
from service.gpus import Gpu, gpus
from service.metric_families import SECONDS
from service.metrics import Metrics
from service.model_metrics import Histogram
from tests.conftest import Here, lane_over, npy

ONE = {"content": npy(np.zeros((1, 28, 28))), "headers": {"content-type": "application/x-npy"}}


def scraped(lane: Here) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = lane("GET", "/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def lane(repository: Repository) -> Here:
    return lane_over(repository)


TOY = (("model", "toy-digits"), ("version", "1"))


def test_every_stage_of_an_answer_is_counted_once(lane: Here) -> None:
    before = scraped(lane)
    for _ in range(3):
        assert lane("POST", "/v1/digits/classify?model=toy-digits", **ONE).status_code == 200
    after = scraped(lane)
    for stage in ("decode", "queue", "infer", "encode"):
        key = ("quartet_stage_seconds_count", tuple(sorted((*TOY, ("stage", stage)))))
        assert after[key] - before.get(key, 0) == 3
    key = ("quartet_requests_total", tuple(sorted((*TOY, ("outcome", "ok")))))
    assert after[key] - before.get(key, 0) == 3


def test_a_refusal_is_counted_by_its_code(lane: Here) -> None:
    key = ("quartet_errors_total", (("code", "empty_body"), ("endpoint", "classify_digits")))
    before = scraped(lane).get(key, 0)
    lane("POST", "/v1/digits/classify")
    assert scraped(lane)[key] - before == 1


def test_every_answer_is_timed_by_its_endpoint_and_status(lane: Here) -> None:
    keys = [
        ("quartet_request_seconds_count", (("endpoint", "classify_digits"), ("status", status)))
        for status in ("200", "400")
    ]
    before = scraped(lane)
    lane("POST", "/v1/digits/classify?model=toy-digits", **ONE)
    lane("POST", "/v1/digits/classify")
    after = scraped(lane)
    assert [after[key] - before.get(key, 0) for key in keys] == [1, 1]


def test_no_label_comes_from_a_request(lane: Here) -> None:
    lane("POST", "/v1/digits/classify?model=invented", **ONE)
    lane("POST", "/v1/models/invented/predict", json={"inputs": {}})
    lane("GET", "/v1/models/invented")
    lane("GET", "/invented")
    assert "invented" not in lane("GET", "/metrics").text


def test_nothing_is_in_flight_or_queued_when_nothing_is_asked(lane: Here) -> None:
    levels = {key: value for key, value in scraped(lane).items() if "queued" in key[0] or "running" in key[0]}
    assert levels
    assert set(levels.values()) == {0}


@given(st.lists(st.floats(0, 100), max_size=50))
def test_a_histogram_counts_each_observation_in_its_bucket(observed: list[float]) -> None:
    histogram = Histogram(SECONDS)
    for value in observed:
        histogram.observe(value)
    *counts, total = histogram.values()
    upper = np.array([*SECONDS, np.inf])
    expected = [sum(value <= bound for value in observed) for bound in upper]
    assert np.cumsum(counts).tolist() == expected
    assert total == pytest.approx(sum(observed))


def test_a_worker_that_has_died_is_counted_with_what_it_had_counted(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    snapshot = {"counted": [[["quartet_requests", "digits", "1", "ok"], [5]]], "levels": [[["quartet_workers"], [1]]]}
    (tmp_path / f"{int(gone.stdout)}.json").write_text(json.dumps(snapshot))
    metrics = Metrics()
    metrics.shared = tmp_path
    page = asyncio.run(metrics.page()).decode()
    assert "\nquartet_lost_workers_total 1.0\n" in page
    assert "\nquartet_workers 1.0\n" in page
    assert '\nquartet_requests_total{model="digits",outcome="ok",version="1"} 5.0\n' in page


def test_gpus_are_told_of_once_whatever_the_number_of_workers(tmp_path: Path) -> None:
    metrics = Metrics()
    metrics.shared = tmp_path
    metrics.gpus = lambda: [Gpu("0", 3 * 2**30, 80 * 2**30, 0.25)]
    other = {"counted": [], "levels": [[["quartet_workers"], [1]]]}
    (tmp_path / f"{os.getppid()}.json").write_text(json.dumps(other))
    page = asyncio.run(metrics.page()).decode()
    assert 'quartet_gpu_memory_bytes{gpu="0"} 3.221225472e+09' in page
    assert 'quartet_gpu_memory_size_bytes{gpu="0"} 8.589934592e+10' in page
    assert 'quartet_gpu_busy_ratio{gpu="0"} 0.25' in page
    assert "quartet_workers 2.0" in page


def test_without_a_driver_there_are_none() -> None:
    assert all(one.size > 0 for one in gpus())

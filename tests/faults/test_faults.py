"""What `python -m load_tests.faults` does at length, in short: under load nothing accepted is lost or wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from load_tests.faults import scenes
from load_tests.model_folder import SPOILS, ModelFolder
from load_tests.serving import Serving

Service = tuple[Serving, ModelFolder]


def serve(folder: Path, workers: int) -> Iterator[Service]:
    models = ModelFolder(folder)
    serving = scenes.serve(folder, models, workers)
    yield serving, models
    serving.terminate()
    assert serving.ended() == 0, serving.log


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from serve(tmp_path_factory.mktemp("one"), workers=1)


@pytest.fixture
def two_workers(tmp_path: Path) -> Iterator[Service]:
    yield from serve(tmp_path, workers=2)


def test_a_hot_swap_loses_no_request_and_never_goes_back(service: Service) -> None:
    assert scenes.hot_swaps(*service, 5).violations == []


def test_a_broken_bundle_leaves_the_old_version_serving(service: Service) -> None:
    assert scenes.broken_bundles(*service, len(SPOILS)).violations == []


def test_clients_that_hang_up_leave_nothing_behind(service: Service) -> None:
    assert scenes.disconnects(*service, 200).violations == []


def test_large_rows_that_come_to_nothing_leave_nothing_behind(service: Service) -> None:
    assert scenes.large_rows(*service, 3).violations == []


def test_overload_is_refused_at_once_and_does_not_slow_what_is_accepted(service: Service) -> None:
    assert scenes.overload(*service, 2, slack=40).violations == []


def test_a_restart_loses_no_accepted_request(service: Service) -> None:
    assert scenes.restarts(*service, 2).violations == []


def test_a_killed_worker_takes_only_its_own_requests_with_it(two_workers: Service) -> None:
    assert scenes.worker_kills(*two_workers, 2).violations == []

"""Tuning picks what is clearly faster, and a profile is checked when it is read."""

import json
from pathlib import Path

import pytest

from service.engine.tune import Measurement, Profile, Tuning, best, read_profile, tune
from service.settings import Settings, SettingsError
from tests import toys


def measured(rows_per_s: float, threads: int = 1, instances: int = 1, max_batch: int = 8) -> Measurement:
    tuning = Tuning(threads=threads, instances=instances, max_batch=max_batch)
    return Measurement(tuning=tuning, rows_per_s=rows_per_s, latency_ms=1, cpu_ms=1)


def test_the_fastest_wins_where_it_is_clearly_faster() -> None:
    assert best([measured(100), measured(200, max_batch=64)]).rows_per_s == 200


def test_of_equals_the_smaller_wins() -> None:
    assert best([measured(100, max_batch=8), measured(102, max_batch=64)]).tuning.max_batch == 8
    assert best([measured(100, threads=1), measured(102, threads=2)]).tuning.threads == 1


def test_a_profile_of_real_measurements_is_read_back(toy_models: Path, tmp_path: Path) -> None:
    profile = tune(Settings(models_dir=toy_models), ["toy-ct"], seconds=0.005)
    (tmp_path / "profile.json").write_text(profile.model_dump_json())
    assert read_profile(tmp_path / "profile.json") == profile
    assert list(profile.models) == ["toy-ct"]


def test_a_batch_may_be_larger_than_the_bundle_suggests_where_that_is_faster(tmp_path: Path) -> None:
    toys.tensors(tmp_path, changes={"max_batch": 1})  # a graph that takes no time
    profile = tune(Settings(models_dir=tmp_path), [], seconds=0.03)
    assert profile.models["toy-tensors"].max_batch > 1


def test_without_a_profile_nothing_is_tuned() -> None:
    assert read_profile(None) == Profile()


@pytest.mark.parametrize("content", [None, "{", '{"speed": "high"}'])
def test_a_file_that_is_no_profile_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "profile.json").write_text(content)
    with pytest.raises(SettingsError, match="QUARTET_PROFILE"):
        read_profile(tmp_path / "profile.json")


def test_what_is_wrong_in_a_profile_is_named(tmp_path: Path) -> None:
    tuning = {"threads": 1, "max_batch": 8, "max_delay_ms": 0.0}
    (tmp_path / "profile.json").write_text(json.dumps({"models": {"convnet": tuning}}))
    with pytest.raises(SettingsError, match=r"models\.convnet\.max_delay_ms.*service tune"):
        read_profile(tmp_path / "profile.json")

"""Tuning picks what is clearly faster, and a profile is checked when it is read."""

import json
from pathlib import Path
from time import sleep

import numpy as np
import pytest
from pydantic import ValidationError

from service.bundle import MAIN, Arrays, Bundle
from service.engine.loaded_model import LoadedModel
from service.engine.profile import Measurement, Profile, Tuning, Tunings, read_profile
from service.engine.tune import best, first_fast, tune, with_buckets
from service.model_metrics import ModelMetrics
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
    assert list(profile.of("cpu").models) == ["toy-ct"]


def test_what_was_measured_under_another_provider_stays(toy_models: Path) -> None:
    elsewhere = Tunings(machine="other", models={"toy-ct": Tuning(threads=1, max_batch=8, buckets=(1, 8))})
    before = Profile(providers={"cuda": elsewhere, "cpu": Tunings(machine="old")})
    profile = tune(Settings(models_dir=toy_models), ["toy-ct"], 0.002, before)
    assert profile.of("cuda") == elsewhere
    assert profile.of("cpu").machine != "old"


def test_a_model_is_run_as_the_profile_has_it_for_its_provider(tmp_path: Path) -> None:
    bundle = Bundle(toys.digits(tmp_path))
    here, there = Tuning(threads=1, max_batch=3), Tuning(threads=1, max_batch=5, buckets=(5,))
    tunings = {one: Tunings(models={"toy-digits": tuning}) for one, tuning in (("cpu", here), ("cuda", there))}
    model = LoadedModel(bundle, Settings(threads=1), ModelMetrics(), Profile(providers=tunings))
    assert model.tuning == here
    own = bundle.manifest.graphs[MAIN].max_batch
    only_there = Profile(providers={"cuda": tunings["cuda"]})
    assert LoadedModel(bundle, Settings(threads=1), ModelMetrics(), only_there).tuning.max_batch == own


def test_a_profile_from_before_there_were_providers_is_of_the_cpu(tmp_path: Path) -> None:
    old = {"machine": "m", "models": {"convnet": {"threads": 1, "max_batch": 8}}, "measured": {}}
    (tmp_path / "profile.json").write_text(json.dumps(old))
    assert read_profile(tmp_path / "profile.json").tuning("convnet", "cpu") == Tuning(threads=1, max_batch=8)


class Device:
    """Behind buckets, as on a GPU; only the smallest ones are quick."""

    provider = "cpu"

    def __init__(self, way: Tuning) -> None:
        self.buckets = way.buckets

    def run(self, inputs: Arrays) -> Arrays:
        sleep(0.01 * (next(size for size in self.buckets if size >= len(inputs["x"])) > 4))
        return inputs


def test_buckets_that_are_faster_are_taken() -> None:
    assert len(with_buckets(Tuning(threads=1, max_batch=16), Device, {"x": np.ones((1, 2))}).buckets) > 1


@pytest.mark.parametrize(("took", "first"), [((1, 1, 1), 0), ((1.04, 1, 1), 0), ((1.2, 1.01, 1), 1), ((3, 2, 1), 2)])
def test_more_buckets_are_taken_where_they_are_clearly_faster(took: tuple[float, ...], first: int) -> None:
    ways = [Tuning(threads=1, max_batch=8, buckets=buckets) for buckets in ((8,), (2, 8), (1, 2, 4, 8))]
    assert first_fast(ways, took) is ways[first]


@pytest.mark.parametrize("buckets", [(2, 1, 8), (1, 4), (0, 8), (1, 1, 8)])
def test_buckets_grow_to_the_largest_batch(buckets: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="buckets must grow"):
        Tuning(threads=1, max_batch=8, buckets=buckets)


def test_a_batch_may_be_larger_than_the_bundle_suggests_where_that_is_faster(tmp_path: Path) -> None:
    toys.tensors(tmp_path, changes={"max_batch": 1})  # a graph that takes no time
    profile = tune(Settings(models_dir=tmp_path), [], seconds=0.03)
    assert profile.of("cpu").models["toy-tensors"].max_batch > 1


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

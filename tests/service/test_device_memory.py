"""The sessions of a process have shares of a GPU's memory that together are what it may take."""

from pathlib import Path

from service.bundle import MAIN, Bundle
from service.engine.device_memory import share_of
from service.engine.profile import SIDE_BY_SIDE
from service.settings import Settings
from tests import toys

BOUND = 2**30


def test_the_shares_are_within_the_bound_and_nearly_all_of_it(tmp_path: Path) -> None:
    bundles = [Bundle(make(tmp_path)) for make in (toys.digits, toys.wary, toys.tensors, toys.series)]
    settings = Settings(models_dir=tmp_path, gpu_memory=BOUND)
    together = sum(
        share_of(one, settings, graph) * (SIDE_BY_SIDE if graph == MAIN else 1)
        for one in bundles
        for graph in one.manifest.graphs
    )
    assert 0.99 * BOUND < together <= BOUND


def test_who_runs_larger_items_may_take_more(tmp_path: Path) -> None:
    large, small = Bundle(toys.ct(tmp_path)), Bundle(toys.tensors(tmp_path))
    settings = Settings(models_dir=tmp_path, gpu_memory=BOUND)
    assert share_of(large, settings, MAIN) > 10 * share_of(small, settings, MAIN)


def test_models_that_are_not_served_take_nothing(tmp_path: Path) -> None:
    bundle = Bundle(toys.digits(tmp_path))
    toys.ct(tmp_path)
    chosen = Settings(models_dir=tmp_path, gpu_memory=BOUND, models=("toy-digits",))
    assert share_of(bundle, chosen, MAIN) == BOUND // SIDE_BY_SIDE
    assert share_of(bundle, Settings(models_dir=tmp_path, gpu_memory=BOUND), MAIN) < BOUND // SIDE_BY_SIDE


def test_without_a_bound_there_is_none(tmp_path: Path) -> None:
    assert share_of(Bundle(toys.digits(tmp_path)), Settings(models_dir=tmp_path), MAIN) == 0

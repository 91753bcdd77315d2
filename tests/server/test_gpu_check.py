"""The check of a GPU says what is wrong, and runs where there is none."""

from pathlib import Path

import numpy as np
import pytest

from load_tests import gpu_check, sharing
from load_tests.gpu_check import COMMANDS, Ran, check, compared, markdown
from service.settings import Settings
from tests import toys


def test_a_dry_run_on_the_cpu_finds_nothing_wrong(tmp_path: Path) -> None:
    for make in (toys.digits, toys.tensors, toys.series, toys.sentences):
        make(tmp_path / "models")
    report = tmp_path / "build" / "report.md"
    assert check(Settings(models_dir=tmp_path / "models"), [], report)
    assert "toy-digits" in report.read_text()


def test_models_can_be_chosen(tmp_path: Path) -> None:
    for make in (toys.digits, toys.tensors):
        make(tmp_path)
    (row,) = compared(Settings(models_dir=tmp_path, models=("toy-tensors",)))
    assert (row["model"], row["provider"], row["right"]) == ("toy-tensors", "cpu", True)


@pytest.mark.parametrize(
    ("there", "far"),
    [(np.array([1.0, 2.0]), 0.0), (np.array([1.0, 2.5]), 0.25), (np.array([1.0, np.nan]), 1.0), (np.ones(3), 1.0)],
)
def test_outputs_are_compared_by_shape_and_value(there: np.ndarray, far: float) -> None:
    assert gpu_check._difference({"x": there}, {"x": np.array([1.0, 2.0])}) == far


def test_a_command_that_fails_is_in_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "tests", ["-c", "print('poison'); raise SystemExit(3)"])
    toys.tensors(tmp_path / "models")
    report = tmp_path / "report.md"
    assert not check(Settings(models_dir=tmp_path / "models"), ["tests"], report)
    assert "## Tests: status 3" in report.read_text()
    assert "poison" in report.read_text()


def test_one_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "bench", ["-c", "print('begun', flush=True); import time; time.sleep(60)"])
    monkeypatch.setitem(gpu_check.LIMIT_S, "bench", 1)
    ran = gpu_check.run("bench", "cpu")
    assert ran.status is None
    assert "its time was up" in markdown("cpu", [{"model": "none"}], [Ran("bench", None, 1.0, ran.said)])


def test_what_reading_costs_beside_the_graph_is_measured(tmp_path: Path) -> None:
    toys.digits(tmp_path, name="convnet")
    rows = list(sharing.readings(Settings(models_dir=tmp_path)))
    assert [(row["model"], row["form"]) for row in rows] == [("convnet", form) for form in ("JSON", "npy", "PNG")]
    assert all(row[stage] > 0 for row in rows for stage in ("read", "run", "write"))

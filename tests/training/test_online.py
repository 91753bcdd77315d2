"""A line that learns row by row: it ends where least squares does, and a new version goes on from the one before."""

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

from service.bundle import Bundle, write_current
from service.engine.repository import Repository
from service.metrics import Metrics
from service.settings import Settings
from training.__main__ import main
from training.export.parity import Predictor
from training.export.store import committed, models_directory
from training.kinds import online
from training.kinds.online import Statistics
from training.kinds.tabular import normal_equation
from training.recipes.regress.linear_profit import cities
from training.recipes.regress.online_linear import streamed

NEW = np.array([[5.0, 3.0], [8.0, 6.5], [21.0, 20.0]])


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the committed bundle, which may be changed."""
    shutil.copytree(models_directory() / "online-linear", tmp_path / "models" / "online-linear")
    monkeypatch.setenv("QUARTET_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    np.savetxt(path, NEW, delimiter=",", header="population,profit", comments="")
    return path


def answer(found: Bundle, population: float) -> float:
    row = np.array([[population]], np.float32)
    return float(Predictor(found.graph)({"row": row})["values"][0, 0])


def test_all_rows_one_by_one_are_least_squares() -> None:
    x, y = cities()
    assert streamed().statistics.theta == pytest.approx(normal_equation(x, y), rel=1e-3)
    assert answer(committed("online-linear"), 10) == pytest.approx(normal_equation(x, y) @ [1, 10], rel=1e-3)


def test_regret_is_what_hindsight_would_have_saved() -> None:
    x, y = cities()
    course = streamed()
    design = np.column_stack([np.ones(len(x)), x])
    hindsight = np.square(design @ normal_equation(x, y) - y).sum()
    assert course.regrets[-1] == pytest.approx(np.square(course.errors).sum() - hindsight, rel=1e-3)
    assert course.regrets.min() >= -1e-9


def test_what_is_remembered_survives_its_file() -> None:
    kept = streamed().statistics
    again = Statistics.parse(kept.json())
    assert (again.rows, again.theta.tolist()) == (97, kept.theta.tolist())


def updated(models: Path, rows: Path) -> None:
    """Learn the rows and serve what came of it."""
    main(["update", "online-linear", str(rows)])
    latest = max(path.name for path in (models / "online-linear").iterdir() if path.is_dir())
    write_current(models, "online-linear", latest)


def test_an_update_is_what_all_rows_together_give(models: Path, rows: Path) -> None:
    before = committed("online-linear")
    updated(models, rows)
    after = committed("online-linear")
    x, y = cities()
    theta = normal_equation(np.vstack([x, NEW[:, :1]]), np.concatenate([y, NEW[:, 1]]))
    assert answer(after, 10) == pytest.approx(theta @ [1, 10], rel=1e-3)
    assert answer(after, 10) != answer(before, 10)
    start = after.manifest.provenance.start
    assert start is not None
    assert (start.version, Statistics.parse(after.asset("statistics")).rows) == (before.manifest.version, 100)


def test_a_service_that_runs_answers_by_the_new_version(models: Path, rows: Path) -> None:
    repository = Repository(Settings(models_dir=models, threads=1), Metrics())

    async def served() -> list[str]:
        await repository.load()
        first = repository.models["online-linear"].manifest.version
        updated(models, rows)
        await repository.refresh()
        return [first, repository.models["online-linear"].manifest.version]

    first, second = asyncio.run(served())
    assert second == committed("online-linear").manifest.version != first


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("population,profit\n", "has no rows"),
        ("population\n3\n", "line 2: profit must be a number, got None"),
        ("population,profit\n3,4\nmany,4\n", "line 3: population must be a number, got 'many'"),
        ("population,profit\n3,4\n-2,4\n", "line 3: population must be from 0 to 100"),
    ],
)
def test_rows_that_cannot_be_learned_are_named(models: Path, tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(content)
    with pytest.raises(SystemExit, match=says):
        main(["update", "online-linear", str(path)])
    assert len(list((models / "online-linear").iterdir())) == 2


def test_a_model_that_cannot_is_told_so(rows: Path) -> None:
    with pytest.raises(SystemExit, match="cannot learn rows one by one"):
        main(["update", "linear-profit", str(rows)])


def test_one_row_alone_decides_nothing() -> None:
    course = online.learn(Statistics.nothing(1), np.array([[2.0]]), np.array([10.0]))
    assert np.isfinite(course.statistics.theta).all()

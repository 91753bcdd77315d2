"""Models of scikit-learn become bundles that answer as they did, by the way of the tutorial."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.linear_model import LinearRegression

from service.bundle import Attribute, Metric, Provenance, Quantity, TabularPrediction
from tests.conftest import lane_over
from tests.service.conftest import loaded
from training.data import portland_housing
from training.export import foreign
from training.export.graph import ExportError

skl2onnx = pytest.importorskip("skl2onnx")
ATTRIBUTES = (
    Attribute(name="area", description="living area", range=(300, 10_000)),
    Attribute(name="bedrooms", description="number of them", range=(1, 10)),
)
PRICE = TabularPrediction(attributes=ATTRIBUTES, quantities=(Quantity(name="price", description="asked for"),))
DEAR = TabularPrediction(attributes=ATTRIBUTES, labels=("cheap", "dear"))
PAGE = Path(__file__).parents[2] / "docs" / "train-a-model.md"
MADE = Provenance(
    recipe="by hand",
    command="by hand",
    git_commit="none",
    seed=0,
    hyperparameters={},
    sources=(),
    libraries={},
    device="cpu",
    seconds=0,
)


def houses() -> tuple[np.ndarray, np.ndarray]:
    table = portland_housing()
    return table[:, :2].astype(np.float32), table[:, 2]


def kept(graph: Any, task: TabularPrediction, models: Path) -> None:
    foreign.write(
        graph,
        models=models,
        name="mine",
        version="1",
        description="Mine.",
        task=task,
        rows=houses()[0][:4],
        metrics=(Metric(name="error", value=1, low=0, high=2, count=47),),
        provenance=MADE,
    )


def asked(models: Path, count: int) -> list[dict[str, Any]]:
    rows = [dict(zip(("area", "bedrooms"), row.tolist(), strict=True)) for row in houses()[0][:count]]
    answer = lane_over(loaded(models))("POST", "/v1/tables/predict", json={"rows": rows})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "model", [LinearRegression(), GradientBoostingRegressor(n_estimators=20)], ids=["line", "trees"]
)
def test_a_regressor_answers_as_it_did(model: Any, tmp_path: Path) -> None:
    x, y = houses()
    model.fit(x, y)
    kept(skl2onnx.to_onnx(model, x[:1]), PRICE, tmp_path)
    given = [one["values"]["price"] for one in asked(tmp_path, 9)]
    assert given == pytest.approx(model.predict(x[:9]), rel=1e-4)


def test_a_classifier_answers_as_it_did(tmp_path: Path) -> None:
    x, y = houses()
    model = GradientBoostingClassifier(n_estimators=10).fit(x, y > 300_000)
    kept(skl2onnx.to_onnx(model, x[:1], options={"zipmap": False}), DEAR, tmp_path)
    given = [one["probabilities"] for one in asked(tmp_path, 9)]
    assert np.allclose(given, model.predict_proba(x[:9]), atol=1e-5)


def test_a_graph_that_gives_no_tensor_is_refused_with_what_to_do(tmp_path: Path) -> None:
    x, y = houses()
    graph = skl2onnx.to_onnx(GradientBoostingClassifier(n_estimators=2).fit(x, y > 300_000), x[:1])
    with pytest.raises(ExportError, match="zipmap=False"):
        kept(graph, DEAR, tmp_path)
    assert not (tmp_path / "mine" / "CURRENT").exists()


def test_the_script_of_the_tutorial_writes_a_bundle_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = PAGE.read_text(encoding="utf-8").split("## A model of scikit-learn")[1]
    script = re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)[0]
    monkeypatch.chdir(tmp_path)
    exec(compile(script, "tutorial", "exec"), {})
    (answer,) = asked_boats(tmp_path / "models")
    assert 20 < answer["values"]["price"] < 131


def asked_boats(models: Path) -> list[dict[str, Any]]:
    body = {"rows": [{"length": 8, "beam": 2.8}]}
    return lane_over(loaded(models))("POST", "/v1/tables/predict", json=body).json()["predictions"]  # type: ignore[no-any-return]

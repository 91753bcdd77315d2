"""The served preparation and the committed `digits` read scenes of the kinds that once were hardest."""

import pytest

from training.data import mnist
from training.export.parity import Predictor
from training.export.store import committed
from training.images.scenes import scenes
from training.measures.scenes import score


@pytest.fixture(scope="module")
def predict() -> Predictor:
    return Predictor.of(committed("digits"))


@pytest.mark.parametrize(("kind", "fewest"), [("touching digits", 13), ("desk, dark grid, hard shadow", 17)])
def test_hard_scenes_are_read(predict: Predictor, kind: str, fewest: int) -> None:
    assert score(kind, scenes(kind, mnist().test, 20), predict).right >= fewest

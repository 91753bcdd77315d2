"""A card says what the manifest says, with pictures that are small enough to commit."""

import io

import numpy as np
import pytest
from PIL import Image

from service.bundle import Metric, Start
from training import recipe
from training.data import mnist
from training.export.store import committed
from training.report import card, pictures


def opened(png: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(png))
    picture.load()
    assert picture.format == "PNG"
    return picture


def test_a_figure_is_shown_with_its_unit_and_interval() -> None:
    metric = Metric(name="gain", value=4.5678, low=4.1, high=5, count=61, unit="dB")
    assert card.figure(metric) == "gain 4.568 dB [4.1, 5]"


def test_a_card_shows_the_learning_curve_first() -> None:
    bundle = committed("convnet")
    first, *others = card.pictures_in(bundle.path)
    assert (first, others) == ("learning-curve.png", sorted(others))
    assert card.caption("worst-mistakes.png") == "Worst mistakes"


def test_a_card_names_the_data_its_licence_and_how_to_train_again() -> None:
    made = committed("convnet")
    text = card.render(made.manifest, recipe.load("convnet").about, [])
    assert "`python -m training run convnet`" in text
    for source in made.manifest.provenance.sources:
        assert all(fact in text for fact in (source.address, source.licence, source.sha256))


def test_a_card_tells_the_commit_of_the_export_only_where_it_is_another() -> None:
    found = committed("convnet").manifest
    made = found.provenance.model_copy(update={"git_commit": "1234567", "exported_at": None})
    same, later = (
        card.render(found.model_copy(update={"provenance": provenance}), "", [])
        for provenance in (made, made.model_copy(update={"exported_at": "89abcde"}))
    )
    assert "exported at" not in same
    assert later == same.replace("| git commit | 1234567 |", "| git commit | 1234567 |\n| exported at | 89abcde |")


def test_a_card_tells_whose_weights_a_training_began_with() -> None:
    found = committed("convnet").manifest
    start = Start(version="20260101-000000", sha256="ab" * 32)
    begun = found.model_copy(update={"provenance": found.provenance.model_copy(update={"start": start})})
    assert "began with" not in card.render(found, "", [])
    assert f"| began with | 20260101-000000, graph sha256 `{'ab' * 32}` |" in card.render(begun, "", [])


@pytest.mark.parametrize("epochs", [1, 40])
def test_a_learning_curve_has_a_panel_for_each_quantity(epochs: int) -> None:
    rows = [{"epoch": epoch + 1, "train_loss": 1 / (epoch + 1), "validation_loss": 1.0} for epoch in range(epochs)]
    one = opened(pictures.learning_curve(rows))
    two = opened(pictures.learning_curve([row | {"validation_error": 0.1} for row in rows]))
    assert two.width == pytest.approx(2 * one.width, abs=2)


def test_a_sheet_of_digits_is_small_and_shows_black_and_white() -> None:
    sheet = pictures.image_sheet(mnist().test.pixels[:120], columns=12, row_names=[str(row) for row in range(10)])
    assert len(sheet) < 60_000
    assert opened(sheet).convert("L").getextrema() == (0, 255)


def test_a_confusion_matrix_is_drawn_for_a_model_without_mistakes() -> None:
    truth = np.arange(10).repeat(3)
    assert opened(pictures.confusion_matrix(truth, truth, range(10))).width > 300

"""What people draw, scan and photograph comes as the service would show it to a model, the same under a seed."""

import numpy as np
import pytest
from numpy.random import Generator

from training.data import Images, mnist
from training.images.drawings import DIGITS, RULED, any_pen, drawn_digits, drawn_others, ruled_digits, ruled_page
from training.images.fonts import HANDWRITING, LIKE_DIGITS, OTHER_HANDWRITING, OTHER_LETTERS, SIGNS, handwritten
from training.images.pages import empty_sheets, photographs, scans
from training.measures import canvas


@pytest.fixture
def generator() -> Generator:
    return np.random.default_rng(1)


@pytest.fixture(scope="module")
def some() -> Images:
    digits = mnist().test
    return Images(digits.pixels[:30], digits.labels[:30])


def fills_its_box(pixels: np.ndarray) -> bool:
    """Whether every picture is as large as MNIST's digits are, and bright somewhere."""
    drawn = pixels > 0
    longer = np.maximum(drawn.any(axis=2).sum(axis=1), drawn.any(axis=1).sum(axis=1))
    return bool((longer >= 19).all() and (longer <= 21).all() and (pixels.max(axis=(1, 2)) > 200).all())


@pytest.mark.parametrize("draw", [drawn_digits, ruled_digits])
def test_every_digit_is_drawn_as_often_and_found(draw: type, generator: Generator) -> None:
    digits = draw(4, generator)
    assert len(DIGITS) == len(RULED) == 10
    assert np.bincount(digits.labels).tolist() == [4] * 10
    assert fills_its_box(digits.pixels)
    assert len(np.unique(digits.pixels, axis=0)) == 40


def test_the_same_seed_draws_the_same(generator: Generator) -> None:
    again = np.random.default_rng(1)
    assert np.array_equal(drawn_digits(2, generator).pixels, drawn_digits(2, again).pixels)
    assert np.array_equal(drawn_others(3, generator), drawn_others(3, again))


def test_pens_are_thin_and_thick_on_light_and_on_dark_ground(generator: Generator) -> None:
    pens = [any_pen(generator) for _ in range(200)]
    widths = [pen.width / 280 for pen in pens]
    assert min(widths) < 0.012 < 0.1 < max(widths)
    assert {pen.light for pen in pens} == {pen.smooth for pen in pens} == {True, False}


def test_signs_and_scribbles_are_found(generator: Generator) -> None:
    assert drawn_others(10, generator).shape == (20, 28, 28)


@pytest.mark.parametrize("side", [16, 8])
def test_scans_are_those_digits_in_their_order(some: Images, side: int) -> None:
    found = scans(some, side)
    assert np.array_equal(found.labels, some.labels)
    assert fills_its_box(found.pixels)
    assert _alike(found.pixels, some.pixels) > 0.6


def test_photographs_are_of_those_digits(some: Images, generator: Generator) -> None:
    found = photographs(some, generator)
    assert np.array_equal(found.labels, some.labels)
    assert _alike(found.pixels, some.pixels) > 0.6


def test_empty_sheets_have_nothing_or_marks(generator: Generator) -> None:
    sheets = empty_sheets(20, generator)
    assert sheets.shape[1:] == (28, 28)
    assert 0 < len(sheets) <= 20


def test_handwriting_differs_each_time_and_its_typefaces_are_trained_or_measured(generator: Generator) -> None:
    found = handwritten(OTHER_HANDWRITING[:2], "07", 3, generator)
    assert found.labels.tolist() == [0, 0, 0, 1, 1, 1] * 2
    assert len(np.unique(found.pixels, axis=0)) == 12
    assert set(HANDWRITING).isdisjoint(OTHER_HANDWRITING)


def test_a_letter_is_either_like_a_digit_or_another() -> None:
    assert set(LIKE_DIGITS).isdisjoint(OTHER_LETTERS)
    assert len(LIKE_DIGITS + OTHER_LETTERS) == 52
    assert set(LIKE_DIGITS).isdisjoint(SIGNS)
    assert set("OolI") <= set(LIKE_DIGITS)


def _alike(these: np.ndarray, those: np.ndarray) -> float:
    """The mean correlation of pictures with their counterparts."""
    return float(np.mean([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(these, those, strict=True)]))


def test_a_drawing_counts_that_is_read_rightly_and_accepted(generator: Generator) -> None:
    ink = [255 - ruled_page(label, 8, generator) for label in (1, 1, 7)]
    blank = np.full((280, 280), 255, np.uint8)

    def predict(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Takes all for a 1, and the second for none."""
        assert inputs["image"].shape == (3, 28, 28)
        return {"probabilities": np.eye(10)[[1, 1, 1]], "familiarity": np.array([1, -1, 1])}

    assert canvas.score("1", [*ink, blank], predict, 1) == canvas.Score("1", 4, 2, 2)
    assert canvas.score("other", [*ink, blank], predict) == canvas.Score("other", 4, 0, 2)
    assert canvas.score("nothing", [blank], predict) == canvas.Score("nothing", 1, 0, 0)

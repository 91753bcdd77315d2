"""Printed characters and small digits look like MNIST's: same size, same place, white on black."""

import numpy as np
import pytest

from training.data import Images, mnist, multifeature_digits, small_digits
from training.images.digit_form import as_mnist, enlarged
from training.images.fonts import STYLES, dingbats, printed
from training.images.outliers import outliers


@pytest.fixture(scope="module")
def digits() -> Images:
    return printed("matplotlib-fonts", "0123456789")


def test_every_face_prints_every_character_in_every_style(digits: Images) -> None:
    assert digits.pixels.shape == (20 * len(STYLES) * 10, 28, 28)
    assert (np.bincount(digits.labels) == 20 * len(STYLES)).all()
    assert len(np.unique(digits.pixels, axis=0)) > 0.99 * len(digits)


def test_what_is_not_mnist_is_brought_to_its_form(digits: Images) -> None:
    for images in (digits, enlarged(multifeature_digits(), aspect=1.5), enlarged(small_digits().test)):
        drawn = images.pixels > 0
        rows, columns = drawn.any(axis=2).sum(axis=1), drawn.any(axis=1).sum(axis=1)
        assert np.maximum(rows, columns).max() == 20
        assert (images.pixels.max(axis=(1, 2)) == 255).all()
        mass = images.pixels.sum(axis=(1, 2))
        centre = (images.pixels.sum(axis=1) * np.arange(28)).sum(axis=1) / mass
        assert centre.mean() == pytest.approx(14, abs=0.3)


def test_mnist_itself_has_that_form() -> None:
    test = mnist().test.pixels[:200]
    again = np.stack([as_mnist(digit) for digit in test])
    assert np.abs(again.astype(float) - test).mean() < 8


def test_dingbats_are_no_letters() -> None:
    signs, letters = dingbats("postscript-fonts"), printed("postscript-fonts", "abc")
    assert len(np.unique(signs, axis=0)) > 80
    assert not any((sign == letters.pixels).all(axis=(1, 2)).any() for sign in signs)


def test_outliers_are_the_same_under_a_seed_and_hold_no_digit_as_it_was() -> None:
    digits = mnist().train.pixels[:100]
    first, second = (outliers("postscript-fonts", digits, seed=1, count=8) for _ in range(2))
    assert np.array_equal(first, second)
    assert not any((digit == first).all(axis=(1, 2)).any() for digit in digits)

"""Corruptions change digits as MNIST-C does, the same way every time."""

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data import mnist
from training.images.corruptions import CORRUPTIONS, corrupt


@pytest.fixture(scope="module")
def digits() -> NDArray[np.uint8]:
    return mnist().test.pixels[:20]


def test_there_are_the_fifteen_of_mnist_c() -> None:
    assert len(CORRUPTIONS) == 15


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_changes_every_digit_and_keeps_its_form(name: str, digits: NDArray[np.uint8]) -> None:
    changed = corrupt(name, digits)
    assert changed.dtype == np.uint8
    assert changed.shape == digits.shape
    assert (changed != digits).any(axis=(1, 2)).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_corrupts_the_same_way(name: str, digits: NDArray[np.uint8]) -> None:
    assert np.array_equal(corrupt(name, digits, seed=3), corrupt(name, digits, seed=3))


def test_a_scaled_digit_keeps_half_its_ink_and_its_centre(digits: NDArray[np.uint8]) -> None:
    ink, before = digits.sum((1, 2), np.float64), (digits * np.arange(28)).sum((1, 2), np.float64)
    changed = corrupt("scale", digits)
    less, after = changed.sum((1, 2), np.float64), (changed * np.arange(28)).sum((1, 2), np.float64)
    assert less / ink == pytest.approx(0.49, abs=0.05)
    assert after / less - 13.5 == pytest.approx(0.7 * (before / ink - 13.5), abs=0.15)


def test_translation_moves_three_pixels_along_both_axes(digits: NDArray[np.uint8]) -> None:
    moved = corrupt("translate", digits)
    for digit, other in zip(digits, moved, strict=True):
        moves = [(down, right) for down in (-3, 3) for right in (-3, 3)]
        inner = slice(3, -3)
        assert any(np.array_equal(np.roll(digit, move, (0, 1))[inner, inner], other[inner, inner]) for move in moves)


def test_stripes_invert_the_outer_quarters(digits: NDArray[np.uint8]) -> None:
    changed = corrupt("stripe", digits)
    assert np.array_equal(changed[:, :, 7:21], digits[:, :, 7:21])
    assert np.array_equal(changed[:, :, :7], 255 - digits[:, :, :7])


def test_impulses_are_black_or_white_and_hit_a_sixth_of_the_pixels(digits: NDArray[np.uint8]) -> None:
    changed = corrupt("impulse_noise", np.full_like(digits, 100))
    assert set(np.unique(changed)) == {0, 100, 255}
    assert (changed != 100).mean() == pytest.approx(0.17, abs=0.01)


def test_glass_swaps_pixels_of_neighbouring_columns_and_smooths_from_row_to_row_alone() -> None:
    right_half = np.zeros((5, 28, 28), np.uint8)
    right_half[:, :, 14:] = 255
    beside = corrupt("glass_blur", right_half)
    assert (beside[:, :, 16:] == 255).all()  # black is swapped to the right once in each round
    assert (beside[:, :, :12] > 0).any()  # white, from one swap to the next, further to the left
    below = corrupt("glass_blur", right_half.transpose(0, 2, 1))
    assert ((below[:, 16] > 200) & (below[:, 16] < 255)).any(axis=1).all()


def test_fog_is_nearly_half_as_uneven_at_half_the_distance() -> None:
    """The square of MNIST-C's decay, 1.4, is nearly 2; with the decay itself the ratio would be 1.3."""
    clouds = corrupt("fog", np.pad(np.zeros((30, 27, 27), np.uint8), ((0, 0), (0, 1), (0, 1)), constant_values=255))
    inside = clouds[:, :27, :27].astype(float)
    near, far = (np.abs(inside[:, step:] - inside[:, :-step]).mean() for step in (4, 8))
    assert far / near == pytest.approx(1.75, abs=0.1)

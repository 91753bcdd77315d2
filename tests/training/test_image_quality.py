"""Edges, contrast and noise of images are measured as they were made."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from training.images.anatomy import ANATOMIES
from training.measures.image_quality import contrast, noise_power, sharpness

GRID = (np.arange(128, dtype=np.float32) - 63.5) * 1.2


@pytest.fixture(scope="module")
def head() -> NDArray[np.float32]:
    return ANATOMIES["head"](np.random.default_rng(7)).draw(GRID, GRID)[None]


def test_noise_leaves_sharpness_and_a_blur_takes_it(head: NDArray[np.float32]) -> None:
    noise = np.random.default_rng(8).normal(0, 20, head.shape)
    assert sharpness(head, head) == pytest.approx(1)
    assert sharpness(head + noise, head) == pytest.approx(1, abs=0.03)
    assert sharpness(gaussian_filter(head, (0, 1, 1)), head) < 0.8
    assert np.isnan(sharpness(np.zeros((1, 64, 64)), np.zeros((1, 64, 64)))).all()


def test_contrast_is_the_difference_of_means() -> None:
    images = np.full((2, 8, 8), 50.0)
    images[:, 2:4, 2:4] += 20
    inside = np.zeros((8, 8), bool)
    inside[2:4, 2:4] = True
    assert contrast(images, inside, ~inside).tolist() == [20, 20]


def test_the_spectrum_of_white_noise_is_flat_and_holds_its_variance() -> None:
    noise = np.random.default_rng(9).normal(0, 10, (20, 64, 64))
    frequency, power = noise_power(noise, pixel_mm=0.5, bins=8)
    assert frequency[-1] < 1 < frequency[-1] + 0.13
    # 100 HU^2 over a plane of frequencies of 2 by 2 per mm.
    assert power == pytest.approx(np.full(8, 25.0), rel=0.1)

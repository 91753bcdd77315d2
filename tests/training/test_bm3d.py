"""Block matching takes more noise away than any filter that looks at one place, and more when told its spectrum."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from training.images.anatomy import ANATOMIES
from training.measures.bm3d import SIDE, bm3d, covariance_of

GRID = (np.arange(128, dtype=np.float32) - 63.5) * 1.5


def body() -> NDArray[np.float32]:
    return ANATOMIES["abdomen"](np.random.default_rng(4)).draw(GRID, GRID)


def noise(smooth: float) -> NDArray[np.float32]:
    """Pictures of it, with a deviation of 20 HU."""
    drawn = gaussian_filter(np.random.default_rng(5).standard_normal((8, 128, 128)), (0, smooth, smooth), mode="wrap")
    return (20 * drawn / drawn.std()).astype(np.float32)


def left(found: NDArray[np.float32]) -> float:
    return float((found - body()).std())


def test_the_covariance_of_white_noise_is_its_variance_alone() -> None:
    covariance = covariance_of(noise(0))
    assert covariance[SIDE - 1, SIDE - 1] == pytest.approx(400, rel=0.01)
    assert np.abs(np.delete(covariance.ravel(), covariance.size // 2)).max() < 10


def test_more_noise_goes_than_with_the_best_blur() -> None:
    low = body() + noise(0)[0]
    blurred = min(left(gaussian_filter(low, sigma)) for sigma in (0.5, 0.8, 1.1, 1.5))
    assert left(bm3d(low, covariance_of(noise(0)))) < 0.6 * blurred


def test_to_know_the_spectrum_helps() -> None:
    low, white = body() + noise(1)[0], np.zeros((2 * SIDE - 1, 2 * SIDE - 1))
    white[SIDE - 1, SIDE - 1] = 400
    assert left(bm3d(low, covariance_of(noise(1)))) < 0.9 * left(bm3d(low, white))

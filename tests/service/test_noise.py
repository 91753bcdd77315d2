"""The noise of a slice is found in what is even about it, whatever else the slice shows."""

import numpy as np
import pytest
from numpy.typing import NDArray

from service.codecs.noise import noise_hu, rms_hu


def drawn(side: int = 256) -> NDArray[np.float32]:
    """A body of two tissues in air, with ribs of bone."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    hu = np.where(x**2 + y**2 < 0.2, 40.0, -1000.0)
    hu[(x**2 + (y - 0.1) ** 2) < 0.02] = 110
    hu[(np.hypot(x, y) > 0.35) & (np.hypot(x, y) < 0.38) & (np.sin(20 * np.arctan2(y, x)) > 0)] = 900
    return hu.astype(np.float32)


@pytest.mark.parametrize("sigma", [2, 10, 50])
def test_white_noise_is_found_beside_edges(sigma: float) -> None:
    hu = drawn() + np.random.default_rng(1).normal(0, sigma, (256, 256)).astype(np.float32)
    assert noise_hu(hu) == pytest.approx(sigma, rel=0.1)


def test_what_has_no_noise_has_none() -> None:
    assert noise_hu(drawn()) == 0
    assert noise_hu(np.add.outer(np.arange(64.0), np.arange(64.0)).astype(np.float32)) == pytest.approx(0, abs=1e-3)


def test_air_is_looked_at_where_there_is_nothing_else() -> None:
    hu = np.random.default_rng(1).normal(-990, 15, (64, 64)).astype(np.float32)
    assert noise_hu(hu) == pytest.approx(15, rel=0.15)


def test_padding_does_not_count() -> None:
    hu = np.random.default_rng(1).normal(0, 8, (64, 64)).astype(np.float32)
    padding = np.zeros(hu.shape, bool)
    padding[:48] = True
    hu[padding] = 0
    assert noise_hu(hu, padding) == pytest.approx(8, rel=0.2)
    assert noise_hu(hu, np.ones_like(padding)) == 0
    assert rms_hu(np.where(padding, 100, 3).astype(np.float32), padding) == 3
    assert rms_hu(hu, np.ones_like(padding)) == 0


@pytest.mark.parametrize("shape", [(1, 1), (7, 100), (8, 8), (9, 17)])
def test_a_slice_may_be_small(shape: tuple[int, int]) -> None:
    assert noise_hu(np.full(shape, 40, np.float32)) == 0

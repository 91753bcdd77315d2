"""The CT denoiser: its patches, its network at any size, and what the committed bundle does to real slices."""

from functools import cache

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.export.parity import Predictor
from training.export.store import committed
from training.recipes.denoise import ct_denoiser
from training.recipes.denoise.ct_denoiser import RECIPE, Denoiser

HYPER = RECIPE.hyper


@cache
def golden_slices() -> NDArray[np.float32]:
    """Parts of real low-dose slices [4, 96, 128] in HU."""
    slices: NDArray[np.float32] = committed("ct-denoiser").golden()[0]["slice"]
    return slices


@cache
def predictor() -> Predictor:
    return Predictor(committed("ct-denoiser").graph)


def denoised(slices: NDArray[np.float32]) -> NDArray[np.float32]:
    return predictor()({"slice": slices})["denoised"]


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (38, 61), (65, 96)])
def test_the_network_keeps_any_size(size: tuple[int, int]) -> None:
    network = Denoiser(HYPER.widths)
    assert network(torch.zeros(2, *size)).shape == (2, *size)
    assert denoised(np.zeros((2, *size), np.float32)).shape == (2, *size)


@pytest.mark.parametrize("hu", [-1000.0, -850.0, -100.0, 0.0, 50.0])
def test_a_constant_slice_stays_constant(hu: float) -> None:
    change = denoised(np.full((1, 128, 128), hu, np.float32))[0] - hu
    assert abs(change[16:-16, 16:-16]).max() < 5
    assert abs(change.mean()) < 2


def test_metal_beyond_every_window_passes_through() -> None:
    slices = golden_slices().copy()
    slices[:, 20:24, 30:34] = 8000
    assert abs(denoised(slices) - slices)[:, 20:24, 30:34].max() < 150


def test_padding_is_left_as_it_is() -> None:
    slices = golden_slices().copy()
    slices[:, :, :8] = -2000
    assert (denoised(slices)[:, :, :8] == -2000).all()


def test_how_far_padding_lies_below_air_makes_no_difference_elsewhere() -> None:
    shallow, deep = golden_slices().copy(), golden_slices().copy()
    shallow[:, :, :16], deep[:, :, :16] = -1024, -3024
    np.testing.assert_allclose(denoised(deep)[:, :, 16:], denoised(shallow)[:, :, 16:], atol=1e-3)


def test_noise_falls_and_the_mean_stays() -> None:
    slices = golden_slices()
    change = denoised(slices) - slices
    assert 2 < change.std() < 60
    assert abs(change.mean()) < 2


def test_validation_slices_have_no_neighbours_in_training() -> None:
    rows = ct_denoiser.training_rows(HYPER, 48)
    assert min(abs(row - held) for row in rows for held in range(*HYPER.validation)) > HYPER.gap
    assert len(set(rows)) == len(rows) == 48 - (HYPER.validation[1] - HYPER.validation[0]) - 2 * HYPER.gap


def test_patches_of_a_pair_show_the_same_place_and_never_only_air() -> None:
    torch.manual_seed(0)
    clean = torch.full((3, 200, 200), -1000.0)
    clean[:, 60:140, 60:140] = torch.randn(3, 80, 80) * 100
    low, reference = ct_denoiser.patches(clean + 7, clean, HYPER)
    assert low.shape == reference.shape == (len(low), HYPER.patch, HYPER.patch)
    assert 0 < len(low) <= 3 * HYPER.patches
    assert torch.allclose(low - reference, torch.tensor(7.0), atol=1e-3)
    assert (reference.mean((1, 2)) > -950).all()

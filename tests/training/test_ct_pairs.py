"""Parts of slices and the noise at the same places: what the CT denoiser learns from."""

from pathlib import Path

import numpy as np
import pytest
import torch

from training.data import Volume
from training.images import ct_pairs
from training.images.anatomy import ANATOMIES
from training.images.ct_pairs import PART, Pairs
from training.images.scanner import pixel_centres

SIDE, OWN_MM = 400, 0.75


@pytest.fixture(scope="module")
def patient() -> Volume:
    grid = pixel_centres(0, SIDE, SIDE, OWN_MM).numpy()
    drawn = [ANATOMIES["chest"](np.random.default_rng(seed)).draw(grid, grid) for seed in range(3)]
    return Volume("drawn", np.stack(drawn).astype(np.int16), (5.0, OWN_MM, OWN_MM))


@pytest.fixture(scope="module")
def pairs(patient: Volume) -> Pairs:
    return ct_pairs.make(patient, [0, 2], sets=1, seed=1)


def test_every_part_has_noise_of_its_own_and_the_same_seed_makes_it_again(patient: Volume, pairs: Pairs) -> None:
    parts = len(pairs.clean)
    assert pairs.clean.shape == (parts, PART, PART)
    assert pairs.noise.shape == (parts, ct_pairs.DRAWS, PART, PART)
    assert (pairs.clean.float().mean((1, 2)) > -950).all()
    assert pairs.noise.float().std((2, 3)).min() > 0.1
    again = ct_pairs.make(patient, [0, 2], sets=1, seed=1)
    assert torch.equal(again.clean, pairs.clean)
    assert torch.equal(again.noise, pairs.noise)


def test_noise_knows_nothing_of_what_it_lies_over(pairs: Pairs) -> None:
    for clean, noise in zip(pairs.clean.float(), pairs.noise.float(), strict=True):
        both = torch.stack([clean.flatten(), *noise.flatten(1)])
        assert torch.corrcoef(both)[0, 1:].abs().max() < 0.1


def test_what_is_kept_comes_back(pairs: Pairs, tmp_path: Path) -> None:
    pairs.save(tmp_path / "pairs.pt")
    back = Pairs.load(tmp_path / "pairs.pt")
    assert torch.equal(back.clean, pairs.clean)
    assert torch.equal(back.noise, pairs.noise)


def test_a_batch_shows_the_same_place_with_noise_and_without() -> None:
    torch.manual_seed(3)
    place = (torch.arange(PART * PART) % 1000).reshape(1, PART, PART)
    even = Pairs(place.to(torch.int16), torch.randn(1, 2, PART, PART).mul(10).half())
    low, clean, lesions, deviation = ct_pairs.batch(even, torch.zeros(60, dtype=torch.long), 32)
    assert low.shape == clean.shape == lesions.shape == (60, 32, 32)
    torch.testing.assert_close(clean - lesions, (clean - lesions).round(), rtol=0, atol=1e-3)
    measured = (low - clean).std((1, 2))
    torch.testing.assert_close(measured, deviation, rtol=0.15, atol=0.05)
    assert (deviation == 0).any()
    assert deviation.max() > 10


def test_every_other_patch_has_lesions_of_one_size_where_there_is_soft_tissue() -> None:
    torch.manual_seed(4)
    half = torch.full((1, PART, PART), 50, dtype=torch.int16)
    half[:, :, : PART // 2] = -900
    pairs = Pairs(half, torch.zeros(1, 2, PART, PART).half())
    _, clean, lesions, _ = ct_pairs.batch(pairs, torch.zeros(40, dtype=torch.long), 96)
    shown = [one for one in lesions if one.any()]
    assert 8 < len(shown) < 32
    assert all(8 <= one.abs().max() <= 60 for one in shown)
    assert not lesions[clean < -500].any()


def test_resampling_keeps_what_is_even_and_smooths_what_a_coarse_grid_cannot_hold() -> None:
    x = torch.full((1, 100, 100), 40.0)
    assert ct_pairs.resampled(x, 0.6).shape == (1, 60, 60)
    torch.testing.assert_close(ct_pairs.resampled(x, 0.6), torch.full((1, 60, 60), 40.0))
    checks = (torch.arange(100) % 2 * 200.0).expand(1, 100, 100)
    assert ct_pairs.resampled(checks, 0.5)[:, 5:-5, 5:-5].std() < 15

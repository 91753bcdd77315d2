"""The noise that slices have themselves: what kind it is, how strong, and what may be learned from it."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from training.data import DataError, Volume
from training.images import own_noise
from training.images.anatomy import ANATOMIES
from training.images.own_noise import MORE, REACH, UNSEEN
from training.images.scanner import pixel_centres
from training.measures import ct

SIDE, SLICES, DEVIATION = 256, 8, 20.0


def streaky(count: int) -> Tensor:
    """Noise that goes with its neighbours along rows, of a standard deviation of 1 [B, H, W]."""
    drawn = gaussian_filter(np.random.default_rng(3).standard_normal((count, SIDE, SIDE)), (0, 0.6, 1.2))
    return torch.from_numpy((drawn / drawn.std()).astype(np.float32))


@pytest.fixture(scope="module")
def clean() -> Tensor:
    """The same body in every slice."""
    grid = pixel_centres(0, SIDE, SIDE, 1.2).numpy()
    body = ANATOMIES["abdomen"](np.random.default_rng(2)).draw(grid, grid)
    return torch.from_numpy(body).clamp(-1000, 1000).expand(SLICES, -1, -1)


@pytest.fixture(scope="module")
def volume(clean: Tensor) -> Volume:
    hu = (clean + DEVIATION * streaky(SLICES)).round().to(torch.int16)
    return Volume("noisy", hu.numpy(), (1.0, 1.2, 1.2), noisy=True)


@pytest.fixture(scope="module")
def covariance(volume: Volume) -> Tensor:
    return own_noise.covariance_of(volume, list(range(SLICES)))


def test_neighbours_tell_how_noise_goes_with_that_of_other_pixels(covariance: Tensor) -> None:
    noise = streaky(2)
    for y, x in ((0, 1), (0, 2), (1, 0), (2, 1)):
        true = (noise[:, y:, x:] * noise[:, : SIDE - y, : SIDE - x]).mean().item()
        assert covariance[REACH + y, REACH + x].item() == pytest.approx(true, abs=0.06)
        assert covariance[REACH - y, REACH - x].item() == pytest.approx(true, abs=0.06)


def test_more_noise_is_as_strong_and_of_the_same_kind(clean: Tensor, volume: Volume, covariance: Tensor) -> None:
    hu = torch.from_numpy(volume.hu).float()
    noise = own_noise.like(hu, hu.roll(1, 0), covariance, torch.Generator().manual_seed(1))
    soft = clean.sub(40).abs() < 60
    assert noise[soft].std().item() == pytest.approx(DEVIATION, rel=0.15)
    along, down = ((noise[:, 1:, 1:] * x).mean().item() for x in (noise[:, 1:, :-1], noise[:, :-1, 1:]))
    assert along > 1.2 * down > 0


def test_the_two_that_a_slice_becomes_know_nothing_of_each_others_noise(
    clean: Tensor, volume: Volume, covariance: Tensor
) -> None:
    low, other = own_noise.two_of(volume, list(range(SLICES)), covariance, seed=1)
    body = slice(64, -64)
    one, two = ((x - clean)[:, body, body] for x in (low, other))
    assert abs((one * two).mean()) < 0.1 * one.std() * two.std()
    assert one.std().item() == pytest.approx(DEVIATION * (1 + MORE**2) ** 0.5, rel=0.15)


def test_what_is_gained_is_told_without_the_truth(clean: Tensor, volume: Volume, covariance: Tensor) -> None:
    low, other = own_noise.two_of(volume, list(range(SLICES)), covariance, seed=1)
    body = slice(64, -64)
    noisy, second, true = (x[:, body, body].numpy() for x in (low, other, clean))
    half = (noisy + true) / 2  # an error half as large: 6 dB
    assert ct.own_gain(noisy, second, half, UNSEEN).mean() == pytest.approx(6.0, abs=1.0)
    assert ct.own_gain(noisy, second, noisy, UNSEEN).mean() == pytest.approx(0.0, abs=0.01)


def test_parts_are_learned_from_as_they_are(volume: Volume) -> None:
    made = own_noise.make(volume, list(range(SLICES)), sets=1, seed=1)
    torch.manual_seed(1)
    low, other, lesions, deviation = made.sample(0, (slice(0, 96), slice(0, 96)))
    assert not lesions.any()
    assert (low - other).std() > deviation > 0


def test_slices_without_tissue_in_common_are_refused() -> None:
    air = np.full((3, 64, 64), -1000, np.int16)
    with pytest.raises(DataError, match="too little even soft tissue"):
        own_noise.covariance_of(Volume("air", air, (1.0, 1.0, 1.0), noisy=True), [0, 1, 2])


def test_slices_too_far_apart_to_tell_noise_by_are_refused() -> None:
    grid = pixel_centres(0, SIDE, SIDE, 1.2).numpy()
    bodies = [ANATOMIES["abdomen"](np.random.default_rng(seed)).draw(grid, grid) for seed in range(4)]
    smooth = [gaussian_filter(np.random.default_rng(seed).standard_normal((SIDE, SIDE)), 6) for seed in range(4)]
    hu = np.stack([body + 400 * texture for body, texture in zip(bodies, smooth, strict=True)]).clip(-1000, 1000)
    with pytest.raises(DataError, match="thinner ones are needed"):
        own_noise.covariance_of(Volume("thick", hu.astype(np.int16), (9.0, 1.2, 1.2), noisy=True), [0, 1, 2, 3])


def test_a_lung_has_no_more_noise_than_the_soft_tissue_about_it(volume: Volume, covariance: Tensor) -> None:
    hu = torch.from_numpy(volume.hu).float()
    hu[:, 100:150, 100:150] = -800 + 120 * streaky(SLICES)[:, 100:150, 100:150]
    noise = own_noise.like(hu, hu.roll(1, 0), covariance, torch.Generator().manual_seed(1))
    assert noise[:, 110:140, 110:140].std() < 1.2 * noise[:, 160:190, 110:140].std()

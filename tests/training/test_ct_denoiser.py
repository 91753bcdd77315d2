"""The CT denoiser: what it learns from, and what the committed bundle does to real slices."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.export.parity import Predictor
from training.export.store import committed
from training.export.weights import weights_in
from training.images.anatomy import ANATOMIES
from training.images.ct_pairs import DRAWS, PART, Pairs
from training.images.scanner import pixel_centres
from training.kinds import ct_learning
from training.kinds.denoising import Check
from training.recipes.denoise.ct_denoiser import RECIPE, Denoiser
from training.run import Run

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


def drawn(kind: str, pixel_mm: float, side: int = 128) -> NDArray[np.float32]:
    grid = pixel_centres(0, side, side, pixel_mm).numpy()
    return ANATOMIES[kind](np.random.default_rng(8)).draw(grid, grid)[None].clip(-1024, 3071)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (38, 61), (65, 96)])
def test_any_size_is_kept(size: tuple[int, int]) -> None:
    assert denoised(np.zeros((2, *size), np.float32)).shape == (2, *size)


@pytest.mark.parametrize("hu", [-1000.0, -850.0, -100.0, 0.0, 50.0, 3000.0])
def test_a_constant_slice_stays_as_it_is(hu: float) -> None:
    assert abs(denoised(np.full((1, 128, 128), hu, np.float32)) - hu).max() < 0.1


@pytest.mark.parametrize("pixel_mm", [0.5, 0.98, 1.25])
@pytest.mark.parametrize("kind", ANATOMIES)
def test_a_slice_without_noise_changes_by_little(kind: str, pixel_mm: float) -> None:
    clean = drawn(kind, pixel_mm)
    assert (denoised(clean) - clean).std() < 3


@pytest.mark.parametrize("deviation", [8.0, 25.0])
def test_white_noise_over_soft_tissue_falls_to_less_than_half(deviation: float) -> None:
    noise = deviation * np.random.default_rng(1).standard_normal((1, 160, 160)).astype(np.float32)
    left = denoised(40 + noise)[0, 16:-16, 16:-16] - 40
    assert left.std() < 0.5 * deviation
    assert abs(left.mean()) < 0.05 * deviation


def test_metal_beyond_every_window_passes_through() -> None:
    slices = golden_slices().copy()
    slices[:, 20:24, 30:34] = 8000
    assert abs(denoised(slices) - slices)[:, 20:24, 30:34].max() < 150


def test_padding_is_left_as_it_is_and_how_deep_it_is_makes_no_difference_elsewhere() -> None:
    shallow, deep = golden_slices().copy(), golden_slices().copy()
    shallow[:, :, :16], deep[:, :, :16] = -1030, -3024
    assert (denoised(deep)[:, :, :16] == -3024).all()
    np.testing.assert_allclose(denoised(deep)[:, :, 16:], denoised(shallow)[:, :, 16:], atol=1e-3)


def test_noise_falls_and_the_mean_stays() -> None:
    slices = golden_slices()
    change = denoised(slices) - slices
    assert 2 < change.std() < 60
    assert abs(change.mean()) < 2


def test_validation_slices_have_no_neighbours_in_training() -> None:
    rows = HYPER.training(48)
    assert min(abs(row - held) for row in rows for held in HYPER.validating) > HYPER.gap
    assert len(set(rows)) == len(rows) == 48 - len(HYPER.validating) - 2 * HYPER.gap


def test_an_error_counts_by_the_noise_that_was_there() -> None:
    clean, deviation = torch.zeros(2, 32, 32), torch.tensor([20.0, 20.0])
    worse, better, noisier = (
        ct_learning.loss_of(clean + error, clean, noise, coarse=0.3)
        for error, noise in ((10.0, deviation), (5.0, deviation), (10.0, 2 * deviation))
    )
    assert worse > 1.9 * better > 3.6 * noisier / 2


@pytest.mark.parametrize(("share", "lost"), [(1.0, 0.0), (0.98, 0.0), (0.8, 0.17**2), (1.2, 0.17**2)])
def test_edges_are_lost_where_they_are_less_steep_or_steeper_by_more_than_they_may(share: float, lost: float) -> None:
    clean = torch.from_numpy(drawn("abdomen", 0.8))
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    assert ct_learning.lost_edges(share * clean + noise, clean).item() == pytest.approx(lost, abs=3e-3)


@pytest.mark.parametrize(("share", "lost"), [(1.0, 0.0), (0.8, 0.0), (0.25, 0.14), (0.0, 0.35)])
def test_lesions_are_lost_where_they_fade_by_more_than_they_may(share: float, lost: float) -> None:
    lesions = torch.zeros(2, 96, 96)
    lesions[:, 40:50, 40:50] = 30
    noise = 5 * torch.randn(lesions.shape, generator=torch.Generator().manual_seed(1))
    left = ct_learning.lost_lesions((share - 1) * lesions + noise, lesions, torch.full((2,), 10.0))
    assert left.item() == pytest.approx(lost, abs=0.02)  # so few lesions count a little less


def test_who_knows_nothing_is_told_by_the_square_of_its_error() -> None:
    clean, none = torch.zeros(2, 32, 32), torch.zeros(2, 32, 32)
    costs = [ct_learning.first_cost(clean + error, clean, none, torch.full((2,), 20.0)) for error in (10.0, 20.0)]
    assert costs[1] == pytest.approx(4 * costs[0])


class Constant(torch.nn.Module):
    """Gives the same number for every pixel."""

    def forward(self, slice: torch.Tensor) -> torch.Tensor:
        return torch.full_like(slice, 7)


def test_what_a_teacher_gives_stands_for_the_clean_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTET_RUNS", str(tmp_path))
    hyper = replace(HYPER, epochs=1, batch=2, patch=32)
    pairs = Pairs(torch.zeros(2, PART, PART, dtype=torch.int16), torch.randn(2, DRAWS, PART, PART).half())
    check = Check(torch.zeros(1, 32, 32), torch.ones(1, 32, 32))
    told: list[torch.Tensor] = []

    def cost(denoised: torch.Tensor, target: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        told.append(target)
        return denoised.mean()

    run = Run("taught", hyper, max_steps=1)
    ct_learning.fit(run, Denoiser((8, 8)), pairs, [check], lambda _: 1.0, cost, Constant())
    assert [target.unique().tolist() for target in told] == [[7]]


def test_nothing_is_lost_where_there_are_no_edges() -> None:
    even = torch.full((1, 64, 64), 40.0)
    assert ct_learning.lost_edges(even + 20 * torch.randn(1, 64, 64), even).item() == 0


def test_a_bundle_from_before_the_noise_was_known_lends_the_weights_that_it_has() -> None:
    network = Denoiser(HYPER.widths)
    before = network.state_dict()["level.weight"].clone()
    ct_learning.begin(network, committed("ct-denoiser"))
    held = dict(network.named_parameters())
    assert torch.equal(held["head.weight"], weights_in(committed("ct-denoiser").graph)["head.weight"])
    assert held["level.weight"].shape == before.shape

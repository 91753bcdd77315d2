"""The CT denoiser's network: it reads the noise of a slice rightly, and what has none it leaves alone."""

import numpy as np
import pytest
import torch
from torch import Tensor

from training.images.anatomy import ANATOMIES
from training.images.scanner import pixel_centres
from training.networks.denoiser import Denoiser, Tempered, noise_of

WIDTHS = 8, 16, 16


@pytest.fixture(scope="module")
def network() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(WIDTHS).eval()


def white(deviation: float, size: tuple[int, ...] = (1, 1, 160, 160)) -> Tensor:
    return deviation * torch.randn(size, generator=torch.Generator().manual_seed(1))


def body(kind: str, side: int = 160) -> Tensor:
    grid = pixel_centres(0, side, side, 0.7).numpy()
    drawn = ANATOMIES[kind](np.random.default_rng(6)).draw(grid, grid)
    return torch.from_numpy(drawn)[None, None]


@pytest.mark.parametrize("deviation", [3.0, 20.0, 60.0])
def test_white_noise_reads_the_same_at_every_scale(deviation: float) -> None:
    found = noise_of(white(deviation))[0].mean((1, 2))
    assert found.tolist() == pytest.approx([deviation] * 3, rel=0.1)


def test_it_is_read_where_it_is() -> None:
    noise = white(10.0)
    noise[..., 80:] *= 4
    finest = noise_of(noise)[0, 0]
    assert finest[:, :10].mean().item() == pytest.approx(10, rel=0.1)
    assert finest[:, -10:].mean().item() == pytest.approx(40, rel=0.1)


@pytest.mark.parametrize("kind", ANATOMIES)
def test_edges_are_not_taken_for_noise(kind: str) -> None:
    drawn, noise = body(kind), white(20.0)
    clean, noisy = (noise_of(x)[0, 0].median().item() for x in (drawn, drawn + noise))
    assert clean < 6
    assert noisy == pytest.approx(20, rel=0.25)


def test_smooth_noise_reads_lower_at_the_finest_scale() -> None:
    smooth = torch.nn.functional.avg_pool2d(white(30.0), 3, 1, padding=1)
    fine, _, coarse = noise_of(smooth)[0].mean((1, 2)).tolist()
    assert fine < 0.7 * coarse


def test_what_the_scanner_cuts_off_is_not_looked_at() -> None:
    half = white(20.0)
    half[..., :80] = -1024
    assert noise_of(half)[0, 0, :, 24:].mean().item() == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (38, 61), (65, 96)])
@torch.no_grad()
def test_any_size_is_kept(network: Denoiser, size: tuple[int, int]) -> None:
    assert network(torch.zeros(2, *size)).shape == (2, *size)


@torch.no_grad()
def test_whatever_the_weights_a_slice_without_noise_stays_and_more_noise_lets_more_change(network: Denoiser) -> None:
    even = torch.full((1, 96, 96), 40.0)
    noise = white(1.0, (1, 96, 96))
    changes = [(network(even + s * noise) - even - s * noise).abs().mean().item() for s in (0, 0.3, 3, 30)]
    assert changes[0] < 0.03
    assert changes == sorted(changes)


@torch.no_grad()
def test_padding_stays_and_how_deep_it_is_makes_no_difference_elsewhere(network: Denoiser) -> None:
    shallow = white(20.0, (1, 96, 96))
    deep = shallow.clone()
    shallow[..., :16], deep[..., :16] = -1024, -3024
    assert (network(deep)[..., :16] == -3024).all()
    torch.testing.assert_close(network(deep)[..., 16:], network(shallow)[..., 16:])


class Taking(Tempered):
    """Takes a certain correction, whatever it is shown."""

    def __init__(self, correction_BHW: Tensor) -> None:
        super().__init__(WIDTHS)
        self.certain_BHW = correction_BHW

    def correction(self, slice: Tensor) -> Tensor:
        return self.certain_BHW


def taken(correction_BHW: Tensor) -> Tensor:
    slice = torch.full(correction_BHW.shape, 40.0)
    left: Tensor = slice - Taking(correction_BHW)(slice)
    return left


@pytest.mark.parametrize(("wanted", "least", "most"), [(0.5, 0, 0), (3, 2.5, 3), (32, 29, 32), (90, 31, 32)])
def test_what_is_taken_is_neither_faint_nor_beyond_a_bound(wanted: float, least: float, most: float) -> None:
    size = taken(white(wanted, (1, 160, 160)))[:, 16:-16, 16:-16].square().mean().sqrt().item()
    assert least <= size <= most * 1.02


def test_a_correction_that_stands_out_is_held_back_and_the_others_are_not() -> None:
    correction = white(2.0, (1, 256, 256))
    correction[:, 100:130, 100:130] *= 20
    share = taken(correction).square().sum((0,)) / correction.square().sum((0,))
    assert share[105:125, 105:125].median() < 0.1
    assert share[:60].median() > 0.4


def test_a_slice_of_nothing_but_air_stays(network: Denoiser) -> None:
    tempered = Tempered(WIDTHS)
    tempered.load_state_dict(network.state_dict())
    air = torch.full((1, 64, 64), -1024.0)
    assert torch.equal(tempered(air), air)

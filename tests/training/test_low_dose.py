"""The networks that the CT denoisers are compared with: in their published sizes, for slices of any size."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from training.networks.low_dose import DnCnn, RedCnn


@pytest.mark.parametrize(("make", "millions"), [(DnCnn, 0.56), (RedCnn, 1.85)])
def test_it_is_as_large_as_published(make: Callable[[], nn.Module], millions: float) -> None:
    assert sum(one.numel() for one in make().parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("make", [lambda: DnCnn(4, 8), lambda: RedCnn(8)])
@torch.no_grad()
def test_any_size_is_kept_and_what_lies_beyond_its_window_stays(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(1)
    slices = 40 + 20 * torch.randn(2, 33, 47)
    slices[:, :3, :3] = 3000
    slices[:, -3:] = -2000
    network = make().eval()
    denoised = network(slices)
    assert denoised.shape == slices.shape
    beyond = slices.clone()
    beyond[:, :3, :3] += 500
    torch.testing.assert_close(network(beyond) - beyond, denoised - slices)

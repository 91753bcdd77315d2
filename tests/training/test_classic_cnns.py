"""The common opinion of the classic networks is divided by its temperature, that of each alone is not."""

import pytest
import torch
from torch import Tensor

from training.data import fashion_mnist
from training.recipes.classify.classic_cnns import Committee, CommitteeAndMembers, Hyper


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.from_numpy(fashion_mnist().train.pixels[:8]).float()


@pytest.fixture(scope="module")
def committee() -> Committee:
    torch.manual_seed(1)
    return Committee(Hyper()).eval()


@torch.no_grad()
def test_at_temperature_one_the_common_opinion_is_the_mean_of_all(committee: Committee, images: Tensor) -> None:
    common, each = CommitteeAndMembers(committee, torch.tensor(1.0))(images)
    assert each.shape == (8, 4, 10)
    assert torch.allclose(common, each.mean(1), atol=1e-6)


@torch.no_grad()
def test_the_temperature_divides_the_logarithm_of_the_mean_and_leaves_each_alone(
    committee: Committee, images: Tensor
) -> None:
    mean, each = CommitteeAndMembers(committee, torch.tensor(1.0))(images)
    common, same = CommitteeAndMembers(committee, torch.tensor(0.5))(images)
    squared = mean**2
    assert torch.allclose(common, squared / squared.sum(1, keepdim=True), atol=1e-6)
    assert torch.equal(same, each)


@torch.no_grad()
def test_the_temperature_is_fitted_to_the_scores_that_it_divides(committee: Committee, images: Tensor) -> None:
    common, _ = CommitteeAndMembers(committee, torch.tensor(0.7))(images)
    assert torch.allclose(common, torch.softmax(committee(images) / 0.7, 1), atol=1e-6)

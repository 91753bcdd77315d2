"""The whitening layer: what it makes of a batch, its gradient, and what is left of it when it is served."""

import torch
from torch.testing import assert_close

from training.data import fashion_mnist
from training.recipes.classify.zca_mlp import InverseRoot, Whitening, ZcaPerceptron


def pictures(count: int) -> torch.Tensor:
    return torch.from_numpy(fashion_mnist().train.pixels[:count]).float()


def test_the_features_of_a_group_leave_uncorrelated_and_of_variance_one() -> None:
    rows = pictures(512)[:, 10:14, 6:22].flatten(1) / 255
    white = Whitening(64, 16, epsilon=1e-7)(rows).detach()
    assert_close(white.mean(0), torch.zeros(64), atol=1e-4, rtol=0)
    for group in white.split(16, dim=1):
        assert_close(group.T.cov(correction=0), torch.eye(16), atol=0.01, rtol=0)


def test_whitening_keeps_features_that_are_white_already() -> None:
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert_close(Whitening(2, 2, epsilon=0)(signs), signs)


def test_the_gradient_is_right_where_all_eigenvalues_are_equal() -> None:
    rotation = torch.linalg.qr(torch.randn(2, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))).Q
    assert torch.autograd.gradcheck(
        lambda root: InverseRoot.apply(root @ root.mT),  # type: ignore[no-untyped-call]
        rotation.requires_grad_(),
    )


def test_the_gradient_is_that_of_the_eigen_decomposition_where_eigenvalues_differ() -> None:
    root = torch.randn(3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    weight = torch.randn(3, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    values, vectors = torch.linalg.eigh(root @ root.mT)
    expected = torch.autograd.grad((weight * (vectors / values.sqrt()[:, None] @ vectors.mT)).sum(), root)
    actual = torch.autograd.grad((weight * InverseRoot.apply(root @ root.mT)).sum(), root)  # type: ignore[no-untyped-call]
    assert_close(actual, expected)


def test_the_served_perceptron_has_the_whitening_folded_in_and_gives_the_same_scores() -> None:
    network, images = ZcaPerceptron("whitening", 32), pictures(256)
    for _ in range(5):
        network(images)
    served = network.folded()
    assert not [module for module in served.modules() if isinstance(module, Whitening)]
    assert_close(served(images), network.eval()(images), atol=1e-4, rtol=1e-4)

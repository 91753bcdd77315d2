"""The adversarial autoencoder uses a hundred labels, and believes only what it is sure of."""

import numpy as np
import torch

from training.data import mnist
from training.recipes.classify.aae_semisupervised import Discriminator, Hyper, agreement


def test_the_labels_it_sees_are_ten_of_each_digit_and_none_of_the_validation_set() -> None:
    hyper = Hyper()
    assert len(set(hyper.labelled)) == 100
    assert min(hyper.labelled) >= hyper.validation
    assert np.bincount(mnist().train.labels[list(hyper.labelled)]).tolist() == 10 * [10]


def test_a_reading_is_a_label_for_the_distorted_view_only_when_it_is_certain() -> None:
    sure, unsure = torch.tensor([9.0, 0, 0]), torch.tensor([1.0, 0, 0])
    wrong = torch.tensor([[0.0, 5, 0], [0, 5, 0]], requires_grad=True)
    loss = agreement(torch.stack([sure, unsure]), wrong, confidence=0.95)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss > 1
    assert wrong.grad is not None
    assert wrong.grad[0].any()
    assert not wrong.grad[1].any()


def test_the_encoder_gains_from_codes_that_the_discriminator_takes_for_draws() -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(2, noise=0.0)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-2)
    code, drawn = torch.randn(256, 2) + 4, torch.randn(256, 2)
    for _ in range(50):
        optimizer.zero_grad()
        discriminator.told_apart(code, drawn).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert discriminator.told_apart(code, drawn) < 0.2
    assert discriminator.deceived(drawn) < 0.2 < discriminator.deceived(code)

"""The classic networks have their published sizes, and their small forms read small pictures."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.training.size import parameters_of
from training.networks.architectures import AlexNet, Form, InceptionV3, ResNet18, Vgg16

Build = Callable[[Form], nn.Module]


@pytest.mark.parametrize(
    ("build", "side", "parameters"),
    [
        (AlexNet, 224, 61_100_840),
        (Vgg16, 224, 138_357_544),
        (InceptionV3, 299, 23_834_568),
        (ResNet18, 224, 11_689_512),
    ],
)
def test_the_size_of_imagenet_has_the_published_number_of_parameters(build: Build, side: int, parameters: int) -> None:
    with torch.device("meta"):
        network = build(Form())
        assert parameters_of(network) == parameters
        assert network(torch.empty(2, 3, side, side)).shape == (2, 1000)


@pytest.mark.parametrize(
    ("build", "shapes"),
    [
        (AlexNet, {(64, 55, 55), (192, 27, 27), (256, 13, 13), (256, 6, 6)}),
        (Vgg16, {(64, 224, 224), (128, 112, 112), (256, 56, 56), (512, 28, 28), (512, 14, 14), (512, 7, 7)}),
        (ResNet18, {(64, 112, 112), (64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)}),
        (InceptionV3, {(192, 71, 71), (288, 35, 35), (768, 17, 17), (2048, 8, 8)}),
    ],
)
def test_maps_have_the_published_sizes(build: Build, shapes: set[tuple[int, ...]]) -> None:
    found = set()
    with torch.device("meta"):
        network = build(Form())
        for module in network.modules():
            module.register_forward_hook(lambda *call: found.add(tuple(call[2].shape[1:])))
        network(torch.empty(1, 3, *(2 * [299 if build is InceptionV3 else 224])))
    assert shapes <= found


@pytest.mark.parametrize("build", [AlexNet, Vgg16, InceptionV3, ResNet18])
def test_the_small_form_is_the_same_network_for_small_pictures(build: Build) -> None:
    form = Form(channels=1, classes=10, width=1 / 16, dense=32, normalised=True, small=True)
    network = build(form).eval()
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    assert parameters_of(network) < 200_000
    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    with torch.device("meta"):
        published = [m for m in build(Form()).modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == len(published)

"""The pretrained network is the published one, and knows a cat."""

import io

import skimage.data
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from tests.training.size import parameters_of
from training import data
from training.networks import efficientnet

CATS = 281, 282, 285  # of ImageNet's classes: tabby, tiger cat, Egyptian cat


def photograph(side: int) -> Tensor:
    """A cat's face, [1, 3, side, side], standardised."""
    image_HWC = torch.from_numpy(skimage.data.chelsea()[:, 75:375].copy()).float() / 255
    image_HWC = (image_HWC - torch.tensor(efficientnet.MEAN)) / torch.tensor(efficientnet.DEVIATION)
    return F.interpolate(image_HWC.permute(2, 0, 1)[None], (side, side), mode="bilinear", antialias=True)


def test_the_network_has_the_published_size() -> None:
    with torch.device("meta"):
        network = efficientnet.network()
        assert network(torch.empty(1, 3, 224, 224)).shape == (1, 1280, 7, 7)
    assert parameters_of(network) + 1281 * 1000 == 4_652_008


def test_its_weights_tell_a_cat() -> None:
    (contents,) = data.fetch("efficientnet-lite0").read().values()
    stored = torch.load(io.BytesIO(contents), weights_only=True)
    with torch.no_grad():
        features = efficientnet.pretrained().eval()(photograph(224)).mean((2, 3))
    scores = F.linear(features, stored["_fc.weight"], stored["_fc.bias"])
    assert set(scores[0].topk(3).indices.tolist()) == set(CATS)


def test_grey_levels_become_standardised_colours() -> None:
    white = efficientnet.AsPhotograph(64)(torch.full((2, 28, 28), 255.0))
    expected = (1 - torch.tensor(efficientnet.MEAN)) / torch.tensor(efficientnet.DEVIATION)
    assert white.shape == (2, 3, 64, 64)
    assert torch.allclose(white.mean((0, 2, 3)), expected)

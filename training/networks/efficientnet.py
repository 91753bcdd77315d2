"""EfficientNet-Lite0 as it was trained on ImageNet: features that other classifiers of pictures can start from.

Source: Tan and Le, EfficientNet, ICML 2019; "Lite" has ReLU6 instead of Swish and no squeeze-and-excitation.
Strided convolutions are padded as TensorFlow pads even sides, more on the right and below.
"""

import io
import itertools
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.data import fetch

# B batch, C channels, H height, W width, S side

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's red, green and blue, in [0, 1]


class Stage(NamedTuple):
    """Blocks of one shape, the first with the stride; their depthwise convolution works on `wider` times the channels.

    A strided stage needs inputs with even sides.
    """

    blocks: int
    kernel: int
    stride: int
    wider: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class AsPhotograph(nn.Module):
    """Grey levels [B, H, W] to what the network was trained on: [B, 3, S, S], standardised as ImageNet's colours."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        self.register_buffer("mean", 255 * torch.tensor(MEAN)[:, None, None])
        self.register_buffer("deviation", 255 * torch.tensor(DEVIATION)[:, None, None])

    def forward(self, image_BHW: Tensor) -> Tensor:
        image_B1SS = F.interpolate(image_BHW[:, None], (self.side, self.side), mode="bilinear")
        return (image_B1SS - self.mean) / self.deviation


class Block(nn.Module):
    """An inverted residual: pointwise to more channels, depthwise, pointwise to `outputs`, beside a shortcut."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, wider: int) -> None:
        super().__init__()
        self.shortcut = inputs == outputs and stride == 1
        width = inputs * wider
        self.layers = nn.Sequential(
            *([*_convolution(inputs, width), nn.ReLU6()] if wider > 1 else []),
            *(*_convolution(width, width, kernel, stride, groups=width), nn.ReLU6()),
            *_convolution(width, outputs),
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out: Tensor = self.layers(x_BCHW)
        return x_BCHW + out if self.shortcut else out


def _convolution(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution that keeps the sides or halves them, and its batch normalisation."""
    reach, halving = kernel // 2, stride > 1
    padding: list[nn.Module] = [nn.ZeroPad2d((reach - 1, reach, reach - 1, reach))] if halving else []
    inside = 0 if halving else reach
    filters = nn.Conv2d(inputs, outputs, kernel, stride, inside, groups=groups, bias=False)
    return [*padding, filters, nn.BatchNorm2d(outputs, eps=1e-3)]


def network() -> nn.Sequential:
    """Standardised colour images [B, 3, H, W] to features [B, 1280, H / 32, W / 32], with weights of no training.

    Its modules from the oldest to the newest are the stem, 16 blocks and the head.
    """
    layers: list[nn.Module] = [nn.Sequential(*_convolution(3, 32, kernel=3, stride=2), nn.ReLU6())]
    inputs = 32
    for blocks, kernel, stride, wider, channels in STAGES:
        for index in range(blocks):
            layers.append(Block(inputs, channels, kernel, stride if index == 0 else 1, wider))
            inputs = channels
    return nn.Sequential(*layers, nn.Sequential(*_convolution(inputs, 1280), nn.ReLU6()))


def pretrained() -> nn.Sequential:
    """The network with the weights of ImageNet, which the file has in the same order, before those of a classifier."""
    (contents,) = fetch("efficientnet-lite0").read().values()
    stored, built = torch.load(io.BytesIO(contents), weights_only=True), network()
    own = built.state_dict()
    built.load_state_dict(dict(zip(own, itertools.islice(stored.values(), len(own)), strict=True)))
    return built

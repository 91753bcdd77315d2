"""Four convolutional networks that shaped the field, from the size of ImageNet down to that of small grey pictures.

AlexNet        Krizhevsky, One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997, 2014
VGG-16         Simonyan and Zisserman, Very deep convolutional networks, ICLR 2015, configuration D
Inception v3   Szegedy et al., Rethinking the inception architecture for computer vision, CVPR 2016
ResNet-18      He et al., Deep residual learning for image recognition, CVPR 2016

They take images [B, C, H, W] - of 224x224, Inception of 299x299, in their `small` form of 28x28 - and give class
scores [B, K]. Only what `Form` names differs between their sizes.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

# B batch, C channels, H height, W width, K classes

Kernel: TypeAlias = int | tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Form:
    """How large a network is; the defaults are ImageNet's.

    width       share of the published number of maps, in every layer
    dense       units of each of the two dense layers before the last, in AlexNet and VGG-16
    normalised  batch normalisation after the convolutions of AlexNet and VGG-16, which are older than it
    small       for images of 28x28: the first layers reduce the resolution less, Inception pads everywhere
    """

    channels: int = 3
    classes: int = 1000
    width: float = 1.0
    dense: int = 4096
    dropout: float = 0.5
    normalised: bool = False
    small: bool = False

    def maps(self, published: int) -> int:
        return max(1, round(published * self.width))


class Convolution(nn.Sequential):
    """A convolution, padded so that stride 1 keeps the sides; then, unless told otherwise, normalisation and ReLU."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: Kernel,
        stride: int = 1,
        padding: Kernel | None = None,
        normalised: bool = True,
        active: bool = True,
    ) -> None:
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        inside = (height // 2, width // 2) if padding is None else padding
        super().__init__(nn.Conv2d(inputs, outputs, kernel, stride, inside, bias=not normalised))
        if normalised:
            self.append(nn.BatchNorm2d(outputs))
        if active:
            self.append(nn.ReLU())


class AlexNet(nn.Sequential):
    """Five convolutions, three dense layers."""

    def __init__(self, form: Form) -> None:
        widths = [form.channels, *map(form.maps, (64, 192, 384, 256, 256))]
        kernels = (5 if form.small else 11, 5, 3, 3, 3)
        strides = (1 if form.small else 4, 1, 1, 1, 1)
        first, second, *others = (
            Convolution(*pair, kernel, stride, padding=min(kernel // 2, 2), normalised=form.normalised)
            for pair, kernel, stride in zip(itertools.pairwise(widths), kernels, strides, strict=True)
        )
        pools = [nn.MaxPool2d(3, 2) for _ in range(3)]
        features = [first, pools[0], second, pools[1], *others, pools[2]]
        super().__init__(*features, *_dense(form, widths[-1], side=2 if form.small else 6))


class Vgg16(nn.Sequential):
    """Thirteen 3x3 convolutions, the sides halved after every second or third, and three dense layers."""

    def __init__(self, form: Form) -> None:
        inputs, features = form.channels, list[nn.Module]()
        for depth, published in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
            for _ in range(depth):
                features.append(Convolution(inputs, form.maps(published), 3, normalised=form.normalised))
                inputs = form.maps(published)
            features.append(nn.MaxPool2d(2, ceil_mode=True))  # odd sides are rounded up; 224 never gives any
        super().__init__(*features, *_dense(form, inputs, side=1 if form.small else 7))


def _dense(form: Form, maps: int, side: int) -> list[nn.Module]:
    """From maps of side x side to class scores."""
    return [
        *(nn.Flatten(), nn.Linear(maps * side * side, form.dense), nn.ReLU(), nn.Dropout(form.dropout)),
        *(nn.Linear(form.dense, form.dense), nn.ReLU(), nn.Dropout(form.dropout)),
        nn.Linear(form.dense, form.classes),
    ]


class ResNet18(nn.Sequential):
    """Eight residual blocks of two 3x3 convolutions."""

    def __init__(self, form: Form) -> None:
        widths = [*map(form.maps, (64, 64, 128, 256, 512))]
        stem = Convolution(form.channels, widths[0], 3 if form.small else 7, 2)
        blocks = [
            block
            for stride, (inputs, width) in zip((1, 2, 2, 2), itertools.pairwise(widths), strict=True)
            for block in (Residual(inputs, width, stride), Residual(width, width))
        ]
        super().__init__(
            *(stem, nn.Identity() if form.small else nn.MaxPool2d(3, 2, padding=1), *blocks),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], form.classes)),
        )


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is 1x1 where the size or the number of maps changes."""

    def __init__(self, inputs: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.branch = nn.Sequential(Convolution(inputs, width, 3, stride), Convolution(width, width, 3, active=False))
        same = inputs == width and stride == 1
        self.shortcut = nn.Identity() if same else Convolution(inputs, width, 1, stride, active=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.relu(self.shortcut(x_BCHW) + self.branch(x_BCHW))


class Maps(NamedTuple):
    """A convolution in the plan of Inception v3: published maps, kernel, stride; a stride above 1 is never padded."""

    published: int
    kernel: Kernel = 1
    stride: int = 1
    padded: bool = True


class Fork(tuple["Plan", ...]):
    """Plans that see the same maps; what they give is stacked."""


Layer: TypeAlias = Maps | Literal["mean", "max"] | Fork
Plan: TypeAlias = tuple[Layer, ...]


def _a(pooled: int) -> Fork:
    return Fork(((Maps(64),), (Maps(48), Maps(64, 5)), (Maps(64), Maps(96, 3), Maps(96, 3)), ("mean", Maps(pooled))))


def _c(inner: int) -> Fork:
    tall, wide = Maps(inner, (7, 1)), Maps(inner, (1, 7))
    return Fork(
        (
            (Maps(192),),
            (Maps(inner), wide, Maps(192, (7, 1))),
            (Maps(inner), tall, wide, tall, Maps(192, (1, 7))),
            ("mean", Maps(192)),
        )
    )


_SPLIT = Fork(((Maps(384, (1, 3)),), (Maps(384, (3, 1)),)))
_B = Fork(((Maps(384, 3, 2),), (Maps(64), Maps(96, 3), Maps(96, 3, 2)), ("max",)))
_D = Fork(((Maps(192), Maps(320, 3, 2)), (Maps(192), Maps(192, (1, 7)), Maps(192, (7, 1)), Maps(192, 3, 2)), ("max",)))
_E = Fork(((Maps(320),), (Maps(384), _SPLIT), (Maps(448), Maps(384, 3), _SPLIT), ("mean", Maps(192))))

STEM: Plan = (
    *(Maps(32, 3, 2), Maps(32, 3, padded=False), Maps(64, 3), "max"),
    *(Maps(80), Maps(192, 3, padded=False), "max"),
)
SMALL_STEM: Plan = Maps(32, 3, 2), Maps(32, 3), Maps(64, 3), "max", Maps(80), Maps(192, 3)
MIDDLE: Plan = _a(32), _a(64), _a(64), _B, _c(128), _c(160), _c(160), _c(192)
END: Plan = _D, _E, _E


class InceptionV3(nn.Module):
    """Blocks of parallel convolutions, without the auxiliary head that helps the gradient of the published one."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.middle, maps = _built((*(SMALL_STEM if form.small else STEM), *MIDDLE), form.channels, form)
        self.end, maps = _built(END, maps, form)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(form.dropout), nn.Linear(maps, form.classes)
        )

    def forward(self, image_BCHW: Tensor) -> Tensor:
        scores_BK: Tensor = self.head(self.end(self.middle(image_BCHW)))
        return scores_BK


class Stacked(nn.ModuleList):
    """The maps that all of its modules make of the same ones."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return torch.cat([branch(x_BCHW) for branch in self], 1)


def _built(plan: Iterable[Layer], inputs: int, form: Form) -> tuple[nn.Sequential, int]:
    """The plan's modules, and the number of maps that they give."""
    modules = nn.Sequential()
    for layer in plan:
        if isinstance(layer, Maps):
            padding = None if form.small or (layer.padded and layer.stride == 1) else 0
            outputs = form.maps(layer.published)
            modules.append(Convolution(inputs, outputs, layer.kernel, layer.stride, padding))
            inputs = outputs
        elif isinstance(layer, Fork):
            branches, counts = zip(*(_built(branch, inputs, form) for branch in layer), strict=True)
            modules.append(Stacked(branches))
            inputs = sum(counts)
        else:
            modules.append(
                nn.AvgPool2d(3, 1, padding=1) if layer == "mean" else nn.MaxPool2d(3, 2, padding=int(form.small))
            )
    return modules, inputs

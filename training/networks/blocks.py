"""Building blocks that several networks share."""

import itertools

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

# B batch, H height, W width

MNIST = (0.1307 * 255, 0.3081 * 255)  # mean and standard deviation of the training pixels, in grey levels
FASHION_MNIST = (0.2860 * 255, 0.3530 * 255)


class Standardise(nn.Module):
    """Grey levels [B, H, W] to [B, 1, H, W] with the mean 0 and the standard deviation 1 of the training pixels."""

    def __init__(self, mean: float, deviation: float) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation

    def forward(self, image_BHW: Tensor) -> Tensor:
        return (image_BHW[:, None] - self.mean) / self.deviation

    def extra_repr(self) -> str:
        return f"{self.mean:.4g}, {self.deviation:.4g}"


class Mirrored(nn.Module):
    """In use, the mean of a network's scores [B, K] of every image [B, H, W] and of its mirror image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_BHW: Tensor) -> Tensor:
        scores: Tensor = self.network(image_BHW)
        return scores if self.training else (scores + self.network(image_BHW.flip(-1))) / 2


class Views(nn.Module):
    """Pictures [B, H, W] seen through grids [V, H, W, 2], as `grid_sample` takes them: [B, V, H, W].

    ONNX Runtime refuses the name that PyTorch's exporter gives bilinear sampling, so that this is a sum over the four
    pixels around each place.
    """

    index: Tensor
    weight: Tensor

    def __init__(self, grid_VHW2: Tensor) -> None:
        super().__init__()
        height, width = self.shape = grid_VHW2.shape[1:3]
        size = torch.tensor([width, height])
        place_VP2 = ((grid_VHW2.flatten(1, 2) + 1) * size - 1) / 2  # in pixels, P of them
        index, weight = [], []
        for offset in itertools.product((0, 1), (0, 1)):
            pixel_VP2 = place_VP2.floor() + torch.tensor(offset)
            inside_VP = ((pixel_VP2 >= 0) & (pixel_VP2 < size)).all(-1)
            weight.append((1 - (place_VP2 - pixel_VP2).abs()).prod(-1) * inside_VP)
            column, row = pixel_VP2.clamp(min=0).minimum(size - 1).long().unbind(-1)
            index.append(row * width + column)
        self.register_buffer("index", torch.stack(index, -1).flatten())
        self.register_buffer("weight", torch.stack(weight, -1))

    def forward(self, image_BHW: Tensor) -> Tensor:
        around_BVP4 = image_BHW.flatten(1).index_select(1, self.index).reshape(-1, *self.weight.shape)  # V, P places
        return (around_BVP4 * self.weight).sum(-1).reshape(-1, len(self.weight), *self.shape)


class Half(nn.Module):
    """A weight that is kept as float16 and used as float32."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight.float()

    def right_inverse(self, weight: Tensor) -> tuple[Tensor]:
        return (weight.half(),)  # PyTorch lets only several stored tensors, such as these, have another dtype


def store_half(module: nn.Module) -> nn.Module:
    """Itself, rounded: the weights of convolutions and dense layers are stored in half the bytes, in the graph too."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            parametrize.register_parametrization(layer, "weight", Half())
    return module

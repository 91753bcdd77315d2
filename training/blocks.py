"""Building blocks that several networks share."""

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


def parameters_of(module: nn.Module) -> int:
    """How many numbers a training adjusts."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


class Mirrored(nn.Module):
    """In use, the mean of a network's scores [B, K] of every image [B, H, W] and of its mirror image."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_BHW: Tensor) -> Tensor:
        scores: Tensor = self.network(image_BHW)
        return scores if self.training else (scores + self.network(image_BHW.flip(-1))) / 2


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

"""Building blocks that several networks share."""

from torch import Tensor, nn

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

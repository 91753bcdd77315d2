"""Networks that make pictures of one domain look like another's, and those that tell them from real ones.

Zhu et al., Unpaired image-to-image translation using cycle-consistent adversarial networks, ICCV 2017, in small.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.networks.adversaries import Adversary

# B batch, C channels, H height, W width

Upsampling = Literal["resize", "transposed"]


def _normalised(channels: int) -> nn.Module:
    return nn.GroupNorm(channels, channels)  # each picture and channel by itself


class Residual(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, channels, 3, padding=1), _normalised(channels), nn.ReLU()),
            *(nn.Conv2d(channels, channels, 3, padding=1), _normalised(channels)),
        )

    def forward(self, features_BCHW: Tensor) -> Tensor:
        changed: Tensor = self.layers(features_BCHW)
        return features_BCHW + changed


def _doubled(channels: int, upsampling: Upsampling) -> list[nn.Module]:
    """Twice the sides and half the channels.

    Transposed convolutions lay their kernels over each other unevenly, which shows as a checkerboard; a picture that
    is resized first has none of it (Odena, Dumoulin and Olah, Deconvolution and checkerboard artifacts, 2016).
    """
    if upsampling == "transposed":
        return [nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1)]
    return [nn.Upsample(scale_factor=2), nn.Conv2d(channels, channels // 2, 3, padding=1)]


class Translator(nn.Module):
    """Pictures [B, H, W] in [0, 1], sides in fours, to as many of the other domain."""

    def __init__(self, width: int, depth: int, upsampling: Upsampling = "resize") -> None:
        super().__init__()
        coarse = 4 * width
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, width, 5, padding=2), nn.ReLU()),
            *(nn.Conv2d(width, 2 * width, 3, stride=2, padding=1), _normalised(2 * width), nn.ReLU()),
            *(nn.Conv2d(2 * width, coarse, 3, stride=2, padding=1), _normalised(coarse), nn.ReLU()),
            *(Residual(coarse) for _ in range(depth)),
            *(*_doubled(coarse, upsampling), _normalised(2 * width), nn.ReLU()),
            *(*_doubled(2 * width, upsampling), nn.ReLU()),
            nn.Conv2d(width, 1, 5, padding=2),
        )

    def forward(self, picture_BHW: Tensor) -> Tensor:
        return torch.sigmoid(self.layers(picture_BHW[:, None])[:, 0])


class Patches(Adversary):
    """Pictures [B, H, W] to how real each part of them looks, by least squares (Mao et al., ICCV 2017).

    Where it is how strong something is that tells them apart, they must not be `normalised`.
    """

    def __init__(self, width: int, channels: int = 1, normalised: bool = True) -> None:
        super().__init__()
        middle = _normalised(2 * width) if normalised else nn.Identity()
        self.layers = nn.Sequential(
            *(nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), middle, nn.LeakyReLU(0.2)),
            nn.Conv2d(2 * width, 1, 3, padding=1),
        )

    def forward(self, picture_BHW: Tensor) -> Tensor:
        realness: Tensor = self.layers(self.seen(picture_BHW))
        return realness

    def seen(self, picture_BHW: Tensor) -> Tensor:
        """What it looks at of them [B, C, H, W]."""
        return picture_BHW[:, None]

    def told_apart(self, made: Tensor, real: Tensor) -> Tensor:
        apart: Tensor = (self(made.detach()) ** 2).mean() + ((self(real) - 1) ** 2).mean()
        return apart

    def deceived(self, made: Tensor, real: Tensor) -> Tensor:
        missing: Tensor = ((self(made) - 1) ** 2).mean()
        return missing


class Both(Adversary):
    """Two adversaries, one for each domain."""

    def __init__(self, first: Adversary, second: Adversary) -> None:
        super().__init__()
        self.first, self.second = first, second

    def told_apart(self, made: tuple[Tensor, Tensor], real: tuple[Tensor, Tensor]) -> Tensor:
        return self.first.told_apart(made[0], real[0]) + self.second.told_apart(made[1], real[1])

    def deceived(self, made: tuple[Tensor, Tensor], real: tuple[Tensor, Tensor]) -> Tensor:
        return self.first.deceived(made[0], real[0]) + self.second.deceived(made[1], real[1])


class Cycle(nn.Module):
    """A network each way; what goes there and back is to be what it was."""

    def __init__(self, forth: nn.Module, back: nn.Module) -> None:
        super().__init__()
        self.forth, self.back = forth, back

    def there_and_back(self, first: Tensor, second: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """(Made of the second domain, made of the first), and each domain's pictures when they have come back."""
        to_second, to_first = self.forth(first), self.back(second)
        return (to_second, to_first), (self.back(to_second), self.forth(to_first))

    def lost(self, before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor]) -> Tensor:
        """How much is missing of each domain's pictures when they have come back."""
        return F.l1_loss(after[0], before[0]) + F.l1_loss(after[1], before[1])

    def unchanged(self, first: Tensor, second: Tensor) -> Tensor:
        """How much is changed of pictures that are of the wanted domain already."""
        return F.l1_loss(self.back(first), first) + F.l1_loss(self.forth(second), second)

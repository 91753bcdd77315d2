"""Two networks that others made for noise, in their published sizes, to compare with: both work at full resolution.

DnCNN    Zhang et al., Beyond a Gaussian denoiser, IEEE Trans. Image Process. 26(7), 2017: 0.56 M parameters
RED-CNN  Chen et al., Low-dose CT with a residual encoder-decoder convolutional neural network, IEEE Trans. Med. Imaging
         36(12), 2017: 1.85 M parameters

They take slices float32 [B, H, W] in HU and give the same without noise. What lies beyond LOW and HIGH stays.
"""

import torch
from torch import Tensor, nn

# B batch, H height, W width

LOW, HIGH = -1024.0, 2000.0  # HU
NOISE_HU = 50.0  # one unit of what DnCNN gives


class DnCnn(nn.Module):
    """Seventeen convolutions that find the noise, all but the first and the last normalised."""

    def __init__(self, depth: int = 17, width: int = 64) -> None:
        super().__init__()
        inner = [
            part
            for _ in range(depth - 2)
            for part in (nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        ]
        first, last = nn.Conv2d(1, width, 3, padding=1), nn.Conv2d(width, 1, 3, padding=1)
        nn.init.normal_(last.weight, std=1e-3)  # what is taken begins small
        self.noise = nn.Sequential(first, nn.ReLU(), *inner, last)

    def forward(self, slice: Tensor) -> Tensor:
        noise_B1HW: Tensor = self.noise(_shown(slice)).float()
        return slice - NOISE_HU * noise_B1HW[:, 0]


class RedCnn(nn.Module):
    """Five convolutions without padding and their mirror image, which adds what came before every second one."""

    def __init__(self, width: int = 96) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(nn.Conv2d(inputs, width, 5) for inputs in (1, *[width] * 4))
        self.decoder = nn.ModuleList(nn.ConvTranspose2d(width, outputs, 5) for outputs in (*[width] * 4, 1))
        for part in (*self.encoder, *self.decoder):
            nn.init.normal_(part.weight, std=0.01)
            nn.init.zeros_(part.bias)

    def forward(self, slice: Tensor) -> Tensor:
        x_BCHW = shown_B1HW = _shown(slice)
        skips: list[Tensor | None] = []
        for number, convolution in enumerate(self.encoder):
            skips.append(x_BCHW if number % 2 == 0 else None)
            x_BCHW = torch.relu(convolution(x_BCHW))
        for convolution in self.decoder:
            x_BCHW, skip = convolution(x_BCHW), skips.pop()
            x_BCHW = torch.relu(x_BCHW if skip is None else x_BCHW + skip)
        return slice + (HIGH - LOW) * (x_BCHW - shown_B1HW).float()[:, 0]


def _shown(slice: Tensor) -> Tensor:
    """From 0 to 1 [B, 1, H, W]."""
    shown_B1HW: Tensor = (slice[:, None].clamp(LOW, HIGH) - LOW) / (HIGH - LOW)
    return shown_B1HW

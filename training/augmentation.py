"""New views of training images, drawn from torch's seeded generator."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

# B batch, H height, W width


@dataclass(frozen=True, kw_only=True)
class Affine:
    """Standard deviations of a random affine view: degrees, pixels, and two shares."""

    rotation: float = 10.0
    shift: float = 1.2
    scale: float = 0.08
    shear: float = 0.10

    def __call__(self, image_BHW: Tensor) -> Tensor:
        """A new view of every image, its parameters normally distributed."""
        size = len(image_BHW)
        angle, shear, scale_x, scale_y, shift_x, shift_y = torch.randn(6, size, device=image_BHW.device)
        angle, shear = angle * np.deg2rad(self.rotation), shear * self.shear
        scale_x, scale_y = 1 + scale_x * self.scale, 1 + scale_y * self.scale
        cos, sin, pixel = torch.cos(angle), torch.sin(angle), self.shift * 2 / image_BHW.shape[-1]
        row_x = torch.stack([scale_x * cos, scale_y * (shear * cos - sin), shift_x * pixel], 1)
        row_y = torch.stack([scale_x * sin, scale_y * (shear * sin + cos), shift_y * pixel], 1)
        grid = F.affine_grid(torch.stack([row_x, row_y], 1), [size, 1, *image_BHW.shape[1:]], align_corners=False)
        return F.grid_sample(image_BHW[:, None], grid, align_corners=False)[:, 0]

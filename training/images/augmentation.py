"""New views of training images, drawn from torch's seeded generator."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

# B batch, H height, W width

KNOTS = 5  # on each side of an elastic field


@dataclass(frozen=True, kw_only=True)
class Affine:
    """Standard deviations of a random affine view: degrees, pixels, two shares, and pixels of elastic bending."""

    rotation: float = 10.0
    shift: float = 1.2
    scale: float = 0.08
    shear: float = 0.10
    elastic: float = 0.0

    def __call__(self, image_BHW: Tensor) -> Tensor:
        """A new view of every image, its parameters normally distributed."""
        size, height, width = image_BHW.shape
        grid = self.grid(torch.randn(6, size, device=image_BHW.device), height, width)
        if self.elastic:
            grid = grid + self._bends(image_BHW)
        return F.grid_sample(image_BHW[:, None], grid, align_corners=False)[:, 0]

    def grid(self, deviations_6B: Tensor, height: int, width: int) -> Tensor:
        """Where views look, [B, H, W, 2], x first, -1 to 1 from edge to edge, without bending.

        They deviate so many standard deviations in angle, shear, width, height and place, across and down.
        """
        angle, shear, scale_x, scale_y, shift_x, shift_y = deviations_6B
        angle, shear = angle * np.deg2rad(self.rotation), shear * self.shear
        scale_x, scale_y = 1 + scale_x * self.scale, 1 + scale_y * self.scale
        cos, sin, pixel = torch.cos(angle), torch.sin(angle), self.shift * 2 / width
        row_x = torch.stack([scale_x * cos, scale_y * (shear * cos - sin), shift_x * pixel], 1)
        row_y = torch.stack([scale_x * sin, scale_y * (shear * sin + cos), shift_y * pixel], 1)
        return F.affine_grid(torch.stack([row_x, row_y], 1), [len(angle), 1, height, width], align_corners=False)

    def _bends(self, image_BHW: Tensor) -> Tensor:
        """A smooth field [B, H, W, 2] of displacements: random ones at a few knots, interpolated between them.

        After Simard et al., Best practices for convolutional neural networks, ICDAR 2003, who smooth with a Gaussian.
        """
        size, height, width = image_BHW.shape
        knots = torch.randn(size, 2, KNOTS, KNOTS, device=image_BHW.device) * (self.elastic * 2 / width)
        return F.interpolate(knots, (height, width), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)


def shifted(image_BHW: Tensor, reach: int = 2) -> Tensor:
    """Every image moved by up to `reach` whole pixels either way; what comes in is black."""
    size, height, width = image_BHW.shape
    top_B1, left_B1 = torch.randint(0, 2 * reach + 1, (2, size, 1), device=image_BHW.device)
    rows_BH = top_B1 + torch.arange(height, device=image_BHW.device)
    columns_BW = left_B1 + torch.arange(width, device=image_BHW.device)
    images = torch.arange(size, device=image_BHW.device)
    return F.pad(image_BHW, (reach,) * 4)[images[:, None, None], rows_BH[:, :, None], columns_BW[:, None, :]]


def mirrored(image_BHW: Tensor) -> Tensor:
    """Every second image, at random, with left and right exchanged."""
    return torch.where(_chosen(image_BHW, 0.5), image_BHW.flip(-1), image_BHW)


@dataclass(frozen=True, kw_only=True)
class Erase:
    """A rectangle of noise over some images (Zhong et al., Random erasing data augmentation, AAAI 2020)."""

    probability: float = 0.5
    area: tuple[float, float] = (0.02, 0.33)  # share of the image
    aspect: float = 3.0  # longer to shorter side, at most

    def __call__(self, image_BHW: Tensor) -> Tensor:
        (size, height, width), device = image_BHW.shape, image_BHW.device
        area_B = torch.empty(size, device=device).uniform_(*self.area) * (height * width)
        aspect_B = self.aspect ** torch.empty(size, device=device).uniform_(-1, 1)
        rows_BH = _span(torch.sqrt(area_B * aspect_B), height)
        columns_BW = _span(torch.sqrt(area_B / aspect_B), width)
        hidden = rows_BH[:, :, None] & columns_BW[:, None, :] & _chosen(image_BHW, self.probability)
        return torch.where(hidden, torch.rand_like(image_BHW) * 255, image_BHW)


def _chosen(image_BHW: Tensor, probability: float) -> Tensor:
    """A random choice of images, bool [B, 1, 1]."""
    return torch.rand(len(image_BHW), 1, 1, device=image_BHW.device) < probability


def _span(length_B: Tensor, side: int) -> Tensor:
    """Stretches of these lengths at random places of a side: bool [B, side], true for pixels whose centre is inside."""
    start_B1 = (torch.rand_like(length_B) * (side - length_B).clamp(min=0))[:, None]
    centre = torch.arange(side, device=length_B.device) + 0.5
    return (centre >= start_B1) & (centre < start_B1 + length_B[:, None])

"""Pictures of digits from elsewhere, brought to the form that MNIST's have, as a service does it for its clients."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data import Images

# N images, H height, W width

SIDE, BOX = 28, 20
ZOOM = 8


def as_mnist(grey_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """White on black [28, 28]: cropped, fitted into 20x20, the centre of mass in the middle.

    LeCun et al., Gradient-based learning applied to document recognition, Proc. IEEE 86(11), 1998, section III.A.
    """
    drawn = grey_HW > 0.1 * grey_HW.max()
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    crop = grey_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    height, width = (max(1, round(length * BOX / max(crop.shape))) for length in crop.shape)
    small = np.asarray(Image.fromarray(crop).resize((width, height), Image.Resampling.BOX)).astype(np.float32)
    top, left = (_margin(small.sum(axis=1 - axis)) for axis in (0, 1))
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    canvas[top : top + height, left : left + width] = np.rint(small * (255 / small.max()))
    return canvas


def enlarged(images: Images, aspect: float = 1.0) -> Images:
    """Small pictures as larger ones, smoothly, in MNIST's form; `aspect` is a pixel's height over its width."""
    height, width = round(images.pixels.shape[1] * ZOOM * aspect), images.pixels.shape[2] * ZOOM
    grey_NHW = np.rint(images.pixels * (255 / images.white)).astype(np.uint8)
    large = (Image.fromarray(grey).resize((width, height), Image.Resampling.BICUBIC) for grey in grey_NHW)
    return Images(np.stack([as_mnist(np.asarray(picture)) for picture in large]), images.labels)


def _margin(mass: NDArray[np.float32]) -> int:
    """How far from the edge a picture with this `mass` along an axis begins, its centre in the middle."""
    centre = float((mass * np.arange(len(mass))).sum() / mass.sum())
    return int(np.clip(round(SIDE / 2 - centre), 0, SIDE - len(mass)))

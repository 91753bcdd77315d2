"""What pictures of handwriting are put together from, and how alike two of them are."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Pixels = NDArray[np.uint8]
SIDE = (28, 28)


def likeness(one: NDArray[np.generic], other: NDArray[np.generic]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def outlined(scan: Pixels, left: int, top: int, right: int, bottom: int, width: int = 3) -> None:
    ImageDraw.Draw(drawn := Image.fromarray(scan)).rectangle((left, top, right, bottom), outline=30, width=width)
    scan[...] = np.asarray(drawn)

"""Pictures of digits from elsewhere, drawn the way the service draws the strokes that it finds in a picture."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.codecs.handwriting.drawing import cut_out, draw
from service.codecs.handwriting.ink import SOFT
from service.codecs.handwriting.pieces import label
from training.data import Images

# N images, H height, W width

SIDE = 28
ZOOM = 8


def as_mnist(grey_HW: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """White on black, whatever is drawn, to [28, 28]: fitted into 20x20, the centre of mass in the middle."""
    ink_HW = grey_HW.astype(np.float32) / grey_HW.max()
    return np.rint(draw(cut_out(ink_HW, label(ink_HW > SOFT)), (SIDE, SIDE)).image).astype(np.uint8)


def enlarged(images: Images, aspect: float = 1.0) -> Images:
    """Small pictures as larger ones, smoothly, in MNIST's form; `aspect` is a pixel's height over its width."""
    height, width = round(images.pixels.shape[1] * ZOOM * aspect), images.pixels.shape[2] * ZOOM
    grey_NHW = np.rint(images.pixels * (255 / images.white)).astype(np.uint8)
    large = (Image.fromarray(grey).resize((width, height), Image.Resampling.BICUBIC) for grey in grey_NHW)
    return Images(np.stack([as_mnist(np.asarray(picture)) for picture in large]), images.labels)

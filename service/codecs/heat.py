"""What a network looked at, as pictures: class-activation maps and the activations of its layers."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.codecs.pictures import sheet

MIN_TILE = 24  # pixels: smaller activations are enlarged to be seen


def heat_map(class_map: NDArray[np.float32], side: tuple[int, int]) -> NDArray[np.uint8]:
    """What speaks for a class where (Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016).

    From black over red and yellow to white, the strongest; what speaks against it is black. [h, w] -> uint8 [H, W, 3].
    """
    positive = Image.fromarray(np.maximum(class_map, 0).astype(np.float32))
    large = np.maximum(np.asarray(positive.resize(side[::-1], Image.Resampling.BICUBIC)), 0)
    heat = 3 * large[..., None] / max(float(large.max()), 1e-12)
    colours: NDArray[np.float32] = 255 * np.clip(heat - np.arange(3, dtype=np.float32), 0, 1)
    return np.rint(colours).astype(np.uint8)


def activation_sheet(activation: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The channels of a layer side by side, black at its least and white at its greatest. [C, h, w], [C, w] or [F]."""
    width = activation.shape[-1] if activation.ndim > 1 else 1
    tiles = activation.reshape(len(activation), -1, width)
    low, high = float(tiles.min()), float(tiles.max())
    grey = np.rint((tiles - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    enlarged = -(-MIN_TILE // max(grey.shape[1:]))
    return sheet(grey.repeat(enlarged, axis=1).repeat(enlarged, axis=2))


def stacked(sheets: list[NDArray[np.uint8]], gap: int = 8) -> NDArray[np.uint8]:
    """Sheets one below the other, `gap` white pixels between them."""
    width = max(one.shape[1] for one in sheets)
    padded = [np.pad(one, ((0, gap), (0, width - one.shape[1])), constant_values=255) for one in sheets]
    return np.concatenate(padded)[:-gap]

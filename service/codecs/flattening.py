"""A decoded picture, whatever its mode, as a small one in grey or in colour.

In strips: a picture of a few kilobytes may be one of hundreds of megabytes, and each layer that is made of all of it,
one for its transparency or its depth, would be as large again.
"""

from collections.abc import Callable
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ENOUGH = 1024 * 768  # pixels: what a model is shown of a picture has far fewer
STRIP = ENOUGH // 4  # pixels of a strip: more, and the interpreter would be held for long

DEPTHS = (1, 2**8 - 1, 2**10 - 1, 2**12 - 1, 2**14 - 1, 2**16 - 1)  # white, in pictures of more than 8 bits
FAINT = 60  # of 255: what their darkest and brightest differ by at least, less than passes for ink in any grain
SPREAD = 16  # times at most, to get there: what is fainter still is noise

Strip = tuple[int, int, int, int]  # left, top, right, bottom


def factor(pixels: int) -> int:
    """By which both sides of a picture are divided so that ENOUGH pixels are left."""
    return ceil(sqrt(pixels / ENOUGH))


def flat(picture: Image.Image, paper: str | None = None) -> Image.Image:
    """The picture in grey or RGB, reduced to ENOUGH of them. In strips: whatever is not, is done to a few at a time.

    What is transparent lies on `paper`, or on the colour that makes the picture seen.
    """
    rest = factor(picture.width * picture.height)
    if rest == 1 and picture.width * picture.height <= STRIP:
        whole = (0, 0, picture.width, picture.height)
        return _flattening(picture, [whole], paper)(picture)
    height = rest * max(1, STRIP // (rest * picture.width))
    strips = [(0, top, picture.width, min(top + height, picture.height)) for top in range(0, picture.height, height)]
    flatten = _flattening(picture, strips, paper)
    flattened = (flatten(picture.crop(strip)) for strip in strips)
    return Image.fromarray(np.concatenate([np.asarray(strip.reduce(rest)) for strip in flattened]))


def _flattening(picture: Image.Image, strips: list[Strip], paper: str | None) -> Callable[[Image.Image], Image.Image]:
    """What makes a strip grey ("L") or "RGB"."""
    if picture.mode.startswith("I") or picture.mode == "F":  # 16-bit and deeper: "L" would clip instead of scale
        ends = [_ends(picture.crop(strip)) for strip in strips]
        low, high = min(low for low, _ in ends), max(high for _, high in ends)
        return lambda strip: Image.fromarray(_as_bytes(_finite(strip), low, high))
    if picture.has_transparency_data:
        behind = paper or _paper(picture, strips)
        return lambda strip: _on_paper(strip.convert("RGBA"), behind)
    mode = "L" if picture.mode in ("1", "L") else "RGB"
    return lambda strip: strip if strip.mode == mode else strip.convert(mode)


def _on_paper(layer: Image.Image, paper: str) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", layer.size, paper), layer).convert("RGB")


def _finite(strip: Image.Image) -> NDArray[np.float32]:
    deep = np.array(strip, dtype=np.float32)
    deep[~np.isfinite(deep)] = 0
    return deep


def _ends(strip: Image.Image) -> tuple[float, float]:
    deep = _finite(strip)
    return float(deep.min()), float(deep.max())


def _as_bytes(deep: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Grey values of a depth that the file does not tell, as 0..255: white is the least depth that holds all of them.

    Values that take up little of it, from `low` to `high`, are spread, the brightest staying where it is.
    """
    white = next((depth for depth in DEPTHS if high <= depth), high)
    spread = FAINT / 255 * white / (high - low) if high > low else 1
    deep -= high
    deep *= 255 / white * min(max(1, spread), SPREAD)
    deep += 255 / white * high
    return np.rint(np.clip(deep, 0, 255, out=deep), out=deep).astype(np.uint8)


def _paper(picture: Image.Image, strips: list[Strip]) -> str:
    """White, unless the picture is light strokes on nothing."""
    ink, alpha = np.zeros(256), np.zeros(256)
    for strip in strips:
        layer = picture.crop(strip).convert("RGBA")
        opacity = layer.getchannel("A")
        ink += layer.convert("L").histogram(opacity)
        alpha += opacity.histogram()
    return "black" if _mean(ink) > 127 and _mean(alpha) < 127 else "white"


def _mean(histogram: NDArray[np.float64]) -> float:
    count = float(histogram.sum())
    return float(histogram @ np.arange(256)) / count if count else 0.0

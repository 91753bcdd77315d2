"""Pictures of no digit, from which a network learns to refuse: letters, signs, shapes, textures, spoilt digits.

Outlier exposure (Hendrycks et al., Deep Anomaly Detection with Outlier Exposure, ICLR 2019).
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from training.images.digit_form import SIDE, as_mnist
from training.images.drawings import drawn_others
from training.images.fonts import HANDWRITING, OTHER_LETTERS, SIGNS, dingbats, handwritten, printed
from training.images.pages import empty_sheets

# N images, H height, W width

Pixels = NDArray[np.uint8]
ZOOM = 4  # shapes are drawn this much larger


def outliers(fonts: str, digits_NHW: Pixels, seed: int, count: int = 2000) -> Pixels:
    """Letters and signs of the data source `fonts` and of handwriting, and about `count` of each other kind.

    Some are made of `digits_NHW`. None is a letter or sign that looks like a digit.
    """
    generator = np.random.default_rng(seed)
    written = OTHER_LETTERS + SIGNS
    return np.concatenate(
        [
            printed(fonts, written).pixels,
            dingbats(fonts),
            handwritten(HANDWRITING, written, max(1, count // 200), generator).pixels,
            drawn_others(count, generator),
            empty_sheets(count, generator),
            np.stack([noise(generator) for _ in range(count)]),
            np.stack([specks(generator) for _ in range(count)]),
            np.stack([texture(generator) for _ in range(count)]),
            np.stack([shape(generator) for _ in range(count)]),
            np.stack([mosaic(_drawn(digits_NHW, 4, generator)) for _ in range(count)]),
            np.stack([pair(*_drawn(digits_NHW, 2, generator)) for _ in range(count)]),
            255 - _drawn(digits_NHW, count // 4, generator),
        ]
    )


def texture(generator: Generator) -> Pixels:
    """Noise of some grain, stretched along one axis or none, of some contrast, sometimes black and white."""
    noise = gaussian_filter(generator.normal(size=(SIDE, SIDE)), generator.uniform(0.4, 5, 2), mode="wrap")
    noise = (noise - noise.mean()) / noise.std()
    if generator.random() < 0.3:
        noise = np.sign(noise - generator.normal())
    return _grey(generator.uniform(0, 200) + noise * generator.uniform(10, 150))


def noise(generator: Generator) -> Pixels:
    """Grey values that have nothing to do with their neighbours', between any two levels."""
    low, high = np.sort(generator.uniform(0, 255, 2))
    return _grey(generator.uniform(low, max(high, low + 30), (SIDE, SIDE)))


def specks(generator: Generator) -> Pixels:
    """A few light pixels or clumps of them on black, of all densities."""
    field = gaussian_filter(generator.normal(size=(SIDE, SIDE)), generator.choice([0.0, 0.5, 0.9]))
    share = np.exp(generator.uniform(np.log(0.004), np.log(0.4)))
    return _grey((field > np.quantile(field, 1 - share)) * generator.uniform(120, 255, (SIDE, SIDE)))


def shape(generator: Generator) -> Pixels:
    """Two or three filled polygons or ellipses, shaded and textured, on black."""
    page = Image.new("L", (SIDE * ZOOM, SIDE * ZOOM))
    pen = ImageDraw.Draw(page)
    for _ in range(generator.integers(1, 4)):
        corners = generator.integers(0, SIDE * ZOOM, (generator.integers(3, 8), 2))
        fill = int(generator.integers(60, 256))
        if generator.random() < 0.3:
            pen.ellipse([*corners.min(0), *corners.max(0)], fill=fill)
        else:
            angles = np.arctan2(*(corners - corners.mean(0)).T)
            pen.polygon([tuple(corner) for corner in corners[np.argsort(angles)].tolist()], fill=fill)
    small = np.asarray(page.resize((SIDE, SIDE), Image.Resampling.BOX)).astype(np.float64)
    return _grey(small * (1 + 0.4 * generator.random() * (texture(generator) / 128.0 - 1)))


def mosaic(digits_NHW: Pixels) -> Pixels:
    """A quarter of each of four digits, every one in a corner that is not its own."""
    half = SIDE // 2
    a, b, c, d = digits_NHW
    return np.block([[d[half:, half:], c[half:, :half]], [b[:half, half:], a[:half, :half]]])


def pair(left_HW: Pixels, right_HW: Pixels) -> Pixels:
    """Two digits side by side, as one picture in MNIST's form."""
    return as_mnist(np.concatenate([left_HW[:, 4:24], right_HW[:, 4:24]], axis=1))


def _drawn(digits_NHW: Pixels, count: int, generator: Generator) -> Pixels:
    return digits_NHW[generator.integers(len(digits_NHW), size=count)]


def _grey(values: NDArray[np.float64]) -> Pixels:
    return np.rint(np.clip(values, 0, 255)).astype(np.uint8)

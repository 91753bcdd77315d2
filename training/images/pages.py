"""Digits as scanners and cameras see them, and sheets without any, prepared as the service prepares pictures."""

import io

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from training.data import Images
from training.images.digit_form import enlarged
from training.images.drawings import seen

# N images, H height, W width

Pixels = NDArray[np.uint8]
SHEET = 224  # pixels


def scans(digits: Images, side: int) -> Images:
    """Digits that fill a frame of `side` pixels, as postal scanners cut them out, enlarged again to MNIST's form."""
    small = np.stack([_filling(digit, side) for digit in digits.pixels])
    return enlarged(Images(small, digits.labels))


def _filling(digit_HW: Pixels, side: int) -> Pixels:
    rows, columns = (np.flatnonzero(digit_HW.max(axis=axis) > 40) for axis in (1, 0))
    cut = Image.fromarray(digit_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    width = min(side, max(3, round(side * cut.width / cut.height * 1.1)))
    small = np.asarray(cut.resize((width, side), Image.Resampling.BOX))
    frame = np.zeros((side, side), np.uint8)
    left = (side - width) // 2
    frame[:, left : left + width] = small
    return frame


def photographs(digits: Images, generator: Generator) -> Images:
    """Each digit in dark ink on a sheet under uneven light, blurred, with grain, as JPEG; those that are found."""
    rows, labels = [], []
    for digit, label in zip(digits.pixels, digits.labels, strict=True):
        if len(found := seen([_photograph(_written(digit, generator), generator)])):
            rows.append(found)
            labels.append(label)
    return Images(np.concatenate(rows), np.array(labels))


def empty_sheets(count: int, generator: Generator) -> Pixels:
    """What the preparation finds on `count` sheets, some of them ruled or squared, on which nothing is written.

    Fewer than `count`: on most it finds nothing.
    """
    return seen(empty_sheet(generator) for _ in range(count))


def empty_sheet(generator: Generator) -> Pixels:
    """A photograph of one, plain, ruled or squared."""
    return _photograph(_ruled(generator), generator)


def _written(digit_HW: Pixels, generator: Generator) -> NDArray[np.float64]:
    """How much of the paper's light is left [H, W]: 1 beside the ink."""
    size = int(generator.integers(60, 180))
    large = np.asarray(Image.fromarray(digit_HW).resize((size, size), Image.Resampling.BICUBIC)) / 255
    light = np.ones((SHEET, SHEET))
    top, left = generator.integers(5, SHEET - size - 5, 2)
    light[top : top + size, left : left + size] -= generator.uniform(0.45, 0.9) * large
    return light


def _ruled(generator: Generator) -> NDArray[np.float64]:
    sheet = Image.new("L", (SHEET, SHEET), 255)
    pen, every, ink = ImageDraw.Draw(sheet), int(generator.integers(14, 50)), int(generator.integers(60, 235))
    width, kind = int(generator.integers(1, 3)), generator.integers(3)
    for at in range(int(generator.integers(every)), SHEET, every):
        if kind in (1, 2):
            pen.line((0, at, SHEET, at), ink, width)
        if kind == 2:
            pen.line((at, 0, at, SHEET), ink, width)
    turned = sheet.rotate(generator.normal(0, 2), Image.Resampling.BILINEAR, fillcolor=255)
    return np.asarray(turned) / 255


def _photograph(left_HW: NDArray[np.float64], generator: Generator) -> Pixels:
    """A sheet that leaves so much of the light, as a cheap camera takes it."""
    across, along = np.meshgrid(np.linspace(-1, 1, SHEET), np.linspace(-1, 1, SHEET))
    slope = generator.normal(0, 0.12, 2)
    light = generator.uniform(0.55, 0.95) * (1 + slope[0] * across + slope[1] * along)
    if generator.random() < 0.4:  # a shadow with a soft edge
        angle, place, soft = generator.uniform(0, 2 * np.pi), generator.normal(0, 0.5), generator.uniform(0.02, 0.5)
        edge = (np.cos(angle) * across + np.sin(angle) * along - place) / soft
        light *= 1 - generator.uniform(0.1, 0.4) / (1 + np.exp(-np.clip(edge, -30, 30)))
    exact = 255 * light * left_HW + generator.normal(0, generator.uniform(1, 6), left_HW.shape)
    picture = Image.fromarray(np.clip(exact, 0, 255).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(generator.uniform(0, 1.2)))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=int(generator.integers(50, 95)))
    return np.asarray(Image.open(file))

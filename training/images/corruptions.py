"""The 15 corruptions of MNIST-C, each as strong as there: what a camera, a scanner or a hand does to a digit.

Mu and Gilmer, MNIST-C: A Robustness Benchmark for Computer Vision, ICML workshop on uncertainty, 2019. Only the motion
blur differs: its kernel is ours, ImageMagick's is not described.
"""

import itertools
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter, shift
from skimage.feature import canny

# N images, H height, W width

Picture = NDArray[np.float64]
"""Grey [H, W] from 0, black, to 1."""

LINE_REACH = 2.3  # pixels from a drawn line to where it fades out
MUD = 63 / 255


def shot_noise(image: Picture, generator: Generator) -> Picture:
    return generator.poisson(image * 3) / 3


def impulse_noise(image: Picture, generator: Generator) -> Picture:
    hit, white = generator.random((2, *image.shape))
    return np.where(hit < 0.17, white < 0.5, image)


def glass_blur(image: Picture, generator: Generator) -> Picture:
    """Smooth, swap half the pixels with a neighbour, twice, smooth.

    Smoothed is from row to row alone: MNIST-C declares a grey picture's columns to be colours, which do not mix.
    """
    blurred = _smooth(image, (0.7, 0))
    for _ in range(2):
        swap, up, left = generator.integers(2, size=(3, *image.shape))
        # From the last pixel to the first, so that what moves up or left may be swapped again.
        for row, column in np.argwhere(swap[2:, 2:])[::-1] + 2:
            here, there = (row, column), (row - up[row, column], column - left[row, column])
            blurred[here], blurred[there] = blurred[there], blurred[here]
    return _smooth(blurred, (0.7, 0))


def motion_blur(image: Picture, generator: Generator) -> Picture:
    """Trail off in one direction, at most 45 degrees from the horizontal."""
    angle = np.deg2rad(generator.uniform(-45, 45))
    weights = np.exp(-(np.arange(10) ** 2) / (2 * 3**2))
    trail = (_moved(image, i * np.sin(angle), i * np.cos(angle)) * weight for i, weight in enumerate(weights))
    blurred: Picture = sum(trail) / weights.sum()
    return blurred


def shear(image: Picture, generator: Generator) -> Picture:
    angle = 0.4 * _sign(generator)
    return _warped(image, [[np.cos(angle), 0], [-np.sin(angle), 1]])


def scale(image: Picture, generator: Generator) -> Picture:
    return _warped(image, np.eye(2) / 0.7)


def rotate(image: Picture, generator: Generator) -> Picture:
    angle = 0.4 * _sign(generator)
    return _warped(image, [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def brightness(image: Picture, generator: Generator) -> Picture:
    return image + 0.5


def translate(image: Picture, generator: Generator) -> Picture:
    return _moved(image, 3 * _sign(generator), 3 * _sign(generator))


def stripe(image: Picture, generator: Generator) -> Picture:
    """Invert the outer quarters."""
    width = image.shape[1]
    outer = np.abs(np.arange(width) - (width - 1) / 2) > width / 4
    return np.where(outer, 1 - image, image)


def fog(image: Picture, generator: Generator) -> Picture:
    height, width = image.shape
    cloud, brightest = 3 * _plasma(generator)[:height, :width], float(image.max())
    return (image + cloud) * brightest / (brightest + 3)


def spatter(image: Picture, generator: Generator) -> Picture:
    liquid = _smooth(generator.normal(0.65, 0.3, image.shape), 1)
    drops = _smooth((liquid > 0.65).astype(np.float64), 1.5)
    drops[drops < 0.8] = 0
    return image * (1 - drops) + MUD * drops


def dotted_line(image: Picture, generator: Generator) -> Picture:
    """Two columns of a line from edge to edge, two without it, and so on."""
    width = image.shape[1]
    start, end = generator.integers(width - 1, size=2)
    return image + _line(image, (start, 0), (end, width - 1)) * (np.arange(width) % 4 >= 2)


def zigzag(image: Picture, generator: Generator) -> Picture:
    """A line of teeth, 4 pixels long and 4 high, about a straight one from column 2 to column 25."""
    height, first, last = image.shape[0], 2, 25
    first_row = generator.integers(height - 1)
    angle = np.arctan2(generator.integers(-5, 5), last - first)
    length = (last - first) / np.cos(angle)
    along = np.array([0, *np.arange(2, length, 4), length])
    across = np.array([0, *(2 * (-1) ** np.arange(len(along) - 2)), 0])
    rows = first_row + along * np.sin(angle) + across * np.cos(angle)
    columns = first + along * np.cos(angle) - across * np.sin(angle)
    corners = list(zip(rows, columns, strict=True))
    for start, end in itertools.pairwise(corners):
        image = image + _line(image, start, end)
    return image


def canny_edges(image: Picture, generator: Generator) -> Picture:
    edges: Picture = canny(image).astype(np.float64)  # type: ignore[no-untyped-call]
    return edges


CORRUPTIONS: dict[str, Callable[[Picture, Generator], Picture]] = {
    corruption.__name__: corruption
    for corruption in (
        *(shot_noise, impulse_noise, glass_blur, motion_blur, shear, scale, rotate, brightness),
        *(translate, stripe, fog, spatter, dotted_line, zigzag, canny_edges),
    )
}


def corrupt(name: str, images_NHW: NDArray[np.uint8], seed: int = 0) -> NDArray[np.uint8]:
    """All images with the corruption `name`, the same under the same seed."""
    generator = np.random.default_rng(seed)
    pictures = [CORRUPTIONS[name](image, generator) for image in images_NHW / 255]
    return np.rint(np.clip(pictures, 0, 1) * 255).astype(np.uint8)


def _sign(generator: Generator) -> int:
    return int(generator.choice([-1, 1]))


def _warped(image: Picture, matrix: object) -> Picture:
    """What lies at matrix @ (row, column), the image's centre being (0, 0)."""
    centre = (np.array(image.shape) - 1) / 2
    turn = np.asarray(matrix)
    warped: Picture = affine_transform(image, turn, centre - turn @ centre, order=1)
    return warped


def _moved(image: Picture, down: float, right: float) -> Picture:
    moved: Picture = shift(image, (down, right), order=1)
    return moved


def _smooth(image: Picture, sigma: float | tuple[float, float]) -> Picture:
    smooth: Picture = gaussian_filter(image, sigma)
    return smooth


def _line(image: Picture, start: tuple[float, float], end: tuple[float, float]) -> Picture:
    """A soft line between two points (row, column), drawn in the columns from one to the other."""
    (row_a, column_a), (row_b, column_b) = sorted((start, end), key=lambda point: point[1])
    rows, columns = np.indices(image.shape)
    slope = (row_b - row_a) / max(column_b - column_a, 1e-6)
    distance = np.abs(rows - row_a - slope * (columns - column_a))
    ink = 1 + np.log(1 - np.minimum(distance, LINE_REACH - 1e-9) / LINE_REACH)
    within = (columns >= np.floor(column_a)) & (columns < np.ceil(column_b))
    line: Picture = np.clip(ink, 0, 1) * within
    return line


def _plasma(generator: Generator, side: int = 256, decay: float = 1.4) -> Picture:
    """Clouds [side, side] from 0 to 1 by midpoint displacement on a torus (Fournier et al., CACM 25, 1982).

    A displacement is, as in MNIST-C, a draw between -h and h times h itself, where h falls by `decay` at each level.
    """
    clouds = np.zeros((side, side))
    step, height = side, 1.0

    def displacements(places: Picture) -> Picture:
        return height * generator.uniform(-height, height, places.shape)

    while step >= 2:
        half = step // 2
        corners = clouds[::step, ::step]
        squares = (corners + np.roll(corners, -1, 0) + np.roll(corners, -1, 1) + np.roll(corners, -1, (0, 1))) / 4
        squares += displacements(squares)
        clouds[half::step, half::step] = squares
        above = (squares + np.roll(squares, 1, 0) + corners + np.roll(corners, -1, 1)) / 4
        clouds[::step, half::step] = above + displacements(above)
        left = (squares + np.roll(squares, 1, 1) + corners + np.roll(corners, -1, 0)) / 4
        clouds[half::step, ::step] = left + displacements(left)
        step, height = half, height / decay
    scaled: Picture = (clouds - clouds.min()) / np.ptp(clouds)
    return scaled

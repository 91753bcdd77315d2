"""Handwritten digits as people photograph, scan and crop them: on sheets, grids and desks, in shadows, small, turned.

Every kind is made of MNIST's digits by a seeded generator, so that it is known what is written.
"""

import io
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from training.data import Images

# H height, W width

Pixels = NDArray[np.uint8]
Light = NDArray[np.float64]
"""What is left of the light [H, W, 3], 0..1."""

PENS = (0.10, 0.10, 0.13), (0.10, 0.15, 0.50), (0.70, 0.12, 0.15), (0.30, 0.30, 0.32)
DESKS = (0.23, 0.16, 0.13), (0.14, 0.14, 0.15), (0.45, 0.32, 0.20), (0.35, 0.36, 0.40)
SKIN = 0.80, 0.60, 0.50


class Scene(NamedTuple):
    """`pixels` [H, W] or [H, W, 3]; `digits` in reading order; with `many`, all of them are to be found."""

    pixels: Pixels
    digits: tuple[int, ...]
    many: bool = False


def _written(digits_NHW: Pixels, height: int, gap: float = 0.0) -> Light:
    """How much ink [H, W] a line of digits has, 0..1; `gap` in widths, a negative one lets them touch."""
    scale = height / 20
    glyphs = []
    for digit in digits_NHW:
        columns = np.flatnonzero(digit.max(axis=0) > 50)
        cut = Image.fromarray(digit[:, columns[0] : columns[-1] + 1])
        size = max(1, round(scale * cut.width)), round(scale * 28)
        glyphs.append(np.asarray(cut.resize(size, Image.Resampling.BICUBIC)) / 255)
    step = round(gap * height)
    line = np.zeros((glyphs[0].shape[0], sum(one.shape[1] for one in glyphs) + step * (len(glyphs) - 1)))
    left = 0
    for one in glyphs:
        place = line[:, left : left + one.shape[1]]
        np.maximum(place, one, out=place)
        left += one.shape[1] + step
    return line


def _on(height: int, width: int, ink: Light, generator: Generator) -> Light:
    """The ink somewhere on a sheet [H, W]."""
    sheet = np.zeros((height, width))
    top, left = (int(generator.integers(0, max(1, room + 1))) for room in np.subtract(sheet.shape, ink.shape))
    sheet[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return sheet


def _page(digit_HW: Pixels, generator: Generator) -> tuple[Light, Light]:
    """A sheet [H, W, 3] with a digit in a third to two thirds of its height, and where the digit is [H, W]."""
    height, width = (int(side) for side in generator.integers(300, 460, 2))
    size = int(min(height, width) * generator.uniform(0.28, 0.5))
    ink = _written(digit_HW[None], size)
    inner = _on(height - 60, width - 60, ink, generator)
    ink = np.pad(inner, 30)
    paper = np.array((1.0, 1.0, 1.0)) * generator.uniform(0.85, 0.97) * (1, generator.uniform(0.96, 1), 0.96)
    return np.broadcast_to(paper, (height, width, 3)).copy(), ink


def _inked(sheet: Light, ink: Light, generator: Generator) -> Light:
    pen = np.array(PENS[generator.integers(len(PENS))])
    return sheet * (1 - ink[..., None]) + pen * ink[..., None]


def _ruled(sheet: Light, generator: Generator, darkness: float, squared: bool) -> Light:
    """Lines of a sheet's pad, `darkness` of the way to a dark blue."""
    height, width = sheet.shape[:2]
    lines = Image.new("L", (width, height))
    pen, every, thick = ImageDraw.Draw(lines), int(generator.integers(22, 60)), int(generator.integers(1, 3))
    for at in range(int(generator.integers(every)), height, every):
        pen.line((0, at, width, at), 255, thick)
    for at in range(int(generator.integers(every)), width if squared else 0, every):
        pen.line((at, 0, at, height), 255, thick)
    share = darkness * np.asarray(lines)[..., None] / 255
    return sheet * (1 - share) + np.array((0.15, 0.22, 0.55)) * share


def _on_desk(sheet: Light, generator: Generator) -> Light:
    """The sheet, turned a little, on a desk that shows all around it or at some of its sides."""
    height, width = sheet.shape[:2]
    margin = generator.integers(0, 60, 4) + 15
    desk = np.array(DESKS[generator.integers(len(DESKS))])
    size = height + int(margin[0] + margin[1]), width + int(margin[2] + margin[3])
    grain = generator.normal(0, 0.015, (size[0], 1, 1))
    table = np.clip(desk + np.broadcast_to(grain, (*size, 3)), 0, 1)
    layers = np.zeros((*size, 4))
    layers[margin[0] : margin[0] + height, margin[2] : margin[2] + width] = np.dstack([sheet, np.ones((height, width))])
    angle = float(generator.normal(0, 3))
    planes = (Image.fromarray(one.astype(np.float32)) for one in layers.transpose(2, 0, 1))
    turned = np.stack([np.asarray(plane.rotate(angle, Image.Resampling.BILINEAR)) for plane in planes], axis=2)
    cover = turned[..., 3:]
    scene: Light = turned[..., :3] + table * (1 - cover)
    return scene


def _shadow(scene: Light, generator: Generator, soft: float = 1.5, depth: float | None = None) -> Light:
    """A shadow across the scene, its edge `soft` pixels wide."""
    height, width = scene.shape[:2]
    down, across = np.mgrid[0:height, 0:width]
    angle = generator.uniform(0, 2 * np.pi)
    place = generator.uniform(0.3, 0.7) * height, generator.uniform(0.3, 0.7) * width
    edge = (np.sin(angle) * (down - place[0]) + np.cos(angle) * (across - place[1])) / soft
    depth = generator.uniform(0.25, 0.5) if depth is None else depth
    dimmed: Light = scene * (1 - depth / (1 + np.exp(-np.clip(edge, -30, 30))))[..., None]
    return dimmed


def _photographed(scene: Light, generator: Generator, quality: int | None = None) -> Pixels:
    """Unevenly lit, a little blurred, with grain, as JPEG."""
    height, width = scene.shape[:2]
    down, across = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    slope = generator.normal(0, 0.06, 2)
    lit = scene * (1 + slope[0] * down + slope[1] * across)[..., None]
    grainy = 255 * lit + generator.normal(0, generator.uniform(1, 4), scene.shape)
    picture = Image.fromarray(np.clip(grainy, 0, 255).astype(np.uint8))
    picture = picture.filter(ImageFilter.GaussianBlur(generator.uniform(0, 1)))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality or int(generator.integers(60, 95)))
    return np.asarray(Image.open(file).convert("RGB"))


def _sheet(digit_HW: Pixels, generator: Generator, *, grid: float = 0, squared: bool = True) -> Light:
    sheet, ink = _page(digit_HW, generator)
    return _inked(_ruled(sheet, generator, grid, squared) if grid else sheet, ink, generator)


def _framed(digit_HW: Pixels, generator: Generator, broken: bool) -> Light:
    sheet = _sheet(digit_HW, generator)
    frame = Image.new("L", sheet.shape[1::-1])
    inset = int(generator.integers(8, 18))
    pen = ImageDraw.Draw(frame)
    pen.rectangle((inset, inset, frame.width - inset, frame.height - inset), outline=255, width=4)
    for _ in range(3 if broken else 0):
        left, top = (int(generator.integers(0, length)) for length in frame.size)
        pen.rectangle((left, 0, left + 5, frame.height), 0)
        pen.rectangle((0, top, frame.width, top + 5), 0)
    return sheet * (1 - 0.8 * np.asarray(frame)[..., None] / 255)


def _with_hand(sheet: Light, generator: Generator) -> Light:
    """A finger that comes in from a side."""
    height, width = sheet.shape[:2]
    finger = Image.new("L", (width, height))
    reach, thick = int(generator.integers(20, 40)), int(generator.integers(30, 60))
    at = int(generator.integers(0, height - thick))
    pen = ImageDraw.Draw(finger)
    pen.rounded_rectangle((-thick, at, reach, at + thick), thick // 2, 255)
    share = np.asarray(finger.filter(ImageFilter.GaussianBlur(1)))[..., None] / 255
    return sheet * (1 - share) + np.array(SKIN) * share


def _line_of(digits_NHW: Pixels, generator: Generator, height: int, gap: float, angle: float = 0) -> Light:
    """A line of digits on white paper with some room around, turned by `angle` degrees."""
    ink = np.pad(_written(digits_NHW, height, gap), height // 3)
    turned = Image.fromarray(ink.astype(np.float32)).rotate(angle, Image.Resampling.BICUBIC, expand=True)
    ink = np.clip(np.asarray(turned), 0, 1)
    return _inked(np.ones((*ink.shape, 3)), ink, generator)


def _small_line(digits_NHW: Pixels, generator: Generator) -> Pixels:
    """60 pixels wide, as a thumbnail is."""
    large = _bytes(_line_of(digits_NHW, generator, 80, generator.uniform(0.1, 0.25)))
    picture = Image.fromarray(large).convert("L")
    return np.asarray(picture.resize((60, round(60 * picture.height / picture.width)), Image.Resampling.BOX))


def filling(digit_HW: Pixels, side: int = 16) -> Pixels:
    """A dark scan of `side` pixels that the digit fills from border to border."""
    rows, columns = (np.flatnonzero(digit_HW.max(axis=axis) > 40) for axis in (1, 0))
    cut = Image.fromarray(digit_HW[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    width = min(side, max(3, round(side * cut.width / cut.height)))
    frame = np.zeros((side, side), np.uint8)
    left = (side - width) // 2
    frame[:, left : left + width] = np.asarray(cut.resize((width, side), Image.Resampling.BOX))
    return frame


def _bytes(scene: Light) -> Pixels:
    return np.rint(255 * np.clip(scene, 0, 1)).astype(np.uint8)


Photograph = Callable[[Pixels, Generator], Light]
Line = Callable[[Pixels, Generator], Pixels]

PHOTOGRAPHS: dict[str, Photograph] = {
    "plain sheet": _sheet,
    "ruled": lambda digit, rng: _sheet(digit, rng, grid=rng.uniform(0.2, 0.5), squared=False),
    "faint grid": lambda digit, rng: _sheet(digit, rng, grid=rng.uniform(0.1, 0.3)),
    "dark grid": lambda digit, rng: _sheet(digit, rng, grid=rng.uniform(0.5, 0.8)),
    "sheet on a desk": lambda digit, rng: _on_desk(_sheet(digit, rng), rng),
    "desk and hard shadow": lambda digit, rng: _shadow(_on_desk(_sheet(digit, rng), rng), rng),
    "desk and dark grid": lambda digit, rng: _on_desk(_sheet(digit, rng, grid=rng.uniform(0.5, 0.8)), rng),
    "desk, dark grid, hard shadow": lambda digit, rng: _shadow(
        _on_desk(_sheet(digit, rng, grid=rng.uniform(0.5, 0.8)), rng), rng
    ),
    "frame": lambda digit, rng: _framed(digit, rng, False),
    "broken frame": lambda digit, rng: _framed(digit, rng, True),
    "hand at the border": lambda digit, rng: _with_hand(_sheet(digit, rng), rng),
}  # fmt: skip
LINES: dict[str, tuple[tuple[int, int], Line]] = {
    "string in 60 pixels": ((3, 6), _small_line),
    "string turned by 30 degrees": (
        (3, 6),
        lambda digits, rng: _photographed(
            _line_of(digits, rng, 60, rng.uniform(0.15, 0.4), float(rng.choice([-30, 30]))), rng
        ),
    ),
    "touching digits": (
        (4, 5),
        lambda digits, rng: _photographed(_line_of(digits, rng, 60, rng.uniform(-0.12, -0.02)), rng),
    ),
    "spaced digits": ((4, 5), lambda digits, rng: _photographed(_line_of(digits, rng, 60, 0.3), rng)),
}  # fmt: skip
PAIR = "two digits, not asked for many"


def scenes(kind: str, digits: Images, count: int, seed: int = 0) -> Iterator[Scene]:
    """`count` scenes of a kind, each with digits that are drawn at random."""
    generator = np.random.default_rng([seed, *kind.encode()])
    for _ in range(count):
        fewest, end = LINES[kind][0] if kind in LINES else (2, 3) if kind == PAIR else (1, 2)
        chosen = generator.integers(len(digits), size=generator.integers(fewest, end))
        pixels, labels = digits.pixels[chosen], tuple(digits.labels[chosen].tolist())
        if kind in LINES:
            yield Scene(LINES[kind][1](pixels, generator), labels, many=True)
        elif kind == PAIR:
            line = _line_of(pixels, generator, 60, generator.uniform(0.05, 0.4))
            yield Scene(_photographed(line, generator), labels)
        elif kind == "scan of 16x16":
            yield Scene(filling(pixels[0]), labels)
        else:
            yield Scene(_photographed(PHOTOGRAPHS[kind](pixels[0], generator), generator), labels)


KINDS = (*PHOTOGRAPHS, *LINES, "scan of 16x16", PAIR)

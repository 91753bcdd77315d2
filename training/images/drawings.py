"""Digits, signs and scribbles as people draw them on a canvas with a mouse, a finger or a pen.

Two ways of drawing: `drawn_digits` follows smooth curves through points that it never hits twice alike, and is for
training; `ruled_digits` uses a drawing program's ellipses, arcs and straight lines, and is for measuring alone.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from service.codecs.handwriting import read_digit
from training.data import Images

# N images, H height, W width

Pixels = NDArray[np.uint8]
Points = NDArray[np.float64]
Strokes = list[Points]
SIDE = 28
PAGE = 280  # pixels
BLACK, WHITE = 0, 255
TURNS = np.linspace(0, 1, 12)[:, None]

Path = tuple[tuple[float, float], ...]
DIGITS: tuple[tuple[tuple[Path, ...], ...], ...] = (
    (
        (((0.5, 0), (0.15, 0.15), (0, 0.5), (0.15, 0.85), (0.5, 1), (0.85, 0.85), (1, 0.5), (0.85, 0.15), (0.5, 0)),),
        (((0.6, 0.05), (0.2, 0.1), (0, 0.5), (0.2, 0.9), (0.5, 1), (0.9, 0.7), (0.95, 0.3), (0.7, 0.05), (0.4, 0.1)),),
    ),
    (
        (((0.5, 0), (0.5, 1)),),
        (((0.5, 0), (0.52, 0.5), (0.5, 1)),),
        (((0.2, 0.25), (0.55, 0)), ((0.55, 0), (0.55, 1))),
        (((0.2, 0.25), (0.55, 0)), ((0.55, 0), (0.55, 1)), ((0.2, 1), (0.9, 1))),
    ),
    (
        (((0.05, 0.25), (0.3, 0), (0.75, 0.05), (0.9, 0.3), (0.6, 0.6), (0, 1)), ((0, 1), (1, 1))),
        (((0.1, 0.2), (0.5, 0), (0.85, 0.25), (0.5, 0.7), (0.1, 0.95), (0.2, 0.8), (0.5, 0.9), (1, 1)),),
    ),
    (
        (((0.1, 0.1), (0.5, 0), (0.85, 0.2), (0.45, 0.47)), ((0.45, 0.47), (0.95, 0.7), (0.5, 1), (0.05, 0.88))),
        (((0.1, 0), (0.9, 0)), ((0.9, 0), (0.4, 0.4)), ((0.4, 0.4), (0.95, 0.65), (0.6, 1), (0.05, 0.9))),
    ),
    (
        (((0.25, 0), (0.05, 0.6)), ((0.05, 0.6), (1, 0.6)), ((0.75, 0.15), (0.7, 1))),
        (((0.75, 0), (0, 0.65)), ((0, 0.65), (1, 0.65)), ((0.75, 0), (0.75, 1))),
    ),
    (
        (
            ((0.9, 0), (0.2, 0)),
            ((0.2, 0), (0.15, 0.45)),
            ((0.15, 0.45), (0.6, 0.38), (0.95, 0.7), (0.55, 1), (0.05, 0.9)),
        ),
        (((0.9, 0.05), (0.25, 0)), ((0.25, 0), (0.1, 0.5), (0.6, 0.42), (0.9, 0.75), (0.5, 1), (0, 0.9))),
    ),
    (
        (((0.75, 0), (0.25, 0.35), (0.05, 0.75), (0.45, 1), (0.9, 0.8), (0.75, 0.52), (0.35, 0.5), (0.08, 0.72)),),
        (((0.5, 0), (0.15, 0.5), (0.15, 0.9), (0.55, 1), (0.9, 0.75), (0.5, 0.55), (0.12, 0.75)),),
    ),
    (
        (((0, 0), (1, 0)), ((1, 0), (0.35, 1))),
        (((0, 0), (1, 0)), ((1, 0), (0.6, 0.5), (0.4, 1)), ((0.3, 0.5), (0.9, 0.5))),
        (((0, 0.15), (0, 0)), ((0, 0), (1, 0)), ((1, 0), (0.4, 1))),
    ),
    (
        (
            ((0.5, 0.48), (0.15, 0.28), (0.3, 0.02), (0.7, 0.02), (0.85, 0.28), (0.5, 0.48)),
            ((0.5, 0.48), (0.05, 0.75), (0.3, 1), (0.7, 1), (0.95, 0.75), (0.5, 0.48)),
        ),
        (((0.85, 0.12), (0.4, 0), (0.15, 0.25), (0.85, 0.7), (0.5, 1), (0.1, 0.75), (0.8, 0.3), (0.85, 0.12)),),
    ),
    (
        (
            ((0.9, 0.3), (0.6, 0.02), (0.15, 0.15), (0.15, 0.42), (0.55, 0.52), (0.9, 0.28)),
            ((0.9, 0.25), (0.85, 0.6), (0.7, 1)),
        ),
        (((0.85, 0.1), (0.4, 0.02), (0.1, 0.3), (0.5, 0.52), (0.9, 0.1)), ((0.9, 0.1), (0.9, 1))),
    ),
)  # fmt: skip

SIGNS: tuple[tuple[Path, ...], ...] = (
    (((0, 0), (1, 1)), ((1, 0), (0, 1))),  # a cross
    (((0.5, 0), (0.5, 1)), ((0, 0.5), (1, 0.5))),  # plus
    (((0, 0.35), (1, 0.35)), ((0, 0.65), (1, 0.65))),  # equals
    (((0, 0.6), (0.35, 1)), ((0.35, 1), (1, 0))),  # a tick
    (((0.5, 0), (0, 1)), ((0, 1), (1, 1)), ((1, 1), (0.5, 0))),  # a triangle
    (((0, 0.5), (1, 0.5)), ((0.6, 0.2), (1, 0.5)), ((1, 0.5), (0.6, 0.8))),  # an arrow
    (((0.5, 0), (0.5, 1)), ((0, 0.5), (1, 0.5)), ((0.1, 0.1), (0.9, 0.9)), ((0.9, 0.1), (0.1, 0.9))),  # a star
    (((0.5, 0.3), (0.3, 0), (0, 0.3), (0.5, 1)), ((0.5, 0.3), (0.7, 0), (1, 0.3), (0.5, 1))),  # a heart
    (((0.3, 0), (0.2, 1)), ((0.8, 0), (0.7, 1)), ((0, 0.35), (1, 0.35)), ((0, 0.7), (1, 0.7))),  # a hash
    (((0, 0.5), (0.2, 0.2), (0.4, 0.8), (0.6, 0.2), (0.8, 0.8), (1, 0.5)),),  # a wave
    (((0, 1), (0.2, 0)), ((0.2, 0), (0.4, 1)), ((0.4, 1), (0.6, 0)), ((0.6, 0), (0.8, 1))),  # a zigzag
    (((0.5, 0.5), (0.6, 0.4), (0.7, 0.6), (0.4, 0.8), (0.2, 0.4), (0.6, 0.1), (1, 0.5), (0.5, 1)),),  # a spiral
    (((0, 0), (1, 0)), ((0, 1), (1, 1)), ((0.3, 0), (0.3, 1)), ((0.7, 0), (0.7, 1))),  # two columns
    (((0, 0.5), (1, 0.5)),),  # a dash
)  # fmt: skip


class Pen(NamedTuple):
    """`width` in pixels of the page; a `smooth` one leaves soft edges, as a canvas with antialiasing does."""

    width: float
    smooth: bool
    light: bool


def hand(paths: Iterable[Path], generator: Generator, shake: float = 0.035) -> Strokes:
    """Curves near the points of the paths, in the unit square."""
    return [_curve(np.array(path) + generator.normal(0, shake, (len(path), 2))) for path in paths]


def scribble(generator: Generator) -> Strokes:
    """One to three curves from anywhere to anywhere."""
    return [_curve(generator.uniform(0, 1, (generator.integers(6, 14), 2))) for _ in range(generator.integers(1, 4))]


def _curve(points: Points) -> Points:
    """A Catmull-Rom spline through the points; a straight line through two."""
    if len(points) == 2:
        return points
    before, after = 2 * points[0] - points[1], 2 * points[-1] - points[-2]
    p = np.concatenate([[before], points, [after]])
    pieces = [
        b + TURNS * (c - a) / 2 + TURNS**2 * (a - 2.5 * b + 2 * c - d / 2) + TURNS**3 * (1.5 * (b - c) + (d - a) / 2)
        for a, b, c, d in zip(p, p[1:], p[2:], p[3:], strict=False)
    ]
    return np.concatenate(pieces)


def page_of(strokes: Strokes, generator: Generator, pen: Pen, size: tuple[float, float], turn: float = 0.0) -> Pixels:
    """The strokes somewhere on a page [280, 280], `size` wide and high in pixels, turned by so many radians."""
    slant = generator.normal(0, 0.15)
    zoom = 3 if pen.smooth else 1
    page = Image.new("L", (PAGE * zoom, PAGE * zoom), BLACK if pen.light else WHITE)
    draw, ink = ImageDraw.Draw(page), WHITE if pen.light else BLACK
    rest = [PAGE - 2 * pen.width - length for length in size]
    centre = [PAGE / 2 + generator.uniform(-0.3, 0.3) * max(0, room) for room in rest]
    cosine, sine = np.cos(turn), np.sin(turn)
    for stroke in strokes:
        x, y = (stroke - 0.5).T * np.array(size)[:, None]
        x = x - slant * y
        x, y = cosine * x - sine * y, sine * x + cosine * y
        places = [(zoom * (centre[0] + a), zoom * (centre[1] + b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
        draw.line(places, ink, max(1, round(zoom * pen.width)), joint="curve")
        radius = zoom * pen.width / 2
        for a, b in (places[0], places[-1]) if radius > 1 else ():
            draw.ellipse((a - radius, b - radius, a + radius, b + radius), ink)
    small = page.resize((PAGE, PAGE), Image.Resampling.BOX) if zoom > 1 else page
    return np.asarray(small)


def any_pen(generator: Generator, thinnest: float = 0.008, thickest: float = 0.13) -> Pen:
    """Of a width between these shares of the page."""
    width = PAGE * float(np.exp(generator.uniform(np.log(thinnest), np.log(thickest))))
    return Pen(width, bool(generator.random() < 0.7), bool(generator.random() < 0.5))


def any_size(generator: Generator) -> tuple[float, float]:
    height = generator.uniform(0.35, 0.85) * PAGE
    return height * generator.uniform(0.35, 0.95), height


def seen(pages: Iterable[Pixels]) -> Pixels:
    """What the service shows a model of each page with ink: [N, 28, 28]."""
    found = (read_digit(page, (SIDE, SIDE)) for page in pages)
    return np.stack([np.rint(digit.image).astype(np.uint8) for digit in found if digit is not None])


def drawn_digits(count: int, generator: Generator, which: str = "0123456789") -> Images:
    """`count` of each of the digits `which` by hand, as a model sees them."""
    rows, labels = [], []
    for label in map(int, which):
        forms, pages = DIGITS[label], []
        for _ in range(count):
            strokes = hand(forms[generator.integers(len(forms))], generator)
            pages.append(page_of(strokes, generator, any_pen(generator), any_size(generator), generator.normal(0, 0.1)))
        rows.append(seen(pages))
        labels.append(np.full(len(rows[-1]), label))
    return Images(np.concatenate(rows), np.concatenate(labels))


def drawn_others(count: int, generator: Generator) -> Pixels:
    """`count` signs by hand and as many scribbles, as a model sees them."""
    pages = []
    for number in range(2 * count):
        strokes = scribble(generator) if number % 2 else hand(SIGNS[generator.integers(len(SIGNS))], generator)
        square = generator.uniform(0.3, 0.85) * PAGE
        pen = any_pen(generator, thickest=0.08)
        pages.append(page_of(strokes, generator, pen, (square * generator.uniform(0.6, 1.3), square)))
    return seen(pages)


Shape = tuple[str, *tuple[int, ...]]
"""A line's, oval's or arc's name, its coordinates on the page and, for an arc, where it starts and ends in degrees."""

RULED: tuple[tuple[Shape, ...], ...] = (
    (("oval", 90, 60, 190, 220),),
    (("line", 140, 60, 140, 220),),
    (("arc", 90, 60, 190, 150, 180, 30), ("line", 183, 130, 92, 220), ("line", 90, 220, 190, 220)),
    (("arc", 95, 60, 180, 140, 200, 90), ("arc", 90, 138, 190, 220, 270, 160)),
    (("line", 165, 60, 90, 170), ("line", 90, 170, 190, 170), ("line", 165, 60, 165, 220)),
    (("line", 185, 60, 105, 60), ("line", 105, 60, 102, 130), ("arc", 85, 115, 190, 220, 230, 150)),
    (("arc", 92, 60, 260, 300, 185, 265), ("oval", 92, 135, 182, 220)),
    (("line", 90, 60, 190, 60), ("line", 190, 60, 125, 220)),
    (("oval", 100, 60, 180, 138), ("oval", 92, 136, 188, 220)),
    (("oval", 98, 60, 182, 142), ("line", 181, 100, 165, 220)),
)


def _rule(pen: ImageDraw.ImageDraw, shape: Shape, width: int) -> None:
    kind, *at = shape
    if kind == "line":
        pen.line(at, WHITE, width)
    elif kind == "oval":
        pen.ellipse(at, None, WHITE, width)
    else:
        pen.arc(at[:4], at[4], at[5], WHITE, width)


def ruled_digits(count: int, generator: Generator) -> Images:
    """`count` of each digit with a drawing program's shapes, in all pen widths and slants, as a model sees them."""
    rows, labels = [], []
    for label in range(10):
        pages = [ruled_page(label, int(generator.integers(3, 31)), generator) for _ in range(count)]
        rows.append(seen(page if generator.random() < 0.5 else 255 - page for page in pages))
        labels.append(np.full(len(rows[-1]), label))
    return Images(np.concatenate(rows), np.concatenate(labels))


def ruled_page(label: int, width: int, generator: Generator) -> Pixels:
    """A digit of such shapes [280, 280], white on black, slanted."""
    page = Image.new("L", (PAGE, PAGE), BLACK)
    pen = ImageDraw.Draw(page)
    for shape in RULED[label]:
        _rule(pen, shape, width)
    slant = generator.uniform(-0.25, 0.25)
    form = (1, slant, -slant * PAGE / 2, 0, 1, 0)
    return np.asarray(page.transform(page.size, Image.Transform.AFFINE, form, Image.Resampling.BILINEAR))

"""Drawn anatomy: bodies with organs, lungs with vessels, ribs, spine, skulls and lesions of known contrast.

A body is a list of shapes in mm about the isocentre, x to the patient's left and y to the back, drawn one over the
other at any pixel spacing: a truth without noise, as sharp as what a scanner resolves, and no two are alike. Sizes and
Hounsfield units are those of textbooks, with a spread wider than nature's: they are to widen two patients to many, not
to look like one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Image = NDArray[np.float32]
Rng = np.random.Generator
AIR, FAT, MUSCLE = -1000.0, -100.0, 55.0  # HU


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A superellipse (`power` 2 is an ellipse) of half-axes `a` and `b`, turned by `turn` radians, or what is between
    two discs where `end` (x, y, radius) is given. It covers what is below; with `adds` it is added to that."""

    x: float
    y: float
    a: float
    b: float
    hu: float
    turn: float = 0.0
    power: float = 2.0
    end: tuple[float, float, float] | None = None
    adds: bool = False

    @property
    def reach(self) -> tuple[float, float, float, float]:
        """Left, right, top and bottom."""
        far = max(self.a, self.b) * (1 if self.power <= 2 else math.sqrt(2))
        x, y, radius = self.end or (self.x, self.y, far)
        return (
            min(self.x - far, x - radius),
            max(self.x + far, x + radius),
            min(self.y - far, y - radius),
            max(self.y + far, y + radius),
        )

    def depth(self, x_W: Image, y_H1: Image) -> Image:
        """How far inside the edge a point is, in mm, about: exact for discs and what is between them."""
        dx, dy = x_W - self.x, y_H1 - self.y
        if self.end is not None:
            along, up = self.end[0] - self.x, self.end[1] - self.y
            share = np.clip((dx * along + dy * up) / max(along**2 + up**2, 1e-6), 0, 1)
            radius = self.a + share * (self.end[2] - self.a)
            return np.asarray(radius - np.hypot(dx - share * along, dy - share * up), np.float32)
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        u, v = np.abs(dx * cos + dy * sin) / self.a, np.abs(dy * cos - dx * sin) / self.b
        distance = np.hypot(u, v) if self.power == 2 else (u**self.power + v**self.power) ** (1 / self.power)
        return np.asarray((1 - distance) * min(self.a, self.b), np.float32)


@dataclass(frozen=True, kw_only=True)
class Body:
    """`blur_mm` is how far an edge spreads; `texture` in HU of what varies within soft tissue over `grain_mm`."""

    shapes: tuple[Shape, ...]
    blur_mm: float = 1.0
    texture: float = 0.0
    grain_mm: float = 5.0
    seed: int = 0
    lesions: tuple[Shape, ...] = field(default=())

    def draw(self, x_W: Image, y_H: Image) -> Image:
        """In HU at columns `x_W` and rows `y_H` in mm, evenly spaced."""
        image = np.full((len(y_H), len(x_W)), AIR, np.float32)
        pixel = float(x_W[1] - x_W[0])
        for shape in (*self.shapes, *self.lesions):
            _paint(image, shape, x_W, y_H, max(self.blur_mm, pixel))
        if self.texture:
            rng = np.random.default_rng(self.seed)
            grain = gaussian_filter(rng.standard_normal(image.shape).astype(np.float32), self.grain_mm / pixel)
            within = np.clip((image + 950) / 200, 0, 1) * np.clip((400 - image) / 200, 0, 1)
            image += self.texture * within * grain / max(float(grain.std()), 1e-6)
        return image


def _paint(image: Image, shape: Shape, x_W: Image, y_H: Image, edge: float) -> None:
    left, right, top, bottom = shape.reach
    columns = slice(*np.searchsorted(x_W, (left - edge, right + edge)))
    rows = slice(*np.searchsorted(y_H, (top - edge, bottom + edge)))
    if columns.start == columns.stop or rows.start == rows.stop:
        return
    inside = np.clip(shape.depth(x_W[columns], y_H[rows, None]) / edge + 0.5, 0, 1)
    cover = inside * inside * (3 - 2 * inside)
    below = image[rows, columns]
    below += cover * (shape.hu if shape.adds else shape.hu - below)


def add_lesions(image: Image, lesions: tuple[Shape, ...], x_W: Image, y_H: Image, blur_mm: float = 1.0) -> None:
    """Lay lesions over a slice that is drawn already, or real."""
    for lesion in lesions:
        _paint(image, lesion, x_W, y_H, max(blur_mm, float(x_W[1] - x_W[0])))


def lesion(x: float, y: float, diameter: float, contrast: float) -> Shape:
    return Shape(x=x, y=y, a=diameter / 2, b=diameter / 2, hu=contrast, adds=True)


def random_lesions(rng: Rng, count: int, spread: tuple[float, float], centre: tuple[float, float]) -> tuple[Shape, ...]:
    """Of 3 to 12 mm and -30 to +60 HU, within `spread` of the centre both ways; none fainter than 8 HU."""
    found = []
    for _ in range(count):
        contrast = rng.uniform(-30, 60)
        drawn = lesion(
            centre[0] + rng.uniform(-1, 1) * spread[0],
            centre[1] + rng.uniform(-1, 1) * spread[1],
            rng.uniform(3, 12),
            math.copysign(max(abs(contrast), 8), contrast),
        )
        found.append(replace(drawn, b=drawn.a * rng.uniform(0.7, 1), turn=rng.uniform(0, math.pi)))
    return tuple(found)


def _trunk(rng: Rng, a: float, b: float) -> list[Shape]:
    """Skin, fat, the wall of muscle and the spine, which every slice of the trunk has."""
    fat, power = rng.uniform(6, 35), rng.uniform(2, 2.6)
    wall = rng.uniform(6, 15)
    inside = rng.uniform(-110, 40) if rng.random() < 0.7 else FAT
    spine_y = b - fat - rng.uniform(28, 40)
    shapes = [
        Shape(x=0, y=0, a=a, b=b, hu=rng.uniform(0, 60), power=power),
        Shape(x=0, y=0, a=a - rng.uniform(1, 2.5), b=b - 2, hu=rng.uniform(-115, -85), power=power),
        Shape(x=0, y=0, a=a - fat, b=b - fat, hu=rng.uniform(40, 70), power=power),
        Shape(x=0, y=-2, a=a - fat - wall, b=b - fat - wall, hu=inside, power=power),
    ]
    for side in (-1, 1):  # the muscles of the back
        shapes.append(Shape(x=side * 34, y=spine_y + 16, a=27, b=19, hu=rng.uniform(35, 65), turn=side * 0.2))
    return [*shapes, *_vertebra(rng, 0, spine_y)]


def _vertebra(rng: Rng, x: float, y: float) -> list[Shape]:
    cortex, marrow = rng.uniform(350, 900), rng.uniform(80, 300)
    shapes = [Shape(x=x + s * 12, y=y + 22, a=4, b=4, hu=cortex, end=(x + s * 38, y + 27, 3)) for s in (-1, 1)]
    shapes += [
        Shape(x=x, y=y + 28, a=4, b=4, hu=cortex, end=(x, y + 48, 3)),
        Shape(x=x, y=y + 20, a=15, b=12, hu=cortex),
        Shape(x=x, y=y + 20, a=10, b=8, hu=rng.uniform(5, 40)),
        Shape(x=x, y=y, a=rng.uniform(17, 23), b=rng.uniform(13, 17), hu=cortex, power=2.3),
    ]
    body = shapes[-1]
    shapes.append(replace(body, a=body.a - rng.uniform(1, 2.5), b=body.b - rng.uniform(1, 2.5), hu=marrow))
    for _ in range(rng.integers(0, 40)):  # trabeculae
        u, v = rng.uniform(-0.6, 0.6, 2)
        shapes.append(Shape(x=x + u * body.a, y=y + v * body.b, a=0.8, b=0.8, hu=marrow + rng.uniform(-80, 200)))
    return shapes


def _ribs(rng: Rng, a: float, b: float) -> list[Shape]:
    shapes = []
    for angle in np.arange(0, 2 * math.pi, 2 * math.pi / rng.integers(10, 22)) + rng.uniform(0, 1):
        x, y = a * math.cos(angle), b * math.sin(angle)
        long, thick, cortex = rng.uniform(5, 18), rng.uniform(3, 6), rng.uniform(350, 1100)
        turn = math.atan2(b * math.cos(angle), -a * math.sin(angle)) + rng.uniform(-0.15, 0.15)
        shapes.append(Shape(x=x, y=y, a=long, b=thick, hu=cortex, turn=turn))
        wall = rng.uniform(0.8, 1.6)
        shapes.append(Shape(x=x, y=y, a=long - wall, b=thick - wall, hu=rng.uniform(50, 350), turn=turn))
    return shapes


def _vessels(rng: Rng, x: float, y: float, a: float, b: float, count: int, hu: tuple[float, float]) -> list[Shape]:
    """Discs where they cross the slice and branches where they run in it, many thin ones and a few thick, in a lung."""
    shapes = []
    for _ in range(count):
        u, v = rng.uniform(-0.95, 0.95, 2)
        if u * u + v * v > 0.9:
            continue
        radius = min(0.35 * rng.random() ** -0.6, 5.0)
        at_x, at_y, bright = x + u * a, y + v * b, rng.uniform(*hu)
        if rng.random() < 0.5:
            disc = Shape(x=at_x, y=at_y, a=radius * rng.uniform(1, 2), b=radius, hu=bright, turn=rng.uniform(0, 3))
            shapes.append(disc)
            continue
        heading = rng.uniform(0, 2 * math.pi)
        for _ in range(rng.integers(1, 5)):
            length, thinner = rng.uniform(3, 14), radius * rng.uniform(0.6, 0.95)
            to = at_x + length * math.cos(heading), at_y + length * math.sin(heading)
            shapes.append(Shape(x=at_x, y=at_y, a=radius, b=radius, hu=bright, end=(*to, thinner)))
            at_x, at_y, radius, heading = *to, thinner, heading + rng.uniform(-0.8, 0.8)
    return shapes


def chest(rng: Rng) -> Body:
    a, b = rng.uniform(140, 205), rng.uniform(95, 140)
    shapes = _trunk(rng, a, b)
    cage_a, cage_b = a - rng.uniform(25, 45), b - rng.uniform(18, 30)
    shapes += _ribs(rng, cage_a, cage_b)
    contrast = rng.uniform(30, 60) if rng.random() < 0.5 else rng.uniform(120, 400)
    lung_hu, lung_a, lung_b = rng.uniform(-920, -780), cage_a * rng.uniform(0.36, 0.44), cage_b * rng.uniform(0.7, 0.88)
    for side in (-1, 1):
        x, y = side * (cage_a - lung_a - rng.uniform(4, 9)), rng.uniform(-8, 4)
        shapes.append(Shape(x=x, y=y, a=lung_a, b=lung_b, hu=lung_hu, power=rng.uniform(2, 2.8), turn=side * 0.1))
        if rng.random() < 0.6:  # a fissure
            end = (x + rng.uniform(-1, 1) * lung_a * 0.8, y + lung_b * 0.7, 0.4)
            shapes.append(Shape(x=x - side * lung_a * 0.6, y=y - lung_b * 0.5, a=0.4, b=0.4, hu=lung_hu + 250, end=end))
        for _ in range(rng.integers(2, 9)):  # bronchi
            at = x + rng.uniform(-0.6, 0.6) * lung_a, y + rng.uniform(-0.6, 0.6) * lung_b
            bore = rng.uniform(0.8, 4)
            shapes.append(Shape(x=at[0], y=at[1], a=bore + rng.uniform(0.5, 1.3), b=bore + 1, hu=rng.uniform(-200, 40)))
            shapes.append(Shape(x=at[0], y=at[1], a=bore, b=bore, hu=-980))
        shapes += _vessels(rng, x, y, lung_a, lung_b, int(rng.integers(100, 450)), (-150, max(contrast, 60)))
    heart = Shape(x=rng.uniform(-5, 15), y=rng.uniform(-20, 5), a=rng.uniform(28, 58), b=rng.uniform(35, 60), hu=45)
    shapes += [heart, replace(heart, a=heart.a * 0.5, b=heart.b * 0.5, hu=contrast)]
    for _ in range(rng.integers(2, 7)):  # great vessels
        at = rng.uniform(-28, 28), rng.uniform(-45, 35)
        shapes.append(Shape(x=at[0], y=at[1], a=rng.uniform(4, 15), b=rng.uniform(4, 14), hu=contrast))
    shapes.append(Shape(x=rng.uniform(-6, 6), y=rng.uniform(0, 25), a=rng.uniform(6, 10), b=8, hu=-990))  # trachea
    return _finished(rng, shapes, (a * 0.6, b * 0.7))


def abdomen(rng: Rng) -> Body:
    a, b = rng.uniform(140, 200), rng.uniform(95, 140)
    shapes = _trunk(rng, a, b)
    liver = Shape(x=-a * 0.38, y=-b * 0.1, a=a * 0.38, b=b * 0.55, hu=rng.uniform(45, 120), power=2.3, turn=0.3)
    spleen = Shape(x=a * 0.55, y=b * 0.1, a=a * 0.16, b=b * 0.35, hu=rng.uniform(45, 130), turn=-0.4)
    shapes += [liver, spleen]
    for side in (-1, 1):
        kidney = Shape(x=side * rng.uniform(50, 70), y=b * 0.3, a=24, b=30, hu=rng.uniform(30, 200), turn=side * 0.5)
        shapes += [kidney, replace(kidney, a=10, b=14, hu=rng.uniform(-60, 30))]
    for _ in range(rng.integers(4, 16)):  # the bowel
        x, y = rng.uniform(-0.5, 0.6) * a, rng.uniform(-0.65, 0.25) * b
        loop, wall = rng.uniform(8, 24), rng.uniform(1.5, 4)
        inside = rng.choice([-990.0, rng.uniform(0, 30), rng.uniform(150, 400), rng.uniform(-80, 40)])
        bowel = Shape(x=x, y=y, a=loop, b=loop * rng.uniform(0.5, 1), hu=rng.uniform(30, 100), turn=rng.uniform(0, 3))
        shapes += [bowel, replace(bowel, a=bowel.a - wall, b=max(1.0, bowel.b - wall), hu=float(inside))]
    shapes += _vessels(rng, 0, -0.1 * b, a * 0.6, b * 0.6, int(rng.integers(40, 150)), (10, 220))
    shapes += _vessels(rng, liver.x, liver.y, liver.a * 0.8, liver.b * 0.8, 30, (liver.hu - 30, liver.hu + 60))
    shapes.append(Shape(x=rng.uniform(-5, 12), y=b * 0.2, a=10, b=10, hu=rng.uniform(40, 350)))  # aorta
    return _finished(rng, shapes, (a * 0.6, b * 0.7))


def head(rng: Rng) -> Body:
    a, b = rng.uniform(68, 82), rng.uniform(85, 105)
    bone, grey, white = rng.uniform(4, 9), rng.uniform(35, 42), rng.uniform(24, 32)
    skull = Shape(x=0, y=0, a=a - 5, b=b - 5, hu=rng.uniform(900, 1700), power=2.1)
    brain = replace(skull, a=skull.a - bone, b=skull.b - bone, hu=grey)
    shapes = [Shape(x=0, y=0, a=a, b=b, hu=rng.uniform(-60, 50)), skull, brain]
    if rng.random() < 0.7:  # the spongy middle layer
        shapes[1:] = [skull, replace(skull, a=skull.a - 1.5, b=skull.b - 1.5, hu=rng.uniform(300, 900))]
        shapes += [replace(skull, a=skull.a - bone + 1.5, b=skull.b - bone + 1.5), brain]
    for _ in range(rng.integers(8, 30)):
        u, v = rng.uniform(-0.65, 0.65, 2)
        size = rng.uniform(5, 22)
        shapes.append(Shape(x=u * a, y=v * b, a=size, b=size * rng.uniform(0.3, 1), hu=white, turn=rng.uniform(0, 3)))
    for side in (-1, 1):  # ventricles
        shapes.append(Shape(x=side * rng.uniform(6, 12), y=-5, a=4, b=rng.uniform(10, 26), hu=6, turn=side * 0.3))
    shapes += [Shape(x=0, y=-b * 0.7, a=0.8, b=0.8, hu=60, end=(0, b * 0.7, 0.8))]  # falx
    for _ in range(rng.integers(0, 30)):  # air cells and bone of the base
        u, v = rng.uniform(-0.7, 0.7), rng.uniform(-0.9, -0.3)
        hu = float(rng.choice([-990.0, 700.0, 1200.0]))
        shapes.append(Shape(x=u * a, y=v * b, a=rng.uniform(1, 8), b=rng.uniform(1, 8), hu=hu))
    return _finished(rng, shapes, (a * 0.6, b * 0.6))


def breast(rng: Rng) -> Body:
    """Fat with glands, ducts and specks of lime."""
    a, b = rng.uniform(50, 80), rng.uniform(45, 70)
    shapes = [Shape(x=0, y=0, a=a, b=b, hu=30), Shape(x=0, y=0, a=a - 1.8, b=b - 1.8, hu=rng.uniform(-120, -80))]
    for _ in range(rng.integers(15, 60)):
        u, v = rng.uniform(-0.6, 0.6, 2)
        size = rng.uniform(2, 18)
        gland = Shape(x=u * a, y=v * b, a=size, b=size * rng.uniform(0.3, 1), hu=rng.uniform(-30, 60), power=2)
        shapes.append(replace(gland, turn=rng.uniform(0, 3)))
    shapes += _vessels(rng, 0, 0, a * 0.8, b * 0.8, 80, (-20, 60))
    for _ in range(rng.integers(0, 12)):
        u, v = rng.uniform(-0.6, 0.6, 2)
        shapes.append(Shape(x=u * a, y=v * b, a=rng.uniform(0.3, 1), b=0.5, hu=rng.uniform(200, 800)))
    return _finished(rng, shapes, (a * 0.6, b * 0.6))


def _finished(rng: Rng, shapes: list[Shape], spread: tuple[float, float]) -> Body:
    return Body(
        shapes=tuple(shapes),
        lesions=random_lesions(rng, int(rng.integers(10, 40)), spread, (0, 0)),
        blur_mm=rng.uniform(0.5, 1.6),
        texture=rng.uniform(0, 8) if rng.random() < 0.6 else 0.0,
        grain_mm=rng.uniform(1.5, 8),
        seed=int(rng.integers(2**31)),
    )


ANATOMIES: dict[str, Callable[[Rng], Body]] = {"chest": chest, "abdomen": abdomen, "head": head, "breast": breast}

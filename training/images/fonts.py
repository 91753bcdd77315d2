"""Characters printed from fonts, in several styles and in the form that MNIST's digits have."""

import functools
import io
import string
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from training.data import Images, fetch
from training.images.digit_form import as_mnist

# N images, H height, W width

LETTERS = string.ascii_letters
# Nobody tells these from a digit where they stand alone: they are neither refused nor accepted on purpose, nor counted.
LIKE_DIGITS = "BbGgIilOoqSsyZz"
OTHER_LETTERS = "".join(letter for letter in LETTERS if letter not in LIKE_DIGITS)
SIGNS = '"#$%&*+<=>@[]^{}~?'  # of the others, some are like a 1, and some hardly ink
HANDWRITING = tuple(
    f"handwriting-{name}"
    for name in (
        *("coming-soon", "covered-by-your-grace", "gloria-hallelujah", "handlee", "homemade-apple"),
        *("just-another-hand", "nothing-you-could-do", "rock-salt", "shadows-into-light"),
    )
)
OTHER_HANDWRITING = tuple(
    f"handwriting-{name}"
    for name in ("architects-daughter", "indie-flower", "patrick-hand", "reenie-beanie", "schoolbell")
)
DINGBATS = string.printable.strip()
DINGBATS_FACE = "D050000L.otf"
STYLES = "plain", "heavy", "outlined", "slanted"

EM, PAGE = 56, 140  # pixels
HEAVY, OUTLINE = 2, 2  # pixels of stroke
SLANT = 0.3


@functools.cache
def printed(source: str, characters: str) -> Images:
    """Every one of `characters` from every face of the data `source` in every style; a label is an index in them."""
    faces = [ImageFont.truetype(io.BytesIO(data), EM) for data in _faces(source)]
    pages = [_page(face, character, style) for face in faces for style in STYLES for character in characters]
    labels = np.tile(np.arange(len(characters)), len(faces) * len(STYLES))
    return Images(np.stack([as_mnist(page) for page in pages]), labels)


def handwritten(sources: Sequence[str], characters: str, each: int, generator: Generator) -> Images:
    """`each` of the `characters` from every typeface, heavier or lighter, slanted and turned a little each time."""
    written = [(as_mnist(page), label) for page, label in handwritten_pages(sources, characters, each, generator)]
    return Images(np.stack([page for page, _ in written]), np.array([label for _, label in written]))


def handwritten_pages(
    sources: Sequence[str], characters: str, each: int, generator: Generator
) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """The same on pages [140, 140], white on black, each with its place in `characters`."""
    for source in sources:
        face = ImageFont.truetype(io.BytesIO(_faces(source)[0]), EM)
        for label, character in enumerate(characters):
            for _ in range(each):
                page = _written(face, character, generator)
                if page.any():  # a typeface may lack a sign
                    yield page, label


def _written(face: ImageFont.FreeTypeFont, character: str, generator: Generator) -> NDArray[np.uint8]:
    page = Image.new("L", (PAGE, PAGE))
    weight = int(generator.integers(0, 4))
    ImageDraw.Draw(page).text((PAGE / 2, PAGE / 2), character, 255, face, anchor="mm", stroke_width=weight)
    turned = page.rotate(generator.normal(0, 5), Image.Resampling.BILINEAR)
    slant = generator.normal(0, 0.12)
    form = (1, slant, -slant * PAGE / 2, 0, 1, 0)
    return np.asarray(turned.transform(page.size, Image.Transform.AFFINE, form, Image.Resampling.BILINEAR))


def dingbats(source: str) -> NDArray[np.uint8]:
    """Hands, stars, leaves and flowers [N, 28, 28], which the source's dingbats have for letters."""
    face = ImageFont.truetype(io.BytesIO(fetch(source).read()[DINGBATS_FACE]), EM)
    return np.stack([as_mnist(_page(face, character, "plain")) for character in DINGBATS])


def _faces(source: str) -> list[bytes]:
    return [data for name, data in fetch(source).read().items() if name != DINGBATS_FACE]


def _page(face: ImageFont.FreeTypeFont, character: str, style: str) -> NDArray[np.uint8]:
    """The character white on black, somewhere on a page [140, 140]."""
    page = Image.new("L", (PAGE, PAGE))
    pen, place = ImageDraw.Draw(page), (PAGE / 2, PAGE / 2)
    if style == "heavy":
        pen.text(place, character, fill=255, font=face, anchor="mm", stroke_width=HEAVY)
    elif style == "outlined":
        pen.text(place, character, fill=0, font=face, anchor="mm", stroke_width=OUTLINE, stroke_fill=255)
    else:
        pen.text(place, character, fill=255, font=face, anchor="mm")
    if style == "slanted":
        slant = (1, SLANT, -SLANT * PAGE / 2, 0, 1, 0)
        page = page.transform(page.size, Image.Transform.AFFINE, slant, Image.Resampling.BILINEAR)
    return np.asarray(page)

"""Characters printed from fonts, in several styles and in the form that MNIST's digits have."""

import functools
import io
import string

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from training.data import Images, fetch
from training.images.digit_form import as_mnist

# N images, H height, W width

LETTERS = string.ascii_letters
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

"""What is drawn on a canvas: digits in all pen widths are to be read and accepted, everything else refused.

Through the preparation and the graph that are served, as the page at `/` sends it: dark on white.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from service.codecs.handwriting import read_digit
from training.images.drawings import DIGITS, PAGE, SIGNS, Pen, any_pen, hand, page_of, ruled_page, scribble
from training.images.fonts import HANDWRITING, OTHER_HANDWRITING, OTHER_LETTERS, handwritten_pages
from training.images.fonts import SIGNS as PRINTED_SIGNS
from training.images.pages import empty_sheet
from training.measures.evaluation import Predict

Pixels = NDArray[np.uint8]
SIDE = 28, 28
WIDTHS = np.linspace(6, 40, 11) / 320  # of the page: what its slider offers
EACH = 6  # of a digit with a pen
SHAPED = 3, 31  # pixels: thinner and thicker pens than those of a drawing program's shapes leave no digit of them


class Score(NamedTuple):
    """`right`: read as what it is, and accepted; of other things it counts none."""

    what: str
    pictures: int
    right: int
    accepted: int


def digits(predict: Predict, generator: Generator) -> Iterator[tuple[Score, Score]]:
    """Each digit by hand, in the forms that the model was taught but newly drawn; and by a drawing program's shapes."""
    for label in range(10):
        by_hand, by_shapes = _by_hand(label, generator), _by_shapes(label, generator)
        yield score(f"{label}", by_hand, predict, label), score(f"{label}", by_shapes, predict, label)


def others(predict: Predict, generator: Generator, count: int) -> Iterator[Score]:
    """What is no digit: `count` of each kind that is drawn, and characters of typefaces that write by hand."""
    yield score("signs by hand", _signs(count, generator), predict)
    yield score("scribbles", _scribbles(count, generator), predict)
    for name, faces in (("taught typefaces", HANDWRITING), ("other typefaces", OTHER_HANDWRITING)):
        for kind, characters in (("letters", OTHER_LETTERS), ("signs", PRINTED_SIGNS)):
            pages = handwritten_pages(faces, characters, 2, generator)
            yield score(f"{kind} of {name}", (255 - page for page, _ in pages), predict)
    yield score("empty sheets", (empty_sheet(generator) for _ in range(count)), predict)


def _by_hand(label: int, generator: Generator) -> Iterator[Pixels]:
    forms = DIGITS[label]
    for width in WIDTHS:
        for _ in range(EACH):
            height = generator.uniform(0.5, 0.8) * PAGE
            strokes = hand(forms[generator.integers(len(forms))], generator)
            pen = Pen(width * PAGE, smooth=True, light=False)
            yield page_of(strokes, generator, pen, (height * generator.uniform(0.5, 0.9), height))


def _by_shapes(label: int, generator: Generator) -> Iterator[Pixels]:
    for width in np.linspace(*SHAPED, len(WIDTHS)):
        for _ in range(EACH):
            yield 255 - ruled_page(label, int(width), generator)


def _signs(count: int, generator: Generator) -> Iterator[Pixels]:
    for _ in range(count):
        size = generator.uniform(0.3, 0.85) * PAGE
        strokes = hand(SIGNS[generator.integers(len(SIGNS))], generator)
        yield page_of(strokes, generator, any_pen(generator, thickest=0.08), (size, size))


def _scribbles(count: int, generator: Generator) -> Iterator[Pixels]:
    for _ in range(count):
        size = generator.uniform(0.3, 0.85) * PAGE
        yield page_of(scribble(generator), generator, any_pen(generator, thickest=0.08), (size, size))


def score(what: str, pages: Iterable[Pixels], predict: Predict, label: int | None = None) -> Score:
    seen = [read_digit(page, SIDE) for page in pages]
    found = [one.image for one in seen if one is not None]
    if not found:
        return Score(what, len(seen), 0, 0)
    answers = predict({"image": np.stack(found)})
    accepted = answers["familiarity"] >= 0
    right = accepted & (answers["probabilities"].argmax(axis=1) == label)
    return Score(what, len(seen), int(right.sum()), int(accepted.sum()))

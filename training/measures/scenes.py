"""How well scenes of digits are read by the preparation and the model that are served, kind by kind."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from PIL import Image

from service.codecs.handwriting import likeliest, read_digit, read_digits
from training.data import Images, mnist, multifeature_digits, small_digits
from training.images.scenes import KINDS, Scene, scenes
from training.measures.evaluation import Predict

SIDE = 28, 28
PARTS = 256  # as many as the service looks at by default


class Score(NamedTuple):
    kind: str
    pictures: int
    right: int
    accepted: int


def score(kind: str, some: Iterable[Scene], predict: Predict) -> Score:
    """How many scenes were read rightly, all digits of each, and in how many all that was found was accepted."""
    count = right = accepted = 0
    for scene in some:
        found = list(read_digits(scene.pixels, SIDE, PARTS)) if scene.many else [read_digit(scene.pixels, SIDE)]
        seen = [one for one in found if one is not None]
        count += 1
        if seen:
            answers = predict({"image": np.stack([one.image for one in seen])})
            labels, familiarity = answers["probabilities"].argmax(axis=1), answers["familiarity"]
            read = likeliest([one.span for one in seen], answers["probabilities"].max(axis=1), familiarity)
            right += tuple(labels[read].tolist()) == scene.digits
            accepted += bool((familiarity[read] >= 0).all())
    return Score(kind, count, right, accepted)


def measure(predict: Predict, count: int, developing: bool) -> Iterable[Score]:
    """Of every kind. Those of MNIST's test digits choose nothing; who `developing` works with training digits."""
    split = mnist()
    digits = Images(split.train.pixels[:5000], split.train.labels[:5000]) if developing else split.test
    for kind in KINDS:
        yield score(kind, scenes(kind, digits, count, seed=1 if developing else 0), predict)
    small, many = small_digits(), multifeature_digits()
    eight = small.train if developing else small.test
    yield score("8x8 digits", _plain(eight, count), predict)
    yield score("multiple features, 16x15", _plain(many, count, aspect=1.5), predict)


def _plain(images: Images, count: int, aspect: float = 1.0) -> Iterable[Scene]:
    """Grey pictures as they are; `aspect` is a pixel's height over its width."""
    places = np.linspace(0, len(images), min(count, len(images)), endpoint=False).astype(int)
    for pixels, label in zip(images.pixels[places], images.labels[places].tolist(), strict=True):
        grey = Image.fromarray(np.rint(pixels * (255 / images.white)).astype(np.uint8))
        if aspect != 1:
            grey = grey.resize((grey.width, round(grey.height * aspect)), Image.Resampling.BILINEAR)
        yield Scene(np.asarray(grey), (label,))

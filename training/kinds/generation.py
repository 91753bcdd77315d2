"""What the recipes of generators share: the tensors that they declare and the evaluation of their samples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.bundle import GRAPH, Arrays, Metric, SampleGeneration, Tolerance
from service.bundle import Tensor as Declared
from training.data import CLOTHES, Images, Split, fashion_mnist, mnist
from training.export.parity import Predictor
from training.export.penultimate import features
from training.export.store import committed
from training.given.images import folder
from training.measures import generation, outputs
from training.measures.accuracy_score import accuracy_score
from training.measures.evaluation import Evaluation, Predict, bootstrapped, histogram, proportion
from training.measures.paired import Rows, classes
from training.recipe import Recipe
from training.report import pictures

LABELS = 10
SEED = 1

Samples = NDArray[np.float32]
"""Grey levels [N, 28, 28]."""


def latent(size: int) -> Declared:
    return Declared(name="latent", dtype="float32", shape=("batch", size), description="draws of a standard normal")


def latents(count: int, size: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, size), dtype=np.float32)


def drawn(count: int, size: int, asks: bool) -> Arrays:
    """So many inputs, of every label as many where the model asks for one."""
    return {"latent": latents(count, size, SEED)} | ({"label": np.arange(count) % LABELS} if asks else {})


def examples(size: int, asks: bool) -> Arrays:
    """Four latent codes, for the labels 0, 3, 7 and 9 where the model asks for one."""
    return {"latent": latents(4, size, SEED)} | ({"label": np.array([0, 3, 7, 9])} if asks else {})


@dataclass(frozen=True, kw_only=True)
class Domain:
    """What a generator draws: the pictures, and the committed classifiers that judge samples and saw none in training.

    noun      what a picture shows
    source    of the pictures
    labels    their names
    features  its inner features are compared
    judge     reads the samples
    gate      refuses what it takes for something else; none where there is no such model
    """

    noun: str
    source: str
    labels: tuple[str, ...]
    data: Callable[[], Split]
    features: str
    judge: str
    gate: str | None = None


DIGITS = Domain(
    noun="digit",
    source="mnist",
    labels=tuple(str(digit) for digit in range(LABELS)),
    data=mnist,
    features="digits",
    judge="convnet",
    gate="digits",
)
GARMENTS = Domain(
    noun="piece of clothing",
    source="fashion-mnist",
    labels=CLOTHES,
    data=fashion_mnist,
    features="fashion-cnn",
    judge="zca-mlp",
)
COUNT, PAIRED = 10_000, 4000  # samples that are measured, and of these, those that two models are compared by
SLIGHT = 0.002  # of the samples: two deviations of three seeds of `cvae`


def label(domain: Domain = DIGITS, verb: str = "to draw") -> Declared:
    what = f"the {domain.noun} {verb}"
    return Declared(name="label", dtype="int64", shape=("batch",), range=(0, LABELS - 1), description=what)


def image(domain: Domain = DIGITS) -> Declared:
    return Declared(
        name="image",
        dtype="float32",
        shape=("batch", 28, 28),
        unit="grey level",
        range=(0, 255),
        description=f"a white {domain.noun} on black",
    )


def recipe(size: int, *, asks: bool, domain: Domain = DIGITS, slight: float = SLIGHT, **fields: Any) -> Recipe[Any]:
    """The recipe of a generator whose codes have `size` numbers, and that is asked for a label or not.

    `slight` is the share of samples that another seed may cost. `fields` are Recipe's, and take precedence.
    """
    labels = domain.labels if asks else ()

    def judged(predict: Predict) -> Rows:
        return rows(predict, domain, size, asks=asks, slight=slight)

    usual: dict[str, Any] = {
        "sources": (domain.source,),
        "inputs": (latent(size), label(domain)) if asks else (latent(size),),
        "outputs": (image(domain),),
        "evaluate": lambda predict, _: evaluate(predict, domain, size, asks=asks),
        "rows": judged if asks or domain.gate else None,
        "examples": lambda: examples(size, asks),
        "training_outputs": lambda predict: predict(drawn(outputs.ROWS, size, asks)),
        "given": folder(domain.data, tuple(range(LABELS))),
        "tolerance": Tolerance(atol=1e-2, rtol=1e-4),
    }
    return Recipe(task=SampleGeneration(latent_size=size, labels=labels), **(usual | fields))


def evaluate(predict: Predict, domain: Domain, size: int, *, asks: bool, count: int = COUNT) -> Evaluation:
    """All that is measured of samples: of every label as many where the model is asked for one (`asks`)."""
    data, asked = domain.data(), np.arange(count) % LABELS
    samples = _samples(predict, count, size, asks)
    read = _read(domain.judge, samples)
    judged = [_read_as_asked(read, asked, domain.judge)] if asks else []
    judged += [_accuracy_score(samples, asked, data)] if asks else []
    judged += [_accepted(domain.gate, samples)] if domain.gate else []
    order = np.argsort(asked if asks else read, kind="stable")
    sheet = samples[order].reshape(LABELS, -1, 28, 28)[:, :10] if asks else samples[:100]
    confusion = {"asked-and-read": pictures.confusion_matrix(asked, read, domain.labels, names=("asked", "read"))}
    return Evaluation(
        metrics=(*judged[:1], *_likeness(samples, data, domain.features), *judged[1:], *generation.modes(read, LABELS)),
        pictures={
            "samples": pictures.image_sheet(sheet.reshape(-1, 28, 28), columns=10),
            "nearest-training-pictures": _nearest_pairs(samples, data),
            **(confusion if asks else {}),
        },
        reference=(histogram("label", data.train.labels, np.arange(-0.5, LABELS)),),
    )


def rows(
    predict: Predict, domain: Domain, size: int, *, asks: bool, slight: float = SLIGHT, count: int = PAIRED
) -> Rows:
    """Which samples are read as asked, or accepted where nothing is asked for: the same codes for every model."""
    asked, samples = np.arange(count) % LABELS, _samples(predict, count, size, asks)
    if asks:
        return classes(_read(domain.judge, samples), asked, domain.labels, slight)
    assert domain.gate
    return Rows(right=_familiar(domain.gate, samples), slight=slight)


def _samples(predict: Predict, count: int, size: int, asks: bool) -> Samples:
    """In whole grey levels; the first of more codes are those of fewer."""
    return np.asarray(np.rint(predict(drawn(count, size, asks))["image"]), np.float32)


def _named(model: str) -> str:
    manifest = committed(model).manifest
    return f"by {model} {manifest.version}, sha256 {manifest.sha256[GRAPH]}"


def _read(judge: str, samples: Samples) -> NDArray[np.int64]:
    read: NDArray[np.int64] = Predictor.of(committed(judge))({"image": samples})["probabilities"].argmax(1)
    return read


def _read_as_asked(read: NDArray[np.int64], asked: NDArray[np.int64], judge: str) -> Metric:
    right = int((read == asked).sum())
    return proportion("samples read as asked", right, len(asked), split="samples", description=_named(judge))


def _accuracy_score(samples: Samples, asked: NDArray[np.int64], data: Split) -> Metric:
    drawn = Images(samples.astype(np.uint8), asked)
    return accuracy_score(drawn, Images(*_some(data.train, len(asked))), data.test)


def _accepted(gate: str, samples: Samples) -> Metric:
    accepted = int(_familiar(gate, samples).sum())
    return proportion("accepted samples", accepted, len(samples), split="samples", description=_named(gate))


def _familiar(gate: str, samples: Samples) -> NDArray[np.bool_]:
    """Which of them the gate takes for what they should be."""
    found = committed(gate)
    threshold = getattr(found.manifest.task, "acceptance_threshold", None) or 0.0
    return np.asarray(Predictor.of(found)({"image": samples})["familiarity"] >= threshold)


def _likeness(samples: Samples, data: Split, model: str) -> tuple[Metric, ...]:
    """The distance of samples from the test pictures, and how much of them they cover, in a classifier's features."""
    count = min(len(samples), len(data.test))
    shown = _some(data.test, count)[0], _some(data.train, count)[0], samples[:count]
    real, train, fake = (features(committed(model), rows.astype(np.float32)) for rows in shown)
    floor = generation.frechet(train, real)
    distance = generation.frechet_metric("Fréchet distance", fake, real, split="samples", description=_named(model))
    times = distance.model_copy(
        update={
            "name": "times the floor",
            "description": f"the distance, beside the {floor:.3g} of as many training pictures",
            **{side: getattr(distance, side) / floor for side in ("value", "low", "high")},
        }
    )
    return distance, times, *generation.manifold(fake, real), generation.support(fake, real), _novelty(samples, data)


def _some(images: Images, count: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels and labels of `count` images, drawn at random but always the same: neighbours were written alike."""
    rows = np.random.default_rng(SEED).permutation(len(images))[:count]
    return images.pixels[rows], images.labels[rows]


def _flat(images: NDArray[np.generic]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32)


def _novelty(samples: Samples, data: Split, count: int = 1000) -> Metric:
    """How far samples are from the nearest training picture, beside how far test pictures are."""
    train, count = _flat(data.train.pixels), min(count, len(samples), len(data.test))
    (_, drawn), (_, unseen) = (generation.nearest(_flat(rows[:count]), train) for rows in (samples, data.test.pixels))
    return bootstrapped(
        "distance from training",
        lambda drawn, unseen: float(np.median(drawn) / np.median(unseen)),
        drawn,
        unseen,
        split="samples",
        description="of the nearest training picture, median, beside that of test pictures: 0 would be a copy",
    )


def _nearest_pairs(samples: Samples, data: Split, columns: int = 20) -> bytes:
    """Samples, and below each the training picture that is nearest to it."""
    shown = samples[:columns]
    found, _ = generation.nearest(_flat(shown), _flat(data.train.pixels))
    rows = np.concatenate([shown, data.train.pixels[found]])
    return pictures.image_sheet(rows, columns=columns, row_names=("sample", "nearest"))

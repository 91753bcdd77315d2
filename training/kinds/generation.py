"""What the recipes of generators share: the tensors that they declare and the evaluation of their samples."""

import numpy as np
from numpy.typing import NDArray

from service.bundle import GRAPH, Arrays
from service.bundle import Tensor as Declared
from training.data import Split
from training.export.parity import Predictor
from training.export.store import committed
from training.measures.evaluation import Evaluation, Predict, histogram, proportion
from training.report import pictures

LABELS = 10


def latent(size: int) -> Declared:
    return Declared(name="latent", dtype="float32", shape=("batch", size), description="draws of a standard normal")


def label(description: str = "the digit to draw") -> Declared:
    return Declared(name="label", dtype="int64", shape=("batch",), range=(0, LABELS - 1), description=description)


def image(description: str = "a white digit on black") -> Declared:
    return Declared(
        name="image",
        dtype="float32",
        shape=("batch", 28, 28),
        unit="grey level",
        range=(0, 255),
        description=description,
    )


def latents(count: int, size: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, size), dtype=np.float32)


def examples(size: int, seed: int = 1) -> Arrays:
    """Four latent codes for the labels 0, 3, 7 and 9."""
    return {"latent": latents(4, size, seed), "label": np.array([0, 3, 7, 9])}


def evaluate(predict: Predict, data: Split, size: int, seed: int, count: int = 5000) -> Evaluation:
    """How many samples are read as the label that was asked for, and a sheet of some."""
    asked = np.arange(count) % LABELS
    images = predict({"latent": latents(count, size, seed), "label": asked})["image"]
    reader = committed("convnet")
    read = Predictor(reader.graph)({"image": images})["probabilities"].argmax(1)
    return Evaluation(
        metrics=(
            proportion(
                "samples read as asked",
                int((read == asked).sum()),
                count,
                split="samples",
                description=f"by convnet {reader.manifest.version}, sha256 {reader.manifest.sha256[GRAPH]}",
            ),
        ),
        pictures={"samples": pictures.image_sheet(images[:100], columns=10)},
        reference=(histogram("label", data.train.labels, np.arange(-0.5, LABELS)),),
    )

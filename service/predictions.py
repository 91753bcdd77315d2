"""What a model says of each row, in the terms of its task: a label, or a number.

It is what two versions are compared by, and what the truth is held against later.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.bundle import MAIN, Arrays, CreditScoring, Manifest, TabularPrediction

DECISIONS = ("approve", "refer", "decline")


class Predictions(NamedTuple):
    """Of the rows of a batch.

    `labels` are places in `names`, or with several labels at once rows of ones and zeros; `scores` what the label
    rests on: the probability of the label, with two labels that of the second, of a credit that of default. A model of
    numbers has `numbers` [batch, ...] alone.
    """

    labels: NDArray[Any] | None = None
    names: tuple[str, ...] = ()
    scores: NDArray[Any] | None = None
    numbers: NDArray[Any] | None = None


def predictions_of(manifest: Manifest, outputs: Arrays) -> Predictions:
    """Those of the main graph's outputs."""
    spec = manifest.task
    if isinstance(spec, CreditScoring):
        bounds = spec.refer or (spec.decision_threshold, spec.decision_threshold)
        default = outputs["default_probability"]
        return Predictions(np.digitize(default, bounds), DECISIONS, default, default)
    probabilities, names = outputs.get("probabilities"), tuple(str(one) for one in getattr(spec, "labels", ()))
    if probabilities is not None and probabilities.ndim == 2 and len(names) == probabilities.shape[1]:
        if isinstance(spec, TabularPrediction) and spec.thresholds:
            return Predictions(
                (probabilities >= np.array(spec.thresholds, np.float32)).astype(int), names, None, probabilities
            )
        scores = probabilities[:, 1] if len(names) == 2 else probabilities.max(1)
        return Predictions(probabilities.argmax(1), names, scores, probabilities)
    first = outputs[manifest.graphs[MAIN].outputs[0].name]
    if first.dtype.kind == "f":
        return Predictions(numbers=first)
    return Predictions(labels=first)

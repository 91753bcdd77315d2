"""How good a version is by what turned out.

A truth is told in the terms of the task: a label; for a credit whether it defaulted; a number.
"""

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.bundle import CreditScoring, Manifest
from service.feedback.store import Held

BINS = 10
TRUE, FALSE = {"true", "1", "yes", "default", "defaulted"}, {"false", "0", "no", "paid", "repaid"}


class Figures(NamedTuple):
    """Of `rows` whose truth is known; what a task has not is None.

    `wrong` counts rows with another label than the truth, of a credit those approved that defaulted and those declined
    that did not; the ones that a person decides are neither. `calibration_error` is the mean distance of predicted and
    true shares, in ten bins, `cost` is per row: one for a decline of somebody who pays, and for the other mistake what
    the threshold says it weighs. `error` is the mean distance of numbers.
    """

    rows: int
    wrong: int | None = None
    accuracy: float | None = None
    auc: float | None = None
    brier: float | None = None
    calibration_error: float | None = None
    cost: float | None = None
    error: float | None = None


def labels_of(manifest: Manifest) -> tuple[str, ...]:
    return tuple(str(one) for one in getattr(manifest.task, "labels", ()))


def truth_of(manifest: Manifest, said: object) -> str:
    """As it is kept. Raises ValueError, in words for the client."""
    text = str(said).strip()
    if isinstance(manifest.task, CreditScoring):
        if text.lower() not in TRUE | FALSE:
            raise ValueError("Must be true where the credit defaulted, else false.")
        return "1" if text.lower() in TRUE else "0"
    if labels := labels_of(manifest):
        if text not in labels:
            raise ValueError(f"Must be a label of {manifest.name}: {', '.join(labels)[:300]}.")
        return text
    number = _number(text)
    if number is None:
        raise ValueError("Must be a number.")
    return repr(number)


def figures(manifest: Manifest, rows: Sequence[Held]) -> Figures:
    """Rows whose truth makes no sense for this model are left out."""
    if isinstance(manifest.task, CreditScoring):
        return _of_credit(manifest.task, [one for one in rows if one.truth in ("0", "1") and one.score is not None])
    if labels := labels_of(manifest):
        return _of_labels(labels, [one for one in rows if one.truth in labels and one.score is not None])
    pairs = [(one.score, _number(one.truth)) for one in rows if one.score is not None]
    errors = [abs(predicted - true) for predicted, true in pairs if true is not None]
    return Figures(len(errors), error=float(np.mean(errors)) if errors else None)


def _of_labels(labels: tuple[str, ...], rows: Sequence[Held]) -> Figures:
    if not rows:
        return Figures(0)
    right = np.array([one.label == one.truth for one in rows])
    scores = np.array([one.score for one in rows], np.float64)
    wrong = int((~right).sum())
    hits = np.array([one.truth == labels[1] for one in rows]) if len(labels) == 2 else right
    both = len(labels) == 2
    return Figures(
        len(rows),
        wrong,
        1 - wrong / len(rows),
        auc(scores, hits) if both else None,
        float(((scores - hits) ** 2).mean()) if both else None,
        calibration_error(scores, hits),
    )


def _of_credit(spec: CreditScoring, rows: Sequence[Held]) -> Figures:
    if not rows:
        return Figures(0)
    scores, defaults = np.array([one.score for one in rows], np.float64), np.array([one.truth == "1" for one in rows])
    approved, declined = (np.array([one.label == word for one in rows]) for word in ("approve", "decline"))
    lost, missed = int((approved & defaults).sum()), int((declined & ~defaults).sum())
    weight = (1 - spec.decision_threshold) / spec.decision_threshold
    wrong, decided = lost + missed, int((approved | declined).sum())
    return Figures(
        len(rows),
        wrong,
        1 - wrong / decided if decided else None,
        auc(scores, defaults),
        float(((scores - defaults) ** 2).mean()),
        calibration_error(scores, defaults),
        (weight * lost + missed) / len(rows),
    )


def auc(scores: NDArray[np.float64], hits: NDArray[np.bool_]) -> float | None:
    """How often a hit has the higher score than a miss, ties counting half; None where there is only one kind."""
    positive, negative = scores[hits], np.sort(scores[~hits])
    if not len(positive) or not len(negative):
        return None
    below, up_to = np.searchsorted(negative, positive, "left"), np.searchsorted(negative, positive, "right")
    return float((below + up_to).sum() / (2 * len(positive) * len(negative)))


def calibration_error(scores: NDArray[np.float64], hits: NDArray[np.bool_]) -> float:
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    predicted, true = (np.bincount(bins, weights, BINS) for weights in (scores, hits.astype(np.float64)))
    return float(np.abs(predicted - true).sum() / len(scores))


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None

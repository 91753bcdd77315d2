"""Why an applicant has a score: points, reasons, the change that would have the loan approved, and what is unusual."""

from bisect import bisect_right
from collections.abc import Iterator
from math import exp, log
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.bundle import Arrays, Attribute, CreditScoring

MOST_REASONS = 4
LEAST_RISK = 1e-7  # a probability that float32 rounds to 0 or 1 has odds all the same


def explained(spec: CreditScoring, rows: NDArray[np.float32], outputs: Arrays) -> list[dict[str, Any]]:
    """What `explain` adds to each prediction. In lists of Python, whose numbers are faster to read one by one."""
    risk = np.clip(outputs["default_probability"].astype(np.float64), LEAST_RISK, 1 - LEAST_RISK)
    log_odds = np.log(risk / (1 - risk))
    added, table = outputs["contributions"].astype(np.float64), outputs["alternatives"]
    point = spec.points.double / np.log(2)
    scores = spec.points.base - point * (log_odds + np.log(spec.points.odds))
    lists = (array.tolist() for array in (rows, log_odds, scores, added, -point * added))
    found: list[dict[str, Any]] = []
    for row, logit, score, parts, points, alternatives in zip(*lists, table, strict=True):
        reasons = _reasons(spec, row, points)
        found.append(
            {
                "points": score,
                "reasons": reasons,
                "other_points": score - sum(one["points"] for one in reasons),
                "change": _change(spec, row, logit, parts, alternatives),
                "unusual": [one.name for one, value in zip(spec.attributes, row, strict=True) if _unusual(one, value)],
            }
        )
    if spec.coverage is not None:
        for one, interval in zip(found, outputs["interval"].tolist(), strict=True):
            one["interval"] = interval
    return found


def _reasons(spec: CreditScoring, row: list[float], points: list[float]) -> list[dict[str, Any]]:
    """The attributes that cost most points beside the reference, the dearest first."""
    reasons = []
    for index in sorted(range(len(points)), key=points.__getitem__)[:MOST_REASONS]:
        if points[index] < 0:
            one = spec.attributes[index]
            value = _shown(one, row[index])
            words = f"{one.name.removesuffix(f'_{one.unit}')}: {value}".replace("_", " ")
            text = f"{words} {one.unit}".rstrip()
            reasons.append({"attribute": one.name, "value": value, "points": points[index], "text": text})
    return reasons


class _Step(NamedTuple):
    """A change of one attribute, the smallest first: levels passed, then how far the log-odds move."""

    levels: int
    moved: float
    attribute: int
    level: int


def _change(
    spec: CreditScoring, row: list[float], logit: float, added: list[float], table: NDArray[np.float32]
) -> dict[str, Any] | None:
    """The smallest change of a single attribute that would have the loan approved; None: there is none, or it is."""
    bound = spec.refer[0] if spec.refer else spec.decision_threshold
    most = log(bound / (1 - bound))
    if logit < most:
        return None
    if (step := min(_steps(spec, row, most - logit, added, table), default=None)) is None:
        return None
    one = spec.attributes[step.attribute]
    risk = 1 / (1 + exp(step.moved - logit))
    return {
        "attribute": one.name,
        "from": _shown(one, row[step.attribute]),
        "to": _shown(one, _nearest(one, step.level, row[step.attribute])),
        "default_probability": risk,
    }


def _steps(
    spec: CreditScoring, row: list[float], enough: float, added: list[float], table: NDArray[np.float32]
) -> Iterator[_Step]:
    """Every change that suffices: it moves what the attribute adds by less than `enough`, which is below 0."""
    for index, one in enumerate(spec.attributes):
        if not one.changeable:
            continue
        now, least = _level(one, row[index]), 1e-6 - enough
        for level, given in enumerate(table[index, : len(one.values or one.levels)].tolist()):
            known = not one.values or one.values[level] not in one.unseen
            if added[index] - given > least and known and level != now:
                yield _Step(abs(level - now) if one.levels else 1, added[index] - given, index, level)


def _level(one: Attribute, value: float) -> int:
    return bisect_right(one.levels, value) - 1 if one.levels else int(value)


def _nearest(one: Attribute, level: int, value: float) -> float:
    """The number at that level that is nearest to `value`, in whole ones where it comes from above."""
    if not one.levels:
        return float(level)
    return one.levels[level] if one.levels[level] > value else max(one.levels[level], one.levels[level + 1] - 1)


def _shown(one: Attribute, value: float) -> str | float:
    return one.values[int(value)] if one.values else int(value) if value == int(value) else value


def _unusual(one: Attribute, value: float) -> bool:
    """Whether training saw nothing like it."""
    if one.values:
        return one.values[int(value)] in one.unseen
    return one.seen is not None and not one.seen[0] <= value <= one.seen[1]

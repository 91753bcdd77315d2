"""Which rows train, validate and are held out: a hash of what a row is, or of whom it is about, decides."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.given.report import Report

TRAIN, VALIDATION, TEST = SIDES = "train", "validation", "test"
HELD_OUT, VALIDATING = 51, 77  # of 256: a fifth is held out, a tenth validates
ALIAS = {"training": TRAIN, "val": VALIDATION, "valid": VALIDATION, "held-out": TEST, "held_out": TEST}

Sides = NDArray[np.str_]


def fingerprint(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def side_of(key: str) -> str:
    """Of a fingerprint."""
    place = int(key[:2], 16)
    return TEST if place < HELD_OUT else VALIDATION if place < VALIDATING else TRAIN


def fold_of(key: str, whom: str, side: str) -> int:
    """One of five folds, of which the first is what is held out."""
    if side == TEST:
        return 0
    place = int((key if whom == key else fingerprint(whom.encode()))[:2], 16)
    return 1 + max(0, place - HELD_OUT) * 4 // (256 - HELD_OUT)


def split(keys: Sequence[str], identities: Sequence[str] | None, told: Sequence[str] | None, report: Report) -> Sides:
    """The side of each row [N]: the one that the data tells, else by its identity, else by itself.

    `keys` are fingerprints of what a model is shown of a row, so that copies stay together. What is on two sides at
    once, for the data tells so, is an error.
    """
    if told is not None:
        sides = [ALIAS.get(side.strip().lower(), side.strip().lower()) for side in told]
        for row, side in enumerate(sides):
            if side not in SIDES:
                report.wrong(row, f"is on no side: it must be one of {', '.join(SIDES)}")
        _on_two_sides("the same row", keys, sides, report)
        _on_two_sides("the same identity", identities or (), sides, report)
    else:
        sides = [side_of(fingerprint(whom.encode()) if identities else whom) for whom in identities or keys]
    report.copies(len(keys) - len(set(keys)))
    for side in SIDES:
        report.count(side, sides.count(side))
    return np.array(sides)


def _on_two_sides(what: str, whom: Sequence[str], sides: Sequence[str], report: Report) -> None:
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for row, (one, side) in enumerate(zip(whom, sides, strict=False)):
        found[one].setdefault(side, row)
    for places in found.values():
        if len(places) > 1:
            (first, row), (second, other) = [*places.items()][:2]
            report.wrong(other, f"{what} is in {first}, {report.where(row)}, and in {second}")

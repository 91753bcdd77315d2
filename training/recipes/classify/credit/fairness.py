"""By bands of age: who is approved, and what it would cost to treat the bands alike."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.bundle import Metric
from training.data.german import Applicants
from training.kinds.credit import POSITION, THRESHOLD, costs
from training.measures.evaluation import bootstrapped, proportion

BANDS = (18, 25), (26, 35), (36, 50), (51, 100)

# R repetitions, N applicants


def bands(everyone: Applicants) -> dict[str, NDArray[np.bool_]]:
    age = everyone.attributes[:, POSITION["age_years"]]
    members = {f"age {low} to {high}": (age >= low) & (age <= high) for low, high in BANDS}
    return {band: who for band, who in members.items() if who.any()}


def age_audit(risk: NDArray[np.float64], everyone: Applicants) -> Iterator[Metric]:
    """Who is approved, of those who paid back as well, and how far the risk is from what happened."""
    for band, members in bands(everyone).items():
        p, default = risk[members], everyone.default[members]
        good = p[default == 0] < THRESHOLD
        yield proportion(f"approved, {band}", int((p < THRESHOLD).sum()), len(p), split="1 x 5 folds")
        yield proportion(f"good risks approved, {band}", int(good.sum()), len(good), split="1 x 5 folds")
        yield bootstrapped(
            f"defaults less those expected, {band}", np.mean, default - p, unit="share", split="1 x 5 folds"
        )


def constraint_costs(
    risk_RN: NDArray[np.float64], held_RN: NDArray[np.int64], everyone: Applicants
) -> Iterator[Metric]:
    """What equal approval and equal approval of good risks would cost, with a threshold for each band.

    Thresholds have a band approve the share that all bands together are approved of; they come from the applicants of
    other folds, `held_RN` being the fold of each.
    """
    before_RN = costs(risk_RN, everyone.default)
    split = f"{len(risk_RN)} x {held_RN.max() + 1} folds"
    for name, counted in (
        ("approval", np.ones(len(everyone), bool)),
        ("approval of good risks", everyone.default == 0),
    ):
        bound_RN = np.stack([_bounds(p, fold, counted, everyone) for p, fold in zip(risk_RN, held_RN, strict=True)])
        dearer_RN = costs(risk_RN, everyone.default, bound_RN) - before_RN
        before, after = (_gap(risk_RN < bound, counted, everyone) for bound in (THRESHOLD, bound_RN))
        yield bootstrapped(
            f"cost of equal {name} by age",
            np.mean,
            dearer_RN.mean(0),
            unit="per applicant",
            split=split,
            description=f"more than without; the widest gap between bands falls from {before:.2f} to {after:.2f}",
        )


def _bounds(
    risk: NDArray[np.float64], fold: NDArray[np.int64], counted: NDArray[np.bool_], everyone: Applicants
) -> NDArray[np.float64]:
    """The threshold of each applicant [N]: that of the band, by the other folds."""
    bounds = np.empty(len(risk))
    for held in np.unique(fold):
        others = (fold != held) & counted
        share = (risk[others] < THRESHOLD).mean()
        for members in bands(everyone).values():
            bounds[members & (fold == held)] = np.quantile(risk[others & members], share)
    return bounds


def _gap(approved_RN: NDArray[np.bool_], counted: NDArray[np.bool_], everyone: Applicants) -> float:
    shares = [approved_RN[:, members & counted].mean() for members in bands(everyone).values()]
    return float(max(shares) - min(shares))

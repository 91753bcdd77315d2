"""The additive model beside others, all trained anew on the same folds, everything chosen inside them."""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from interpret.glassbox import ExplainableBoostingClassifier
from numpy.typing import NDArray
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from service.bundle import Metric
from training.data.german import Applicants, applicants
from training.kinds.additive import Shapes, choose, fit
from training.kinds.credit import NumericColumns, costs
from training.measures.evaluation import bootstrapped, calibration_error
from training.measures.scoring import cross_validated_auc, cross_validated_gain

# M models trained, R repetitions, N applicants

OWN = "additive"
DESCRIPTION = "of models trained again, everything chosen inside"
Risk = Callable[[Applicants, NDArray[np.float32], int], NDArray[np.float64]]
"""Of applicants by a model of others, under a seed."""


def additive(known: Applicants, unseen: NDArray[np.float32], seed: int, shapes: Shapes) -> NDArray[np.float64]:
    steps = shapes.steps(known.attributes)
    choice = choose(steps, known.default, shapes, seed)
    logit = fit(steps, known.default, shapes, choice.penalty).logit(shapes.steps(unseen))
    risk: NDArray[np.float64] = 1 / (1 + np.exp(-choice.slope * logit - choice.offset))
    return risk


def rivals(known: Applicants, unseen: NDArray[np.float32], seed: int, shapes: Shapes) -> dict[str, NDArray[np.float64]]:
    """The same by other models: of scikit-learn on the 24 numeric columns, of interpret on the attributes."""

    def columns(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        return NumericColumns()(torch.from_numpy(rows)).numpy()  # type: ignore[no-any-return]

    models = {
        "logistic, L2": make_pipeline(StandardScaler(), LogisticRegression(C=0.02)),
        "random forest": RandomForestClassifier(200, min_samples_leaf=3, random_state=seed),
        "boosting": GradientBoostingClassifier(
            n_estimators=100, learning_rate=0.05, max_depth=3, subsample=0.5, random_state=seed
        ),
    }
    x, new = columns(known.attributes), columns(unseen)
    found = {name: np.asarray(model.fit(x, known.default).predict_proba(new)[:, 1]) for name, model in models.items()}
    found["explainable boosting"] = _explainable(known, unseen, seed, shapes)
    return found


def _explainable(known: Applicants, unseen: NDArray[np.float32], seed: int, shapes: Shapes) -> NDArray[np.float64]:
    kinds = ["continuous" if ordered else "nominal" for ordered in shapes.ordered]
    model = ExplainableBoostingClassifier(
        feature_types=kinds, interactions=0, outer_bags=8, max_rounds=2000, n_jobs=1, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about categories that a fold lacks
        return np.asarray(model.fit(known.attributes, known.default).predict_proba(unseen)[:, 1])


def cross_validate(
    folds: int, repetitions: int, seed: int, shapes: Shapes
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.bool_]]:
    """Each model's risk [M, N] on the applicants [M, N] that it does not know, 0 elsewhere."""
    everyone = applicants()
    splits = RepeatedStratifiedKFold(n_splits=folds, n_repeats=repetitions, random_state=seed)
    held_MN = np.zeros((folds * repetitions, len(everyone)), bool)
    risks: dict[str, NDArray[np.float64]] = {}
    for row, (known, held) in enumerate(splits.split(everyone.attributes, everyone.default)):
        held_MN[row, held] = True
        trained, unseen = everyone[known], everyone.attributes[held]
        found = {OWN: additive(trained, unseen, seed, shapes), **rivals(trained, unseen, seed, shapes)}
        for name, risk in found.items():
            risks.setdefault(name, np.zeros(held_MN.shape))[row, held] = risk
    return risks, held_MN


def by_repetition(risk_MN: NDArray[np.float64], folds: int) -> NDArray[np.float64]:
    """[R, N]: each applicant's risk by the one model of a repetition that does not know them."""
    return np.asarray(risk_MN.reshape(-1, folds, risk_MN.shape[1]).sum(1))


def judged(name: str, risk_MN: NDArray[np.float64], held_MN: NDArray[np.bool_], folds: int) -> tuple[Metric, ...]:
    """The three figures of a model."""
    default, risk_RN = applicants().default, by_repetition(risk_MN, folds)
    at, which = f"{len(risk_RN)} x {folds} folds", "" if name == OWN else f", {name}"
    area = cross_validated_auc(risk_MN, held_MN, default, at, DESCRIPTION)
    errors = [calibration_error(risk, default, bins=10) for risk in risk_RN]
    mean_costs = costs(risk_RN, default).mean(0)
    return (
        area.model_copy(update={"name": area.name + which}),
        bootstrapped(f"cost{which}", np.mean, mean_costs, unit="per applicant", split=at, description="at 1/6"),
        Metric(
            name=f"calibration error{which}",
            value=float(np.mean(errors)),
            low=min(errors),
            high=max(errors),
            count=len(default),
            split=at,
            description="10 bins; the interval is the least and the largest of the repetitions",
        ),
    )


def beside(risks: dict[str, NDArray[np.float64]], held_MN: NDArray[np.bool_], folds: int) -> list[Metric]:
    """What the additive model gains over each other one, pair by pair: in AUC on a fold, in cost on an applicant."""
    default, found = applicants().default, []
    own_RN = by_repetition(risks[OWN], folds)
    at = f"{len(own_RN)} x {folds} folds"
    for name, other_MN in risks.items():
        if name != OWN:
            dearer: NDArray[np.float64] = costs(own_RN, default) - costs(by_repetition(other_MN, folds), default)
            about = f"less that of {name}"
            found += [
                cross_validated_gain(f"AUC {about}", risks[OWN], other_MN, held_MN, default, at),
                bootstrapped(
                    f"cost {about}", np.mean, dearer.mean(0), unit="per applicant", split=at, description="pair by pair"
                ),
            ]
    return found

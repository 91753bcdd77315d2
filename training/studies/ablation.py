"""Ablation: what each part of the additive credit model is good for.

Each variant lacks one part of the model, is trained anew on the same 3 times 5 folds of the 1,000 applicants, its
penalty chosen inside, and is compared with the whole, fold by fold; the interval is widened for the training data that
folds share (Nadeau and Bengio, 2003). A part that costs nothing to leave out may be there for another reason: the signs
are there because a lender would have to explain a loan that is refused for being shorter.
"""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.model_selection import RepeatedStratifiedKFold

from training.data.german import Applicants, applicants
from training.kinds.additive import Shapes, choose, fit
from training.kinds.credit import POSITION, cost
from training.measures.scoring import auc
from training.recipes.classify.credit import SHAPES
from training.report.pictures import BLUE, png
from training.studies import Findings, Table

FOLDS, REPETITIONS = 5, 3
MONEY = ("checking_account", "savings")


def study() -> Findings:
    everyone = applicants()
    variants = {
        "the whole": (SHAPES, (), True),
        "no signs": (SHAPES._replace(sign=np.zeros_like(SHAPES.sign)), (), True),
        "no order of levels": (
            SHAPES._replace(ordered=np.zeros_like(SHAPES.ordered), sign=np.zeros_like(SHAPES.sign)),
            (),
            True,
        ),
        "no calibration": (SHAPES, (), False),
        "no accounts": (SHAPES, MONEY, True),
        "no age": (SHAPES, ("age_years",), True),
    }
    measured = {name: _measured(everyone, *variant) for name, variant in variants.items()}
    whole, rows = measured["the whole"], []
    differences = {}
    for name, found in measured.items():
        gain = found - whole
        reach = 1.96 * gain.std(0, ddof=1) * (1 / len(gain) + 1 / (FOLDS - 1)) ** 0.5
        differences[name] = gain[:, 0].mean(), reach[0]
        told = [
            f"{gain[:, i].mean():+.4f} [{gain[:, i].mean() - reach[i]:+.4f}, {gain[:, i].mean() + reach[i]:+.4f}]"
            for i in (0, 1)
        ]
        rows.append(
            [name, float(found[:, 0].mean()), float(found[:, 1].mean()), *(told if name != "the whole" else ("", ""))]
        )
    head = ("variant", "AUC", "cost per applicant", "AUC less the whole's", "cost less the whole's")
    return Findings({"Variants": Table(head, rows)}, {"auc-less-the-whole": _draw(differences)})


def _measured(everyone: Applicants, shapes: Shapes, without: tuple[str, ...], calibrated: bool) -> NDArray[np.float64]:
    """AUC and cost of each fold."""
    x, y = everyone.attributes.copy(), everyone.default
    for name in without:  # an attribute that is the same for all has no step to learn
        x[:, POSITION[name]] = x[0, POSITION[name]]
    steps, found = shapes.steps(x), []
    for known, held in RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=REPETITIONS, random_state=0).split(x, y):
        choice = choose(steps[known], y[known], shapes, 0)
        logit = fit(steps[known], y[known], shapes, choice.penalty).logit(steps[held])
        if calibrated:
            logit = choice.slope * logit + choice.offset
        risk = 1 / (1 + np.exp(-logit))
        found.append((auc(risk, y[held]), cost(risk, y[held])))
    return np.array(found)


def _draw(differences: dict[str, tuple[float, float]]) -> bytes:
    names = [name for name in differences if name != "the whole"]
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    axes = figure.subplots()
    mean, reach = zip(*(differences[name] for name in names), strict=True)
    axes.errorbar(mean, names, xerr=reach, fmt="o", color=BLUE, capsize=3)
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set(xlabel="AUC less that of the whole model")
    axes.grid(axis="x", alpha=0.3)
    return png(figure)

"""Feature importance: by shuffling, and by what an additive model itself adds.

The additive model of the German credit data, trained on four folds of five. On the fifth one attribute at a time is
shuffled, ten times, and what the AUC loses is how much the model leans on it; the interval is that of the mean over the
folds, by Student's t. Beside it stands the mean size of what the attribute adds to the log-odds, which needs no
shuffling and no outcomes. They differ where an attribute moves many a little and not their order. Neither says what
causes anything, and of two attributes that tell the same each may look dispensable.
"""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import t
from sklearn.model_selection import StratifiedKFold

from training.data.german import applicants
from training.kinds.additive import fit
from training.measures.scoring import auc
from training.recipes.classify.credit import ATTRIBUTES, SHAPES
from training.report.pictures import BLUE, png
from training.studies import Findings, Table

FOLDS, SHUFFLES, PENALTY = 5, 10, 8.0

# F folds, A attributes


def study() -> Findings:
    everyone, generator = applicants(), np.random.default_rng(0)
    lost_FA, added_FA = [], []
    for known, held in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(
        everyone.attributes, everyone.default
    ):
        model = fit(SHAPES.steps(everyone.attributes[known]), everyone.default[known], SHAPES, PENALTY)
        steps_NAL = SHAPES.steps(everyone.attributes[held]).reshape(len(held), *SHAPES.start.shape)
        added_NA = (steps_NAL * model.weight.reshape(SHAPES.start.shape)).sum(2)
        lost_FA.append(_lost(added_NA, everyone.default[held], generator))
        added_FA.append(np.abs(added_NA - added_NA.mean(0)).mean(0))
    lost, added = np.array(lost_FA), np.mean(added_FA, axis=0)
    mean, reach = lost.mean(0), t.ppf(0.975, FOLDS - 1) * lost.std(0, ddof=1) / FOLDS**0.5
    order = np.argsort(-mean)
    names = [one.name.replace("_", " ") for one in ATTRIBUTES]
    rows = [
        [
            names[i],
            round(float(mean[i]), 6) + 0.0,
            f"{mean[i] - reach[i]:.4f} to {mean[i] + reach[i]:.4f}",
            float(added[i]),
        ]
        for i in order
    ]
    head = ("attribute", "AUC lost when shuffled", "95 % interval", "mean size of what it adds, log-odds")
    return Findings(
        {"Attributes": Table(head, rows)}, {"auc-lost": _draw([names[i] for i in order], mean[order], reach[order])}
    )


def _lost(added_NA: NDArray[np.float64], y_N: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.float64]:
    """For each attribute; of a sum only one term changes."""
    logit_N = added_NA.sum(1)
    whole = auc(logit_N, y_N)
    lost = [
        whole - np.mean([auc(logit_N - one + generator.permutation(one), y_N) for _ in range(SHUFFLES)])
        for one in added_NA.T
    ]
    return np.array(lost)


def _draw(names: list[str], mean: NDArray[np.float64], reach: NDArray[np.float64]) -> bytes:
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots()
    axes.barh(names[::-1], mean[::-1], xerr=reach[::-1], color=BLUE, ecolor="grey")
    axes.set(xlabel="AUC lost when shuffled")
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(axis="x", alpha=0.3)
    return png(figure)

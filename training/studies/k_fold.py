"""Repeated K-fold: how far a figure depends on the split that it was measured on.

A logistic regression of the 1,000 applicants of the German credit data, measured as AUC on rows that it does not know:
on one tenth that is held out, on five folds, and on ten times five folds, each shuffled anew and stratified. Every
scheme is tried twenty times; what differs is the shuffling alone. A tenth of the rows says little: its figure moves
more from split to split than models differ. Repetition takes away what comes from the split and not what comes from
having 1,000 rows, which the last column estimates by a bootstrap over the rows.
"""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.data.german import applicants
from training.kinds.credit import NumericColumns
from training.measures.scoring import auc
from training.report.pictures import BLUE, png
from training.studies import Findings, Table

TRIES, REPETITIONS, FOLDS = 20, 10, 5


def study() -> Findings:
    import torch

    everyone = applicants()
    x, y = NumericColumns()(torch.from_numpy(everyone.attributes)).numpy(), everyone.default
    once = [_held_out(x, y, seed) for seed in range(TRIES)]
    folds = np.array([_folds(x, y, seed) for seed in range(TRIES * REPETITIONS)])
    schemes = {
        "a tenth held out": np.array(once),
        "5 folds": folds[:TRIES],
        "10 times 5 folds": folds.reshape(TRIES, REPETITIONS).mean(1),
    }
    risk, generator = _risks(x, y), np.random.default_rng(0)
    rows = [generator.integers(len(y), size=len(y)) for _ in range(500)]
    chance = float(np.std([auc(risk[drawn], y[drawn]) for drawn in rows]))
    table = [
        [name, models, float(found.mean()), float(found.std(ddof=1)), float(found.min()), float(found.max()), chance]
        for (name, found), models in zip(schemes.items(), (1, FOLDS, FOLDS * REPETITIONS), strict=True)
    ]
    head = ("scheme", "trainings", "AUC, mean", "deviation over 20 tries", "least", "largest", "deviation by the rows")
    return Findings({"AUC by scheme": Table(head, table)}, {"auc-by-scheme": _draw(schemes)})


def _fitted(x: NDArray[np.float32], y: NDArray[np.int64]) -> object:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.02)).fit(x, y)


def _held_out(x: NDArray[np.float32], y: NDArray[np.int64], seed: int) -> float:
    known, held = train_test_split(np.arange(len(y)), test_size=0.1, stratify=y, random_state=seed)
    return auc(_fitted(x[known], y[known]).predict_proba(x[held])[:, 1], y[held])  # type: ignore[attr-defined]


def _folds(x: NDArray[np.float32], y: NDArray[np.int64], seed: int) -> float:
    """The mean of the five."""
    splits = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(x, y)
    return float(
        np.mean([auc(_fitted(x[known], y[known]).predict_proba(x[held])[:, 1], y[held]) for known, held in splits])  # type: ignore[attr-defined]
    )


def _risks(x: NDArray[np.float32], y: NDArray[np.int64]) -> NDArray[np.float64]:
    risk = np.empty(len(y))
    for known, held in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(x, y):
        risk[held] = _fitted(x[known], y[known]).predict_proba(x[held])[:, 1]  # type: ignore[attr-defined]
    return risk


def _draw(schemes: dict[str, NDArray[np.float64]]) -> bytes:
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    axes = figure.subplots()
    for place, found in enumerate(schemes.values()):
        axes.plot(found, np.full(len(found), place), "|", color=BLUE, markersize=18)
    axes.set(yticks=range(len(schemes)), yticklabels=schemes, xlabel="AUC, each line a try", ylim=(-0.5, 2.5))
    axes.grid(axis="x", alpha=0.3)
    return png(figure)

"""Eigenvectors, singular values and principal components of wine.

178 wines of three growers in Piedmont, 13 measures each (Forina; UCI repository). The covariance of the raw measures
has one large direction, proline, whose numbers are a thousand times as large as others: its first eigenvector says
which unit was used. The correlation matrix, that of standardised measures, has directions that tell the growers apart.
The singular values of the standardised table are the roots of (n - 1) times its eigenvalues; with all of them the table
comes back to rounding, and the error of a reconstruction is what was dropped.
"""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score

from training.data.wine import MEASURES, wine
from training.report.pictures import BLUE, ORANGE, png
from training.studies import Findings, Table

KEPT = 1, 2, 3, 5, 8, 13


def study() -> Findings:
    x, grower = wine()
    standard = (x - x.mean(0)) / x.std(0, ddof=1)
    bases = {"covariance": _basis(np.atleast_2d(np.cov(x.T))), "correlation": _basis(np.atleast_2d(np.corrcoef(x.T)))}
    left, values, right = np.linalg.svd(standard, full_matrices=False)
    eigenvalues = bases["correlation"][0]
    tables = {
        "The first three directions": Table(
            ("of", "direction", "share of the variance", "largest measures"), [*_directions(bases)]
        ),
        "Reconstruction": Table(
            ("singular values kept", "share of the variance", "root mean squared error", "growers told apart"),
            [_reconstructed(standard, left, values, right, kept, grower) for kept in KEPT],
        ),
        "Both ways agree": Table(
            ("", "largest difference"),
            [
                ("squared singular values over n - 1, and eigenvalues", _far(values**2 / (len(x) - 1), eigenvalues)),
                ("the table from all singular values, and the table", _far(left * values @ right, standard)),
            ],
        ),
    }
    pictures = {
        "two-dimensions": _draw_plane(x, standard, bases, grower),
        "three-dimensions": _draw_space(standard @ right[:3].T, grower),
    }
    return Findings(tables, pictures)


def _basis(matrix: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Eigenvalues, the largest first, and eigenvectors as rows."""
    values, vectors = np.linalg.eigh(matrix)
    return values[::-1], vectors[:, ::-1].T


def _directions(bases: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]) -> list[list[object]]:
    rows: list[list[object]] = []
    for name, (values, vectors) in bases.items():
        for place in range(3):
            largest = np.argsort(-abs(vectors[place]))[:3]
            told = ", ".join(f"{MEASURES[i]} {abs(vectors[place, i]):.2f}" for i in largest)
            rows.append([name, place + 1, float(values[place] / values.sum()), told])
    return rows


def _reconstructed(
    standard: NDArray[np.float64],
    left: NDArray[np.float64],
    values: NDArray[np.float64],
    right: NDArray[np.float64],
    kept: int,
    grower: NDArray[np.int64],
) -> list[object]:
    scores = left[:, :kept] * values[:kept]
    error = float(np.sqrt(np.mean((scores @ right[:kept] - standard) ** 2)))
    right_ones = cross_val_score(LogisticRegression(max_iter=1000), scores, grower, cv=5).mean()
    return [kept, float((values[:kept] ** 2).sum() / (values**2).sum()), error, f"{right_ones:.1%}"]


def _far(one: NDArray[np.float64], other: NDArray[np.float64]) -> str:
    return f"{np.abs(one - other).max():.1g}"


def _draw_plane(
    x: NDArray[np.float64],
    standard: NDArray[np.float64],
    bases: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    grower: NDArray[np.int64],
) -> bytes:
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for axes, (name, (_, vectors)), rows in zip(
        figure.subplots(1, 2), bases.items(), (x - x.mean(0), standard), strict=True
    ):
        for label, colour in enumerate((BLUE, ORANGE, "grey")):
            axes.plot(
                *(rows[grower == label] @ vectors[:2].T).T, "o", color=colour, markersize=3, label=f"grower {label + 1}"
            )
        axes.set(xlabel="first direction", ylabel="second", title=name)
        axes.legend(frameon=False, fontsize=7)
    return png(figure)


def _draw_space(scores: NDArray[np.float64], grower: NDArray[np.int64]) -> bytes:
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.add_subplot(projection="3d")
    for label, colour in enumerate((BLUE, ORANGE, "grey")):
        axes.plot(*scores[grower == label].T, "o", color=colour, markersize=3)
    axes.set(xlabel="first", ylabel="second", zlabel="third")
    return png(figure)

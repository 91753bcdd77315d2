"""Centring, standardising, PCA and ZCA whitening of pictures.

The first 100 pictures of Fashion-MNIST's training set, reduced to 14x14 so that the pixels are no more than can be
told from a sample, and whitened with a small ridge, for 100 pictures span 99 directions of 196. Whitening by PCA
rotates to the eigenvectors: nothing is left of the picture. ZCA rotates back and is, of all whitenings, the one that is
nearest to the picture (Kessy, Lewin and Strimmer, 2018).
"""

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.data import fashion_mnist
from training.report.pictures import BLUE, png
from training.studies import Findings, Table

COUNT, SIDE, RIDGE = 100, 14, 0.01


def study() -> Findings:
    pixels = fashion_mnist().train.pixels[:COUNT].reshape(COUNT, SIDE, 2, SIDE, 2).mean((2, 4)) / 255
    x = pixels.reshape(COUNT, -1)
    forms = {"as it is": x, **whitened(x)}
    rows = [[name, *_measures(form, x)] for name, form in forms.items()]
    head = ("form", "mean", "variance of a pixel", "mean size of a correlation", "correlation with the picture")
    return Findings({"What each does": Table(head, rows)}, {"pictures-histograms-covariances": _draw(forms)})


def whitened(x: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    centred = x - x.mean(0)
    standard = centred / np.maximum(centred.std(0), 1e-3)
    values, vectors = np.linalg.eigh(np.cov(centred.T))
    pca = centred @ vectors / np.sqrt(np.maximum(values, 0) + RIDGE)
    return {"centred": centred, "standardised": standard, "PCA": pca[:, ::-1], "ZCA": pca @ vectors.T}


def _measures(form: NDArray[np.float64], x: NDArray[np.float64]) -> list[object]:
    moved = form[:, form.std(0) > 1e-6]
    correlations = np.abs(np.corrcoef(moved.T))
    outside = correlations[~np.eye(len(correlations), dtype=bool)].mean()
    alike = np.mean([np.corrcoef(one, other)[0, 1] for one, other in zip(form, x - x.mean(0), strict=True)])
    return [abs(round(float(form.mean()), 6)), float(form.var(0).mean()), float(outside), float(alike)]


def _draw(forms: dict[str, NDArray[np.float64]]) -> bytes:
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    for column, (name, form) in zip(figure.subplots(3, len(forms)).T, forms.items(), strict=True):
        column[0].imshow(form[0].reshape(SIDE, SIDE), cmap="gray")
        column[1].hist(form.ravel(), bins=40, color=BLUE)
        column[2].imshow(np.cov(form.T), cmap="gray")
        column[0].set_title(name, fontsize=9)
        for axes in column[[0, 2]]:
            axes.set(xticks=[], yticks=[])
        column[1].set(yticks=[])
        column[1].tick_params(labelsize=6)
    return png(figure)

"""What models of the Statlog German credit data share: the split, the 24 numeric columns, the cost and the figures."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from service.bundle import Histogram, Metric
from service.bundle import Tensor as Signature
from training.data.german import ATTRIBUTES, Applicants, applicants
from training.data.given import Given, given_for
from training.given.tables import table
from training.measures.evaluation import Predict, bootstrapped, histogram, proportion
from training.measures.paired import Scores
from training.measures.scoring import auc
from training.recipe import Recipe
from training.report.pictures import BLUE, ORANGE, png

# B applicants, A = 20 attributes, O = 15 ordinals, I = 9 indicators, K = 24 columns

MISSED_DEFAULT, REFUSED_GOOD = 5.0, 1.0  # the Statlog cost matrix
THRESHOLD = REFUSED_GOOD / (MISSED_DEFAULT + REFUSED_GOOD)
YOUNG = 25  # years, up to which an applicant counts as young (Kamiran and Calders, 2009)
POSITION = {attribute.name: index for index, attribute in enumerate(ATTRIBUTES)}
INDICATORS = {
    "purpose": ("A40", "A41"),
    "other_debtors": ("A101", "A102"),
    "housing": ("A151", "A152"),
    "job": ("A171", "A172", "A173"),
}
ORDINALS = [name for name in POSITION if name not in (*INDICATORS, "installment_rate")]
APPLICANT = Signature(
    name="applicant",
    dtype="float32",
    shape=("batch", len(ATTRIBUTES)),
    description="the attributes in the task's order: a category as its index in `values`, a number as it is",
)
RISK = Signature(
    name="default_probability", dtype="float32", shape=("batch",), range=(0, 1), description="of a bad risk"
)


class NumericColumns(nn.Module):
    """The 24 numeric columns of 20 attributes: [B, A] -> [B, K].

    An ordinal is the number that ends its code (A11 is 1, A30 is 0); the amount is in hundreds of DM, half to even.
    """

    ordinal: Tensor
    first: Tensor
    is_amount: Tensor
    indicator: Tensor
    value: Tensor

    def __init__(self) -> None:
        super().__init__()
        codes = {attribute.name: attribute.codes for attribute in ATTRIBUTES}
        pairs = [(name, codes[name].index(code)) for name, ones in INDICATORS.items() for code in ones]
        self.register_buffer("ordinal", torch.tensor([POSITION[name] for name in ORDINALS]))
        self.register_buffer(
            "first", torch.tensor([float(codes[name][0][-1]) if codes[name] else 0 for name in ORDINALS])
        )
        self.register_buffer("is_amount", torch.tensor([name == "credit_amount" for name in ORDINALS]))
        self.register_buffer("indicator", torch.tensor([POSITION[name] for name, _ in pairs]))
        self.register_buffer("value", torch.tensor([float(index) for _, index in pairs]))

    def forward(self, applicant_BA: Tensor) -> Tensor:
        ordinal_BO = applicant_BA[:, self.ordinal] + self.first
        ordinal_BO = torch.where(self.is_amount, torch.round(ordinal_BO / 100), ordinal_BO)
        indicator_BI = (applicant_BA[:, self.indicator] == self.value).to(applicant_BA.dtype)
        return torch.cat([ordinal_BO, indicator_BI], dim=1)


def split(held_out: int, seed: int) -> tuple[Applicants, Applicants]:
    """Training and held-out applicants, each with 30 % bad risks."""
    everyone = applicants()
    if (found := given_for(applicants)) and found.folds is not None:
        return everyone[np.flatnonzero(found.folds != 0)], everyone[np.flatnonzero(found.folds == 0)]
    known, held = train_test_split(
        np.arange(len(everyone)), test_size=held_out, stratify=everyone.default, random_state=seed
    )
    return everyone[known], everyone[held]


def given(recipe: Recipe[Any], path: Path) -> Given:
    """Applicants from outside: the attributes, and `default`, 1 where the loan was not paid back."""

    def make(x: NDArray[np.float64], y: NDArray[np.float64], _: NDArray[np.bool_]) -> Applicants:
        return Applicants(x.astype(np.float32), y[:, 0].astype(np.int64))

    return table(applicants, ATTRIBUTES, ["default"], make, ("paid back", "default"))(recipe, path)


def costs(
    risk: NDArray[np.floating], default: NDArray[np.int64], bound: float | NDArray[np.floating] = THRESHOLD
) -> NDArray[np.float64]:
    """Of each applicant when those below the bound are approved."""
    missed, refused = (risk < bound) & (default == 1), (risk >= bound) & (default == 0)
    return np.asarray(MISSED_DEFAULT * missed + REFUSED_GOOD * refused)


def cost(risk: NDArray[np.floating], default: NDArray[np.int64]) -> float:
    """Mean cost per applicant when those below the threshold are approved."""
    return float(costs(risk, default).mean())


def held_out_metrics(risk: NDArray[np.floating], default: NDArray[np.int64]) -> tuple[Metric, ...]:
    at_threshold, at_half = (int(((risk >= bound) == default).sum()) for bound in (THRESHOLD, 0.5))
    return (
        bootstrapped(
            "AUC", auc, risk, default, description="area under the ROC curve; this one split's, see the spread above"
        ),
        bootstrapped(
            "Brier score", lambda p, y: float(np.mean((p - y) ** 2)), risk, default, description="mean squared error"
        ),
        bootstrapped(
            "cost", cost, risk, default, unit="per applicant", description="at the threshold; refusing all: 0.7"
        ),
        proportion(
            "accuracy at the threshold",
            at_threshold,
            len(risk),
            description="which minimises the cost, not the mistakes",
        ),
        proportion("accuracy at 1/2", at_half, len(risk), description="decision at a probability of 1/2"),
    )


def scores(predict: Predict, hyper: Any) -> Scores:
    """The area on the held-out applicants; neither the young nor the others pay."""
    _, held = split(hyper.held_out, hyper.seed)
    young = held.attributes[:, POSITION["age_years"]] <= YOUNG
    groups = {f"age up to {YOUNG}": young, f"age above {YOUNG}": ~young}
    return Scores(
        statistic=auc,
        given=(predict({"applicant": held.attributes})["default_probability"].astype(np.float64),),
        truth=(held.default,),
        items="applicants",
        slices={name: mask for name, mask in groups.items() if 0 < held.default[mask].sum() < mask.sum()},
    )


def reference(attributes_NA: NDArray[np.float32]) -> Iterator[Histogram]:
    """One bin per category or small whole number; a tenth of the applicants in each bin of the others."""
    for attribute, values in zip(ATTRIBUTES, attributes_NA.T, strict=True):
        low, high = attribute.range or (0, len(attribute.values) - 1)
        edges = np.arange(low - 0.5, high + 1)
        if len(edges) > 12:
            edges = np.unique([low, *np.quantile(values, np.linspace(0.1, 0.9, 9)), high])
        yield histogram(attribute.name, values, edges)


def draw_effects(predict: Predict, known: Applicants) -> bytes:
    """What each value does to the log-odds of default of an applicant who is typical in everything else."""
    typical, names, variants = np.median(known.attributes, axis=0).round(), [], []
    for column, attribute in enumerate(ATTRIBUTES):
        numbers = np.quantile(known.attributes[:, column], [0.1, 0.9], method="nearest")
        for value in range(len(attribute.values)) if attribute.values else numbers:
            label = attribute.values[value] if attribute.values else f"{value:g}"
            names.append(f"{attribute.name.replace('_', ' ')}: {label.replace('_', ' ')}")
            variants.append(np.where(np.arange(len(ATTRIBUTES)) == column, value, typical))
    applicant = np.array([typical, *variants], dtype=np.float32)
    risk = predict({"applicant": applicant})["default_probability"].astype(np.float64)
    effect = np.log(risk / (1 - risk))[1:] - np.log(risk[0] / (1 - risk[0]))
    figure = Figure(figsize=(6.4, 0.17 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(names[::-1], effect[::-1], color=np.where(effect[::-1] > 0, ORANGE, BLUE))
    axes.set(xlabel="change of the log-odds of default")
    axes.tick_params(axis="y", labelsize=7)
    axes.margins(y=0.005)
    axes.grid(axis="x", alpha=0.3)
    return png(figure)

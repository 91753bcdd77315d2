"""Toys whose rows are those of tables."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper

from service.bundle import (
    Attribute,
    Axis,
    CreditScoring,
    Quantity,
    SalesForecasting,
    TabularPrediction,
    Tensor,
)
from tests.bundle_writer import write
from training.data.german import ATTRIBUTES

RISK = np.random.default_rng(1).normal(0, 0.01, len(ATTRIBUTES)).astype(np.float32)


def default_probability(applicants: NDArray[np.float32]) -> NDArray[np.float32]:
    """What `credit` answers to encoded applicants [N, 20]."""
    return 1 / (1 + np.exp(-(applicants @ (RISK / 100))))


def credit(models: Path, name: str = "toy-credit", **options: Any) -> Path:
    applicants = np.array([[one.range[0] if one.range else 0 for one in ATTRIBUTES]] * 2, np.float32)
    nodes = [
        helper.make_node("MatMul", ["applicant", "risk"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["default_probability"]),
    ]
    return write(
        models,
        name,
        CreditScoring(attributes=ATTRIBUTES, decision_threshold=0.5),
        nodes,
        {"risk": RISK / 100},
        [Tensor(name="applicant", dtype="float32", shape=("batch", len(ATTRIBUTES)))],
        [Tensor(name="default_probability", dtype="float32", shape=("batch",))],
        ({"applicant": applicants}, {"default_probability": default_probability(applicants)}),
        **options,
    )


def table(models: Path, name: str = "toy-table", **options: Any) -> Path:
    """price = 100 rooms + 50 for a house."""
    rows = np.array([[2, 0], [5, 1]], np.float32)
    attributes = (
        Attribute(name="rooms", description="counted", range=(1, 10)),
        Attribute(name="kind", description="of building", values=("flat", "house")),
    )
    price = Quantity(name="price", description="asked for", unit="thousands")
    return write(
        models,
        name,
        TabularPrediction(attributes=attributes, quantities=(price,)),
        [helper.make_node("MatMul", ["row", "worth"], ["values"])],
        {"worth": np.array([[100], [50]], np.float32)},
        [Tensor(name="row", dtype="float32", shape=("batch", 2))],
        [Tensor(name="values", dtype="float32", shape=("batch", 1))],
        ({"row": rows}, {"values": rows @ np.array([[100], [50]], np.float32)}),
        **options,
    )


def ranges(models: Path, name: str = "toy-ranges", **options: Any) -> Path:
    """price = 100 rooms + 50 for a house, give or take 7; both may be left out, and count as -1 then."""
    rows = np.array([[2, -1], [-1, 1]], np.float32)
    worth, reach = np.array([[100], [50]], np.float32), np.array([-7, 7], np.float32)
    attributes = (
        Attribute(name="rooms", description="counted", range=(1, 10), missing=-1),
        Attribute(name="kind", description="of building", values=("flat", "house"), missing=-1),
    )
    price = Quantity(name="price", description="asked for", unit="thousands")
    values = rows @ worth
    nodes = [
        helper.make_node("MatMul", ["row", "worth"], ["values"]),
        helper.make_node("Unsqueeze", ["values", "last"], ["middle"]),
        helper.make_node("Add", ["middle", "reach"], ["interval"]),
    ]
    return write(
        models,
        name,
        TabularPrediction(attributes=attributes, quantities=(price,), coverage=0.9),
        nodes,
        {"worth": worth, "reach": reach, "last": np.array([2])},
        [Tensor(name="row", dtype="float32", shape=("batch", 2))],
        [
            Tensor(name="values", dtype="float32", shape=("batch", 1)),
            Tensor(name="interval", dtype="float32", shape=("batch", 1, 2)),
        ],
        ({"row": rows}, {"values": values, "interval": values[:, :, None] + reach}),
        **options,
    )


def marks(models: Path, name: str = "toy-marks", **options: Any) -> Path:
    """Each of two labels has the probability that the row says; the first applies from 0.3 on, the second from 0.6."""
    rows = np.array([[0.5, 0.5], [0.1, 0.9]], np.float32)
    return write(
        models,
        name,
        TabularPrediction(
            attributes=tuple(Attribute(name=name, description="its own", range=(0, 1)) for name in ("light", "round")),
            labels=("lamp", "ball"),
            thresholds=(0.3, 0.6),
        ),
        [helper.make_node("Identity", ["row"], ["probabilities"])],
        {},
        [Tensor(name="row", dtype="float32", shape=("batch", 2))],
        [Tensor(name="probabilities", dtype="float32", shape=("batch", 2))],
        ({"row": rows}, {"probabilities": rows}),
        **options,
    )


def sales(models: Path, name: str = "toy-sales", **options: Any) -> Path:
    """The chance is the mean of the draws, the middle of the year's total what was reached and a mean month."""
    history = np.arange(72, dtype=np.float32).reshape(2, 3, 12)
    state, drawn = np.array([[9, 100, 186], [0, 0, 50]], np.float32), np.full((2, 12, 4), 0.25, np.float32)
    nodes = [
        helper.make_node("ReduceMean", ["uniform", "inner"], ["chance"], keepdims=0),
        helper.make_node("Unsqueeze", ["chance", "last"], ["probability"]),
        helper.make_node("ReduceMean", ["history", "inner"], ["month"], keepdims=0),
        helper.make_node("Gather", ["state", "second"], ["reached"], axis=1),
        helper.make_node("Add", ["month", "reached"], ["total"]),
        helper.make_node("Unsqueeze", ["total", "both"], ["quantiles"]),
    ]
    total = history.mean((1, 2)) + state[:, 1]
    return write(
        models,
        name,
        SalesForecasting(options=("even",), quantiles=(0.5,), draws=8),
        nodes,
        {"inner": np.array([1, 2]), "last": np.array([1]), "second": np.array(1), "both": np.array([1, 2])},
        [
            Tensor(name="history", dtype="float32", shape=("batch", "years", 12)),
            Tensor(name="state", dtype="float32", shape=("batch", 3)),
            Tensor(name="uniform", dtype="float32", shape=("batch", 12, "draws")),
        ],
        [
            Tensor(name="probability", dtype="float32", shape=("batch", 1)),
            Tensor(name="quantiles", dtype="float32", shape=("batch", 1, 1)),
        ],
        (
            {"history": history, "state": state, "uniform": drawn},
            {"probability": drawn.mean((1, 2))[:, None], "quantiles": total[:, None, None]},
        ),
        axes={"years": Axis(least=2, most=5), "draws": Axis(most=64)},
        **options,
    )

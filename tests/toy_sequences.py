"""Tiny bundles for sequences, as `tests/toys.py` has others: forecasts of series, and texts word by word."""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

from service.bundle import Axis, SeriesForecasting, Tensor, TextClassification, Tokeniser
from tests.bundle_writer import write


def forecasts(models: Path, name: str = "toy-forecasts", **options: Any) -> Path:
    """The mean of a history for each of three steps, give or take 1 at a level of 0.5 and 2 at one of 0.9."""
    history = np.array([[1, 2, 6], [4, 5, 0]], np.float32)
    mask = np.array([[1, 1, 1], [1, 1, 0]], np.float32)
    nodes = [
        helper.make_node("Mul", ["history", "mask"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "last"], ["sum"], keepdims=1),
        helper.make_node("ReduceSum", ["mask", "last"], ["count"], keepdims=1),
        helper.make_node("Div", ["sum", "count"], ["mean"]),
        helper.make_node("Mul", ["mean", "steps"], ["values"]),
        helper.make_node("Unsqueeze", ["values", "last"], ["middle"]),
        helper.make_node("Sub", ["middle", "give"], ["low"]),
        helper.make_node("Add", ["middle", "give"], ["high"]),
    ]
    values = np.array([[3] * 3, [4.5] * 3], np.float32)
    give = np.array([[1], [2]], np.float32)
    bounds = ("batch", 2, 3)
    return write(
        models,
        name,
        SeriesForecasting(frequency="month", season=12, horizon=3, levels=(0.5, 0.9)),
        nodes,
        {"last": np.array([1]), "steps": np.ones((1, 3), np.float32), "give": give},
        [Tensor(name=one, dtype="float32", shape=("batch", "steps")) for one in ("history", "mask")],
        [
            Tensor(name="values", dtype="float32", shape=("batch", 3)),
            Tensor(name="low", dtype="float32", shape=bounds),
            Tensor(name="high", dtype="float32", shape=bounds),
        ],
        (
            {"history": history, "mask": mask},
            {"values": values, "low": values[:, None] - give, "high": values[:, None] + give},
        ),
        axes={"steps": Axis(least=2, most=32, buckets=(4, 8, 32), mask="mask")},
        **options,
    )


def words(models: Path, name: str = "toy-words", **options: Any) -> Path:
    """Takes words; `yes` adds 1 to the score of `good` and takes 1 from that of `bad`, `no` the other way round."""
    given = np.array([["yes", "no", "yes"], ["maybe", "", ""], ["no", "thanks", ""]])
    worth = np.array([[1, -1, 1], [0, 0, 0], [-1, 0, 0]], np.float32)
    contributions = np.stack([-worth, worth], axis=1)
    scores = np.exp(contributions.sum(axis=2))
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["words"],
            ["worth"],
            domain="ai.onnx.ml",
            keys_strings=["yes", "no"],
            values_floats=[1.0, -1.0],
            default_float=0.0,
        ),
        helper.make_node("Unsqueeze", ["worth", "middle"], ["good"]),
        helper.make_node("Neg", ["good"], ["bad"]),
        helper.make_node("Concat", ["bad", "good"], ["contributions"], axis=1),
        helper.make_node("ReduceSum", ["contributions", "last"], ["scores"], keepdims=0),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    return write(
        models,
        name,
        TextClassification(labels=("bad", "good"), tokeniser=Tokeniser(pattern=r"\w+", most=8)),
        nodes,
        {"middle": np.array([1]), "last": np.array([2])},
        [Tensor(name="words", dtype="string", shape=("batch", "words"))],
        [
            Tensor(name="probabilities", dtype="float32", shape=("batch", 2)),
            Tensor(name="contributions", dtype="float32", shape=("batch", 2, "words")),
        ],
        (
            {"words": given},
            {"probabilities": scores / scores.sum(axis=1, keepdims=True), "contributions": contributions},
        ),
        axes={"words": Axis(most=8, buckets=(2, 4, 8))},
        **options,
    )

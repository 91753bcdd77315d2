"""Linear regression that learns row by row and keeps no row: recursive least squares.

All that is remembered are sums over the rows, A of x x' and b of x y; the weights solve A theta = b. Nothing is learned
less well than from all rows at once: after each row the weights are those of least squares on all so far.
"""

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from service.bundle import TabularPrediction
from training.kinds.tabular import Line
from training.report.pictures import BLUE, ORANGE, png
from training.run import RunError

# N rows, A attributes, P = 1 + A weights, the intercept first

PRIOR = 1e-3  # as if a row of this size had been seen along each weight: one row alone decides nothing


class Statistics(NamedTuple):
    """Sums over the rows: A [P, P], b [P], of y squared, and of the squared errors made before each was learned."""

    gram: NDArray[np.float64]
    moment: NDArray[np.float64]
    square: float
    loss: float
    rows: int

    @classmethod
    def nothing(cls, attributes: int) -> Self:
        return cls(PRIOR * np.eye(1 + attributes), np.zeros(1 + attributes), 0.0, 0.0, 0)

    @classmethod
    def parse(cls, content: bytes) -> Self:
        found = json.loads(content)
        return cls(np.array(found["gram"]), np.array(found["moment"]), found["square"], found["loss"], found["rows"])

    def json(self) -> bytes:
        fields = self._asdict() | {"gram": self.gram.tolist(), "moment": self.moment.tolist()}
        return json.dumps(fields, indent=1).encode() + b"\n"

    @property
    def theta(self) -> NDArray[np.float64]:
        return np.asarray(np.linalg.solve(self.gram, self.moment))

    @property
    def regret(self) -> float:
        """The squared errors so far, less those of the weights that are best in hindsight."""
        return self.loss - (self.square - float(self.moment @ self.theta))

    def learn(self, x_A: NDArray[np.float64], y: float) -> tuple["Statistics", float]:
        """With one row more; and the error of what was predicted before."""
        x_P = np.concatenate([[1.0], x_A])
        error = float(x_P @ self.theta - y)
        gram, moment = self.gram + np.outer(x_P, x_P), self.moment + x_P * y
        return Statistics(gram, moment, self.square + y * y, self.loss + error * error, self.rows + 1), error


class Course(NamedTuple):
    """What came of learning rows: the statistics, the error before each was learned, and the regret after it."""

    statistics: Statistics
    errors: NDArray[np.float64]
    regrets: NDArray[np.float64]


def learn(statistics: Statistics, x_NA: NDArray[np.float64], y_N: NDArray[np.float64]) -> Course:
    errors, regrets = [], []
    for x_A, y in zip(x_NA, y_N, strict=True):
        statistics, error = statistics.learn(x_A, float(y))
        errors.append(error)
        regrets.append(statistics.regret)
    return Course(statistics, np.array(errors), np.array(regrets))


def line_of(statistics: Statistics) -> Line:
    """What is served."""
    line = Line(torch.zeros(1, len(statistics.moment) - 1), standardise=False)
    with torch.no_grad():
        line.linear.bias.copy_(torch.from_numpy(statistics.theta[:1]))
        line.linear.weight.copy_(torch.from_numpy(statistics.theta[None, 1:]))
    return line


class Gram(nn.Module):
    """A [P, P], as a training keeps it."""

    value: Tensor

    def __init__(self, attributes: int) -> None:
        super().__init__()
        self.register_buffer("value", PRIOR * torch.eye(1 + attributes, dtype=torch.float64))

    def add(self, x_BA: Tensor) -> None:
        x_BP = torch.cat([torch.ones_like(x_BA[:, :1]), x_BA], dim=1)
        self.value += x_BP.T @ x_BP


class NewtonStep(torch.optim.Optimizer):
    """A step down the gradient of a line's squared errors, by A: recursive least squares."""

    def __init__(self, line: Line, gram: Gram) -> None:
        super().__init__([line.linear.bias, line.linear.weight], {})
        self.line, self.gram = line, gram

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        bias, weight = self.line.linear.bias, self.line.linear.weight
        assert bias.grad is not None
        assert weight.grad is not None
        change_P = torch.linalg.solve(self.gram.value, torch.cat([bias.grad, weight.grad[0]]))
        with torch.no_grad():
            bias.sub_(change_P[:1])
            weight.sub_(change_P[None, 1:])


def read_rows(path: Path, task: TabularPrediction) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows of a CSV with a header: attributes [N, A], and the quantity [N].

    Raises RunError with the line and the column of what is no number or out of range.
    """
    names = [*(one.name for one in task.attributes), task.quantities[0].name]
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not rows:
        raise RunError(f"{path} has no rows: it needs a header, {','.join(names)}, and a row below")
    table = np.array([[_number(path, line, name, row.get(name)) for name in names] for line, row in enumerate(rows, 2)])
    for column, one in enumerate(task.attributes):
        low, high = one.range or (-np.inf, np.inf)
        if len(wrong := np.flatnonzero((table[:, column] < low) | (table[:, column] > high))):
            raise RunError(f"{path}, line {wrong[0] + 2}: {one.name} must be from {low:g} to {high:g}")
    return table[:, :-1], table[:, -1]


def _number(path: Path, line: int, name: str, text: str | None) -> float:
    try:
        number = float(text or "")
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise RunError(f"{path}, line {line}: {name} must be a number, got {text!r}")
    return number


def draw(regrets: NDArray[np.float64], others_ON: NDArray[np.float64] | None = None) -> bytes:
    """The regret after each row, and in other orders of the rows."""
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axes = figure.subplots()
    for other_N in () if others_ON is None else others_ON:
        axes.plot(1 + np.arange(len(other_N)), other_N, color=BLUE, linewidth=0.5, alpha=0.4)
    axes.plot(1 + np.arange(len(regrets)), regrets, color=ORANGE)
    axes.set(xlabel="rows learned", ylabel="squared errors beyond those of hindsight")
    axes.set_yscale("symlog")
    axes.grid(alpha=0.3)
    return png(figure)

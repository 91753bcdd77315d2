"""Regression on tables: a line through standardised columns, fitted by gradient descent, and how well it predicts.

A recipe brings its table, its attributes and its hyper-parameters. The mean and the deviation of the columns are part
of the graph, so new rows come as they are.
"""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from service.bundle import Attribute, Metric, Quantity
from service.bundle import Tensor as Declared
from training.measures.evaluation import Evaluation, Predict, bootstrapped, histogram
from training.measures.paired import Scores
from training.report.pictures import BLUE, png
from training.run import Run

# N rows, A attributes


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """Gradient descent over all rows, `steps` in an epoch; without `standardise` columns stay as they are."""

    seed: int = 0
    epochs: int = 15
    steps: int = 100
    learning_rate: float = 0.01
    standardise: bool = True


class Line(nn.Module):
    """Rows [N, A] to one value each [N, 1]."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, x_NA: Tensor, standardise: bool) -> None:
        """`x_NA` are the rows whose mean and deviation scale the columns."""
        super().__init__()
        self.register_buffer("mean", x_NA.mean(0) if standardise else torch.zeros_like(x_NA[0]))
        self.register_buffer("deviation", x_NA.std(0) if standardise else torch.ones_like(x_NA[0]))
        self.linear = nn.Linear(x_NA.shape[1], 1, dtype=x_NA.dtype)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, row: Tensor) -> Tensor:
        values: Tensor = self.linear((row - self.mean) / self.deviation)
        return values

    def theta(self) -> NDArray[np.float64]:
        """Intercept and slopes for columns as they come, not standardised."""
        slopes_A = (self.linear.weight[0] / self.deviation).detach()
        intercept = self.linear.bias.detach() - slopes_A @ self.mean
        return torch.cat([intercept, slopes_A]).double().numpy()


def fit(run: Run[Hyper], x_NA: NDArray[np.float64], y_N: NDArray[np.float64]) -> Line:
    """Least squares by gradient descent from zero: half the mean squared error, all rows in every step."""
    x, y = (torch.from_numpy(array).to(run.device) for array in (x_NA, y_N))
    line = Line(x, run.hyper.standardise).to(run.device)
    optimizer = torch.optim.SGD(line.parameters(), lr=run.hyper.learning_rate)
    for _ in run.epochs(line=line, optimizer=optimizer):
        for _ in range(run.hyper.steps):
            for x_BA, y_B in run.batches(x, y, size=len(x)):
                loss = (line(x_BA)[:, 0] - y_B).square().mean() / 2
                run.step(loss, optimizer)
        run.log(train_cost=loss.item())
    return line.float()


def normal_equation(x_NA: NDArray[np.float64], y_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """The intercept and slopes that least squares has in closed form."""
    design = np.column_stack([np.ones(len(x_NA)), x_NA])
    return np.linalg.lstsq(design, y_N, rcond=None)[0].astype(np.float64)


def left_out(x_NA: NDArray[np.float64], y_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """The prediction for each row by the closed form of all others."""
    predictions = np.empty_like(y_N)
    for row in range(len(y_N)):
        others = np.arange(len(y_N)) != row
        intercept, *slopes = normal_equation(x_NA[others], y_N[others])
        predictions[row] = intercept + x_NA[row] @ slopes
    return predictions


def evaluate(
    predict: Predict,
    x_NA: NDArray[np.float64],
    y_N: NDArray[np.float64],
    attributes: tuple[Attribute, ...],
    quantity: Quantity,
) -> Evaluation:
    """Errors where each row was left out, beside the mean of the others', and the distance from the closed form."""
    unit, given_N = quantity.unit, predict({"row": x_NA.astype(np.float32)})["values"][:, 0]
    unseen = left_out(x_NA, y_N)
    by_mean = (y_N.sum() - y_N) / (len(y_N) - 1)
    intercept, *slopes = normal_equation(x_NA, y_N)
    apart = given_N - (intercept + x_NA @ slopes)
    return Evaluation(
        metrics=(
            _error("mean absolute error", unseen, y_N, unit, "of lines fitted without the row they predict"),
            _error("mean absolute error, the mean", by_mean, y_N, unit, "where no attribute is looked at"),
            bootstrapped("R2", explained, unseen, y_N, split="leave-one-out", description="share of the variance"),
            bootstrapped(
                "distance from the closed form",
                lambda gap: float(np.abs(gap).mean()),
                apart,
                unit=unit,
                split="training",
                description="mean over the rows: what gradient descent leaves",
            ),
        ),
        pictures={"left-out-rows": draw(unseen, y_N, unit)},
        reference=tuple(
            histogram(one.name, column, np.unique(np.quantile(column, np.linspace(0, 1, 6))))
            for one, column in zip(attributes, x_NA.T, strict=True)
        ),
    )


def scores(predict: Predict, x_NA: NDArray[np.float64], y_N: NDArray[np.float64]) -> Scores:
    """The squared error of every row, by the served line: what it was fitted to, for a line has nothing held out."""
    squared_N = np.square(predict({"row": x_NA.astype(np.float32)})["values"][:, 0] - y_N)
    return Scores(statistic=lambda rows: float(rows.mean()), given=(squared_N,), error=True)


def _error(name: str, predicted: NDArray[np.float64], y_N: NDArray[np.float64], unit: str, why: str) -> Metric:
    def mean(p: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        return float(np.abs(p - y).mean())

    return bootstrapped(name, mean, predicted, y_N, unit=unit, split="leave-one-out", description=why)


def explained(predicted: NDArray[np.float64], y_N: NDArray[np.float64]) -> float:
    return 1 - float(np.square(predicted - y_N).sum() / np.square(y_N - y_N.mean()).sum())


def draw(predicted: NDArray[np.float64], y_N: NDArray[np.float64], unit: str) -> bytes:
    """Every row's value and what a line says that was fitted without it."""
    figure = Figure(figsize=(4.2, 3.6), layout="constrained")
    axes = figure.subplots()
    axes.plot(y_N, predicted, ".", color=BLUE)
    axes.axline((float(y_N.mean()), float(y_N.mean())), slope=1, color="grey", linewidth=0.8)
    axes.set(xlabel=f"true ({unit})", ylabel=f"predicted without it ({unit})")
    axes.grid(alpha=0.3)
    return png(figure)


def row_of(attributes: tuple[Attribute, ...]) -> Declared:
    return Declared(
        name="row", dtype="float32", shape=("batch", len(attributes)), description="the attributes in the task's order"
    )


def values_of(quantities: tuple[Quantity, ...]) -> Declared:
    return Declared(name="values", dtype="float32", shape=("batch", len(quantities)), unit=quantities[0].unit)

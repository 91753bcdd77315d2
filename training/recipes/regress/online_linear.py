"""Profit of a food truck by a city's population, learned one city at a time.

Model: the line of `linear-profit`, whose weights each city moves once, by recursive least squares. The sums that this
needs travel with the bundle, so `python -m training update online-linear rows.csv` learns new rows (columns population
and profit) from them and the weights alone, and makes the next version.
Source: course notes on linear regression trained online: weights updated by each new sample without retraining.
Data: 97 cities, beside the exercise of `linear-profit`, one after the other in the order of the file; a licence is not
stated.
Expected: mean absolute error of each city before it is learned, 3.2 (10,000 dollars); after the last one the weights
are those of least squares.
Run time: seconds.
Limits: as `linear-profit`. Old rows are never forgotten: where the world changes, train anew.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from service.bundle import Arrays, Asset, Bundle, Metric, TabularPrediction
from training.data import city_profit
from training.data.given import replaceable
from training.data.housing import CITY, PROFIT, PROFIT_UNIT
from training.given.tables import table
from training.kinds import online, tabular
from training.kinds.online import Course, Gram, NewtonStep, Statistics
from training.kinds.tabular import Line
from training.measures import outputs
from training.measures.evaluation import Evaluation, Predict, bootstrapped
from training.recipe import Learned, Recipe
from training.run import Run


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """An epoch is one city."""

    seed: int = 0
    epochs: int = 97


ORDERS = 50


@replaceable
@cache
def cities() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Populations [97, 1], and profits [97]."""
    table = city_profit()
    return table[:, :1], table[:, 1]


def train(run: Run[Hyper]) -> nn.Module:
    x_NA, y_N = (torch.from_numpy(array).to(run.device) for array in cities())
    line = Line(x_NA, standardise=False).to(run.device)
    gram = Gram(x_NA.shape[1]).to(run.device)
    optimizer = NewtonStep(line, gram)
    for row in run.epochs(line=line, gram=gram):
        gram.add(x_NA[row : row + 1])
        error = line(x_NA[row : row + 1])[:, 0] - y_N[row : row + 1]
        run.step(error.square().sum() / 2, optimizer)
        run.log(train_squared_error=error.square().item())
    return line.float()


def streamed(order: NDArray[np.int64] | None = None) -> Course:
    x, y = cities()
    rows = np.arange(len(y)) if order is None else order
    return online.learn(Statistics.nothing(x.shape[1]), x[rows], y[rows])


def evaluate(predict: Predict, hyper: Hyper) -> Evaluation:
    course, (x, y) = streamed(), cities()
    generator = np.random.default_rng(hyper.seed)
    others = np.stack([streamed(generator.permutation(len(y))).regrets for _ in range(ORDERS)])
    intercept, *slopes = tabular.normal_equation(x, y)
    apart = predict({"row": x.astype(np.float32)})["values"][:, 0] - (intercept + x @ slopes)
    low, high = np.quantile(others[:, -1], (0.025, 0.975))
    regret = Metric(
        name="regret",
        value=float(np.median(others[:, -1])),
        low=float(low),
        high=float(high),
        count=len(y),
        unit="squared ten thousand dollars",
        split=f"{ORDERS} orders",
        description="squared errors of the stream beyond those of the batch solution; half and 95 % of the orders; "
        f"{course.regrets[-1]:.4g} in the order of the file",
    )
    return Evaluation(
        metrics=(
            *learned(course),
            regret,
            bootstrapped(
                "distance from the closed form",
                lambda gap: float(np.abs(gap).mean()),
                apart,
                unit=PROFIT_UNIT,
                split="training",
                description="mean over the rows: what the order of learning leaves",
            ),
        ),
        pictures={"regret": online.draw(course.regrets, others)},
    )


def learned(course: Course) -> tuple[Metric, ...]:
    """The headline figure of a stream."""
    return (
        bootstrapped(
            "mean absolute error",
            np.mean,
            np.abs(course.errors),
            unit=PROFIT_UNIT,
            split="streamed",
            description="of each row before it was learned",
        ),
    )


def update(before: Bundle, rows: Path) -> Learned:
    """The bundle after the rows of a file, from its statistics alone."""
    x, y = online.read_rows(rows, TASK)
    course = online.learn(Statistics.parse(before.asset("statistics")), x, y)
    return Learned(
        module=online.line_of(course.statistics),
        evaluation=Evaluation(metrics=learned(course), pictures={"regret": online.draw(course.regrets)}),
        assets=statistics(course.statistics),
    )


def statistics(of: Statistics) -> dict[str, tuple[Asset, bytes]]:
    asset = Asset(file="statistics.json", description="sums over the rows that were learned, from which others go on")
    return {"statistics": (asset, of.json())}


def examples() -> Arrays:
    return {"row": cities()[0][:4].astype(np.float32)}


TASK = TabularPrediction(attributes=CITY, quantities=PROFIT)
RECIPE = Recipe(
    description="Profit of a food truck, from the population of the city, learned one city at a time.",
    task=TASK,
    hyper=Hyper(),
    sources=("city-profit",),
    inputs=(tabular.row_of(CITY),),
    outputs=(tabular.values_of(PROFIT),),
    given=table(cities, CITY, ["profit"], lambda x, y, _: (x, y[:, 0])),
    train=train,
    evaluate=evaluate,
    scores=lambda predict, _: tabular.scores(predict, *cities()),
    examples=examples,
    training_outputs=outputs.of_rows("row", lambda: cities()[0]),
    assets=lambda: statistics(streamed().statistics),
    update=update,
    source_figure="none reported",
)

"""Linear regression of a food truck's profit on a city's population.

Model: profit = theta0 + theta1 population, by 1,500 steps of full-batch gradient descent at a rate of 0.01 from zero,
on the column as it is. It stops at -3.6303, 1.1664, where the cost, half the mean squared error, has come down from
32.07 to 4.48; the closed form lies at -3.8958, 1.1930.
Source: A. Ng, Machine Learning (Stanford and Coursera, 2011), exercise 1, linear regression with one variable.
Data: 97 cities, beside the exercise; a licence is not stated.
Expected: mean absolute error of cities that were left out, 2.2; of the mean profit, 4.1 (10,000 dollars).
Run time: seconds.
Limits: a straight line through a few large cities and many small ones.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from torch import nn

from service.bundle import Arrays, TabularPrediction
from training.data import city_profit
from training.data.given import replaceable
from training.data.housing import CITY, PROFIT
from training.given.tables import table
from training.kinds import tabular
from training.kinds.tabular import Hyper
from training.measures import outputs
from training.measures.evaluation import Evaluation, Predict
from training.recipe import Recipe
from training.run import Run

HYPER = Hyper(standardise=False)


@replaceable
@cache
def cities() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Populations [97, 1], and profits [97]."""
    table = city_profit()
    return table[:, :1], table[:, 1]


def train(run: Run[Hyper]) -> nn.Module:
    return tabular.fit(run, *cities())


def evaluate(predict: Predict, hyper: Hyper) -> Evaluation:
    return tabular.evaluate(predict, *cities(), CITY, *PROFIT)


def examples() -> Arrays:
    return {"row": cities()[0][:4].astype(np.float32)}


RECIPE = Recipe(
    description="Profit of a food truck, from the population of the city.",
    task=TabularPrediction(attributes=CITY, quantities=PROFIT),
    hyper=HYPER,
    sources=("city-profit",),
    inputs=(tabular.row_of(CITY),),
    outputs=(tabular.values_of(PROFIT),),
    given=table(cities, CITY, ["profit"], lambda x, y, _: (x, y[:, 0])),
    train=train,
    evaluate=evaluate,
    scores=lambda predict, _: tabular.scores(predict, *cities()),
    examples=examples,
    training_outputs=outputs.of_rows("row", lambda: cities()[0]),
    trial={"steps": 1},
    source_figure="none: the exercise reports parameters",
)

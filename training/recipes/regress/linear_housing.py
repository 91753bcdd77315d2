"""Linear regression of house prices on area and bedrooms.

Model: price = theta0 + theta1 area + theta2 bedrooms, by full-batch gradient descent on standardised columns; the mean
and the deviation are stored in the graph and applied to new houses. The closed form gives 89,597.9, 139.21, -8,738.02.
Source: A. Ng, Machine Learning (Stanford and Coursera, 2011), exercise 1, linear regression with several variables.
Data: 47 houses in Portland, Oregon, beside the exercise; a licence is not stated.
Expected: mean absolute error of houses that were left out, 55,000 dollars; of the mean price, 100,000.
Run time: seconds.
Limits: 47 houses of one town and decade. More bedrooms at the same area lower the price here, which is no advice.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray
from torch import nn

from service.bundle import Arrays, Attribute, Quantity, TabularPrediction
from training.data import portland_housing
from training.data.given import replaceable
from training.given.tables import table
from training.kinds import tabular
from training.kinds.tabular import Hyper
from training.measures import outputs
from training.measures.evaluation import Evaluation, Predict
from training.recipe import Recipe
from training.run import Run

ATTRIBUTES = (
    Attribute(name="area", description="living area", unit="square feet", range=(300, 10_000)),
    Attribute(name="bedrooms", description="number of bedrooms", range=(1, 10)),
)
PRICE = (Quantity(name="price", description="asked for the house", unit="dollars"),)
HYPER = Hyper(learning_rate=0.03)


@replaceable
@cache
def houses() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Area and bedrooms [47, 2], and prices [47]."""
    table = portland_housing()
    return table[:, :2], table[:, 2]


def train(run: Run[Hyper]) -> nn.Module:
    return tabular.fit(run, *houses())


def evaluate(predict: Predict, hyper: Hyper) -> Evaluation:
    return tabular.evaluate(predict, *houses(), ATTRIBUTES, *PRICE)


def examples() -> Arrays:
    return {"row": houses()[0][:4].astype(np.float32)}


RECIPE = Recipe(
    description="Price of a house in Portland, from its area and its bedrooms.",
    task=TabularPrediction(attributes=ATTRIBUTES, quantities=PRICE),
    hyper=HYPER,
    sources=("portland-housing",),
    inputs=(tabular.row_of(ATTRIBUTES),),
    outputs=(tabular.values_of(PRICE),),
    given=table(houses, ATTRIBUTES, ["price"], lambda x, y, _: (x, y[:, 0])),
    train=train,
    evaluate=evaluate,
    scores=lambda predict, _: tabular.scores(predict, *houses()),
    examples=examples,
    training_outputs=outputs.of_rows("row", lambda: houses()[0]),
    trial={"steps": 1},
    source_figure="none: the exercise reports parameters",
)

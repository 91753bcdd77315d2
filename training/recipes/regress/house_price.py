"""The price of a house in Ames, Iowa, with an interval that says how far to trust it.

Model: numbers by the bins that they fill, categories as learned vectors, four small networks that vote on three
quantiles of the price's logarithm. The interval is widened until it holds 90 % of the prices of houses that trained
nothing. What is left out of a request has a place of its own in the graph.
Source: F. Chollet, Deep Learning with Python, scalar regression with K-fold validation; features scaled on the training
folds alone, the mean absolute error reported.
Data: 2,930 houses sold from 2006 to 2010, 38 of their 73 attributes (De Cock, Journal of Statistics Education 19, 2011;
a licence is not stated).
Expected: mean absolute error 14,500 dollars over five folds, as good as gradient boosting on the same folds, 14,900.
The interval of 90 % holds 90 % of the prices.
Run time: two minutes on one core. The served model is that of the first fold: a fifth of the houses is unknown to it.
Limits: one town, in the years around a fall of prices. Intervals are right on average: for a house unlike most, not.
"""

import numpy as np

from service.bundle import Quantity, TabularPrediction
from training.data.houses import AMES, ames_houses
from training.kinds import prices, tabular
from training.kinds.prices import Houses
from training.kinds.rows import Hyper
from training.measures import outputs
from training.recipe import Recipe

PRICE = (Quantity(name="price", description="paid for the house", unit="dollars"),)
HOUSES = Houses("house-price", AMES, ames_houses)

RECIPE = Recipe(
    description="Price of a house in Ames, Iowa, with a 90 % interval, from what is known of the house.",
    task=TabularPrediction(attributes=AMES, quantities=PRICE, coverage=prices.COVERAGE),
    hyper=Hyper(epochs=60, batch=64, bins=24, hidden=96, dropout=0.1, hidden_values=0.02),
    sources=("ames-housing",),
    inputs=(tabular.row_of(AMES),),
    outputs=(tabular.values_of(PRICE), prices.INTERVAL),
    given=HOUSES.given,
    train=HOUSES.train,
    evaluate=HOUSES.evaluate,
    scores=HOUSES.scores,
    examples=lambda: {"row": HOUSES.table[0][:4].astype(np.float32)},
    training_outputs=outputs.of_rows("row", lambda: HOUSES.table[0]),
    source_figure="none for these houses",
)

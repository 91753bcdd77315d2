"""The median house value of a district of California, with an interval that says how far to trust it.

Model: as that of `house-price`, whose kind it shares.
Source: F. Chollet, Deep Learning with Python, scalar regression with K-fold validation; features scaled on the training
folds alone, the mean absolute error reported.
Data: 20,640 districts, census of 1990 (Pace and Barry, Statistics and Probability Letters 33, 1997; a licence is not
stated). Values from 500,000 dollars on, a twentieth, are all 500,001 there.
Expected: mean absolute error 30,500 dollars over five folds; gradient boosting comes to 29,600 on the same folds.
Run time: five minutes on one core. The served model is that of the first fold: a fifth of the districts is unknown to
it.
Limits: dollars and people of 1990. Neighbouring districts lie in different folds, so the figures hold between known
districts and not beyond them.
"""

import numpy as np

from service.bundle import Quantity, TabularPrediction
from training.data.houses import CALIFORNIA, california_districts
from training.kinds import prices, tabular
from training.kinds.prices import Houses
from training.kinds.rows import Hyper
from training.measures import outputs
from training.recipe import Recipe

PRICE = (Quantity(name="price", description="median value of the district's houses", unit="dollars"),)
DISTRICTS = Houses("house-price-california", CALIFORNIA, california_districts)

RECIPE = Recipe(
    description="Median house value of a district of California, with a 90 % interval.",
    task=TabularPrediction(attributes=CALIFORNIA, quantities=PRICE, coverage=prices.COVERAGE),
    hyper=Hyper(epochs=30, batch=256, bins=64, hidden=128, dropout=0.05, hidden_values=0.01),
    sources=("california-housing",),
    inputs=(tabular.row_of(CALIFORNIA),),
    outputs=(tabular.values_of(PRICE), prices.INTERVAL),
    given=DISTRICTS.given,
    train=DISTRICTS.train,
    evaluate=DISTRICTS.evaluate,
    scores=DISTRICTS.scores,
    examples=lambda: {"row": DISTRICTS.table[0][:4].astype(np.float32)},
    training_outputs=outputs.of_rows("row", lambda: DISTRICTS.table[0]),
    source_figure="none for this table",
)

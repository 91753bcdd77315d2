"""How far a car goes on a gallon, as a polynomial of its horsepower whose degree validation chooses.

Model: Legendre polynomials of the horsepower, scaled to the range of the data, and their weights by gradient descent.
Ten folds choose the degree: the least one within a standard error of the best (Breiman et al., 1984).
Source: James, Witten, Hastie and Tibshirani, An Introduction to Statistical Learning, 2013, section 5.3.2, which leaves
one car out at a time.
Data: 392 cars of 1970 to 1982 (Quinlan, 1993; UCI repository, CC BY 4.0).
Expected: mean absolute error of cars that were left out, 3.27 miles per gallon; the squared errors of degrees 1 to 5
are those of the book.
Run time: seconds.
Limits: one attribute of old cars; nothing outside 46 to 230 horsepower, where a polynomial runs away.
"""

from functools import cache

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.polynomial import legendre
from numpy.typing import NDArray
from sklearn.model_selection import KFold
from torch import Tensor, nn

from service.bundle import Arrays, Attribute, Metric, Quantity, TabularPrediction
from training.data.frames import read_frame
from training.data.given import replaceable
from training.given.tables import table
from training.kinds import tabular
from training.kinds.tabular import Hyper, Line
from training.measures import outputs
from training.measures.evaluation import Evaluation, Predict, bootstrapped, histogram
from training.measures.paired import Scores
from training.recipe import Recipe
from training.report.pictures import BLUE, ORANGE, png
from training.run import Run

# N rows, D degrees

UNIT = "miles per gallon"
RANGE = 46, 230
ATTRIBUTES = (Attribute(name="horsepower", description="of the engine", range=RANGE),)
DISTANCE = (Quantity(name="distance", description="how far the car goes", unit=UNIT),)
DEGREES = range(1, 11)
FOLDS, REPETITIONS = 10, 10
BOOK = 24.23, 19.25, 19.33, 19.42, 19.03  # squared errors by degree
HYPER = Hyper(learning_rate=0.3)


@replaceable
@cache
def cars() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Horsepower [392] and miles per gallon [392]."""
    columns = read_frame("auto")
    return columns["horsepower"].astype(np.float64), columns["mpg"].astype(np.float64)


def basis(horsepower_N: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """The polynomials of degree 1 to `degree` [N, D]; the constant is the line's."""
    low, high = RANGE
    return np.asarray(legendre.legvander(2 * (horsepower_N - low) / (high - low) - 1, degree)[:, 1:], np.float64)


class Polynomial(nn.Module):
    """Horsepower [B, 1] to the distance [B, 1]."""

    def __init__(self, line: Line, degree: int) -> None:
        super().__init__()
        self.line, self.degree = line, degree

    def forward(self, row: Tensor) -> Tensor:
        low, high = RANGE
        z = 2 * (row - low) / (high - low) - 1
        terms = [torch.ones_like(z), z]
        for n in range(1, self.degree):
            terms.append(((2 * n + 1) * z * terms[-1] - n * terms[-2]) / (n + 1))
        distance: Tensor = self.line(torch.cat(terms[1:], dim=1))
        return distance


def squared_errors(x_N: NDArray[np.float64], y_N: NDArray[np.float64], folds: int, seed: int) -> NDArray[np.float64]:
    """[D, N]: of each row by the polynomial of each degree that was fitted without the row's fold."""
    errors = np.empty((len(DEGREES), len(x_N)))
    for known, held in KFold(folds, shuffle=True, random_state=seed).split(x_N):
        for row, degree in enumerate(DEGREES):
            errors[row, held] = np.square(fitted(x_N[known], y_N[known], x_N[held], degree) - y_N[held])
    return errors


def fitted(
    x_N: NDArray[np.float64], y_N: NDArray[np.float64], new_M: NDArray[np.float64], degree: int
) -> NDArray[np.float64]:
    """What least squares of these rows says of new ones."""
    intercept, *weights = tabular.normal_equation(basis(x_N, degree), y_N)
    return np.asarray(intercept + basis(new_M, degree) @ np.array(weights))


def choose(x_N: NDArray[np.float64], y_N: NDArray[np.float64], seed: int) -> int:
    """The least degree whose error is within a standard error of the least error."""
    errors_DN = squared_errors(x_N, y_N, FOLDS, seed)
    mean, best = errors_DN.mean(1), int(errors_DN.mean(1).argmin())
    near = mean <= mean[best] + errors_DN[best].std(ddof=1) / len(x_N) ** 0.5
    return DEGREES[int(near.argmax())]


def train(run: Run[Hyper]) -> nn.Module:
    x, y = cars()
    degree = choose(x, y, run.hyper.seed)
    return Polynomial(tabular.fit(run, basis(x, degree), y), degree)


def evaluate(predict: Predict, hyper: Hyper) -> Evaluation:
    """Ten times ten folds, the degree chosen anew inside each; and each degree with one car left out at a time."""
    x, y = cars()
    errors, degrees = np.zeros((REPETITIONS, len(x))), []
    for repetition in range(REPETITIONS):
        folds = KFold(FOLDS, shuffle=True, random_state=hyper.seed + repetition)
        for known, held in folds.split(x):
            degrees.append(choose(x[known], y[known], hyper.seed))
            errors[repetition, held] = np.abs(fitted(x[known], y[known], x[held], degrees[-1]) - y[held])
    often = ", ".join(f"{degree}: {degrees.count(degree)}" for degree in sorted(set(degrees)))
    left_out_DN = squared_errors(x, y, len(x), 0)
    apart = predict({"row": x[:, None].astype(np.float32)})["values"][:, 0] - fitted(x, y, x, choose(x, y, hyper.seed))
    return Evaluation(
        metrics=(
            bootstrapped(
                "mean absolute error",
                np.mean,
                errors.mean(0),
                unit=UNIT,
                split=f"{REPETITIONS} x {FOLDS} folds",
                description=f"the degree chosen inside each fold; chosen how often: {often}",
            ),
            *(_by_degree(degree, row) for degree, row in zip(DEGREES, left_out_DN, strict=True)),
            bootstrapped(
                "distance from the closed form",
                lambda gap: float(np.abs(gap).mean()),
                apart,
                unit=UNIT,
                split="training",
                description="mean over the rows: what gradient descent leaves",
            ),
        ),
        pictures={"curve-and-degrees": draw(predict, left_out_DN.mean(1))},
        reference=(histogram("horsepower", x, np.unique(np.quantile(x, np.linspace(0, 1, 11)))),),
    )


def _by_degree(degree: int, errors_N: NDArray[np.float64]) -> Metric:
    book = f"; {BOOK[degree - 1]} in the book" if degree <= len(BOOK) else ""
    return bootstrapped(
        f"mean squared error, degree {degree}",
        np.mean,
        errors_N,
        split="leave-one-out",
        description=f"of all cars but one{book}",
    )


def draw(predict: Predict, error_D: NDArray[np.float64]) -> bytes:
    """The cars and the curve; the error of each degree beside the book's."""
    x, y = cars()
    line = np.linspace(*RANGE, 200, dtype=np.float32)
    figure = Figure(figsize=(8.4, 3.4), layout="constrained")
    curve, degrees = figure.subplots(1, 2)
    curve.plot(x, y, ".", color="grey", markersize=3)
    curve.plot(line, predict({"row": line[:, None]})["values"][:, 0], color=BLUE)
    curve.set(xlabel="horsepower", ylabel=UNIT)
    degrees.plot(DEGREES, error_D, ".-", color=BLUE, label="ours")
    degrees.plot(DEGREES[: len(BOOK)], BOOK, "x", color=ORANGE, label="the book's")
    degrees.set(xlabel="degree", ylabel="squared error, leave-one-out")
    degrees.legend(frameon=False)
    for axes in (curve, degrees):
        axes.grid(alpha=0.3)
    return png(figure)


def scores(predict: Predict, hyper: Hyper) -> Scores:
    x, y = cars()
    return tabular.scores(predict, x[:, None], y)


def examples() -> Arrays:
    return {"row": cars()[0][:4, None].astype(np.float32)}


RECIPE = Recipe(
    description="How far a car goes on a gallon, as a polynomial of its horsepower.",
    task=TabularPrediction(attributes=ATTRIBUTES, quantities=DISTANCE),
    hyper=HYPER,
    sources=("auto",),
    inputs=(tabular.row_of(ATTRIBUTES),),
    outputs=(tabular.values_of(DISTANCE),),
    given=table(cars, ATTRIBUTES, ["distance"], lambda x, y, _: (x[:, 0], y[:, 0])),
    train=train,
    evaluate=evaluate,
    scores=scores,
    examples=examples,
    training_outputs=outputs.of_rows("row", lambda: cars()[0][:, None]),
    trial={"steps": 1},
    source_figure="squared error 24.23, 19.25, 19.33, 19.42, 19.03 for degree 1 to 5",
)

"""Prices with an interval: a network's quantiles, made to cover as often as they say on rows that it has not seen.

Conformalized quantile regression: Romano, Patterson and Candes, NeurIPS 2019. Everything that is learned of the data -
bins, mean and deviation, weights, the widening of the interval - is learned of the rows of a training alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import KFold
from torch import Tensor, nn

from service.bundle import Attribute, Metric
from service.bundle import Tensor as Declared
from training.data.given import Given, given_for
from training.data.houses import MISSING, Table
from training.given.tables import table
from training.kinds import rows, tabular
from training.kinds.rows import Hyper
from training.measures.evaluation import Evaluation, Predict, bootstrapped, proportion
from training.measures.paired import Scores
from training.networks.rows import RowNetwork
from training.recipe import Recipe
from training.run import Run

# B or N rows, A attributes, Q = 3 quantiles

COVERAGE = 0.9
QUANTILES = (1 - COVERAGE) / 2, 0.5, (1 + COVERAGE) / 2
FOLDS = 5
CALIBRATION = 0.1  # the share of a training's rows that widens its interval and trains nothing
INTERVAL = Declared(
    name="interval",
    dtype="float32",
    shape=("batch", 1, 2),
    unit="dollars",
    description=f"from and to, for {COVERAGE:.0%} of the prices",
)


class Prices(nn.Module):
    """Rows [B, A] to the median price [B, 1] and its interval [B, 1, 2], in dollars."""

    mean: Tensor
    deviation: Tensor
    widening: Tensor

    def __init__(self, network: RowNetwork, log_price_N: NDArray[np.float32]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(log_price_N.mean()))
        self.register_buffer("deviation", torch.tensor(log_price_N.std()))
        self.register_buffer("widening", torch.zeros(()))

    def quantiles(self, row: Tensor) -> Tensor:
        """Of the logarithm [B, Q], in order."""
        quantiles_BQ: Tensor = self.network(row).mean(0) * self.deviation + self.mean
        low_B, middle_B, high_B = quantiles_BQ.unbind(1)
        return torch.stack([torch.minimum(low_B, middle_B), middle_B, torch.maximum(middle_B, high_B)], dim=1)

    def forward(self, row: Tensor) -> tuple[Tensor, Tensor]:
        low_B, middle_B, high_B = self.quantiles(row).unbind(1)
        low_B = torch.minimum(low_B - self.widening, middle_B)
        high_B = torch.maximum(high_B + self.widening, middle_B)
        return middle_B.exp()[:, None], torch.stack([low_B, high_B], dim=1).exp()[:, None]


def pinball(outputs_KBQ: Tensor, y_B1: Tensor) -> Tensor:
    """The loss whose least value each of QUANTILES has, the mean over all members."""
    quantile_Q = torch.tensor(QUANTILES, device=y_B1.device)
    short_KBQ = y_B1 - outputs_KBQ
    return torch.maximum(quantile_Q * short_KBQ, (quantile_Q - 1) * short_KBQ).mean()


def fit(
    run: Run[Hyper], attributes: Sequence[Attribute], x_NA: NDArray[np.float32], y_N: NDArray[np.float64]
) -> Prices:
    """A network of most of these rows, whose interval the others widen."""
    order = np.random.default_rng(run.hyper.seed).permutation(len(x_NA))
    apart, known = np.split(order, [round(CALIBRATION * len(order))])
    log_price_N = np.log(y_N).astype(np.float32)
    mean, deviation = log_price_N[known].mean(), log_price_N[known].std()
    standard_N1 = ((log_price_N[known] - mean) / deviation)[:, None]
    network = rows.fit(run, attributes, x_NA[known], standard_N1, pinball, len(QUANTILES))
    prices = Prices(network, log_price_N[known]).to(run.device).eval()
    with torch.no_grad():
        quantiles_NQ = prices.quantiles(torch.from_numpy(x_NA[apart]).to(run.device)).cpu().numpy()
        prices.widening.fill_(widening(quantiles_NQ[:, 0], quantiles_NQ[:, 2], log_price_N[apart]))
    return prices


def widening(low_N: NDArray[np.float32], high_N: NDArray[np.float32], y_N: NDArray[np.float32]) -> float:
    """What to add to both ends so that a new row lies between them with a probability of COVERAGE or more."""
    beyond_N = np.sort(np.maximum(low_N - y_N, y_N - high_N))
    rank = ceil((len(beyond_N) + 1) * COVERAGE)
    return float(beyond_N[min(rank, len(beyond_N)) - 1])


@dataclass(frozen=True)
class Prediction:
    """Of rows that a model has not seen: prices and intervals, those by boosting, and the truth, in dollars."""

    price: NDArray[np.float64]
    interval: NDArray[np.float64]
    boosted: NDArray[np.float64]
    paid: NDArray[np.float64]


@dataclass(frozen=True)
class Houses:
    """A table of prices by name, the last part of which nobody is trained on who is served."""

    name: str
    attributes: tuple[Attribute, ...]
    read: Callable[[], Table]

    @property
    def table(self) -> Table:
        return self.read()

    def given(self, recipe: Recipe[Any], path: Path) -> Given:
        """A table of prices from outside."""

        def make(x: NDArray[np.float64], y: NDArray[np.float64], _: NDArray[np.bool_]) -> Table:
            return x.astype(np.float32), y[:, 0]

        return table(self.read, self.attributes, ["price"], make)(recipe, path)

    def folds(self, seed: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Which rows are known and which held out, FOLDS times; the first is that of the served model."""
        if (given := given_for(self.read)) and given.folds is not None:
            for fold in range(FOLDS):
                yield np.flatnonzero(given.folds != fold), np.flatnonzero(given.folds == fold)
            return
        yield from KFold(FOLDS, shuffle=True, random_state=seed).split(self.table[0])

    def train(self, run: Run[Hyper]) -> Prices:
        known, _ = next(self.folds(run.hyper.seed))
        return fit(run, self.attributes, self.table[0][known], self.table[1][known])

    def boost(self, known: NDArray[np.int64], held: NDArray[np.int64]) -> NDArray[np.float64]:
        """The prices of `held` by scikit-learn's gradient boosting of those that are known."""
        x, y = np.where(self.table[0] == MISSING, np.nan, self.table[0]), np.log(self.table[1])
        categories = [i for i, one in enumerate(self.attributes) if one.values]
        model = HistGradientBoostingRegressor(
            loss="absolute_error", categorical_features=categories, learning_rate=0.05, max_iter=500, random_state=0
        )
        return np.asarray(np.exp(model.fit(x[known], y[known]).predict(x[held])))

    def cross_validate(self, predict: Predict, hyper: Hyper) -> list[Prediction]:
        """One for each fold: of the served graph in the first, of models trained again in the others."""
        found = []
        for number, (known, held) in enumerate(self.folds(hyper.seed)):
            x, y = self.table
            if number == 0:
                given = predict({"row": x[held]})
                price, interval = given["values"], given["interval"]
            else:
                again = Run(f"{self.name}/folds/{number}", hyper, fresh=True)
                model = fit(again, self.attributes, x[known], y[known]).cpu()
                with torch.no_grad():
                    outputs = model(torch.from_numpy(x[held]))
                price, interval = (output.numpy() for output in outputs)
            found.append(
                Prediction(
                    price[:, 0].astype(np.float64), interval[:, 0].astype(np.float64), self.boost(known, held), y[held]
                )
            )
        return found

    def scores(self, predict: Predict, hyper: Hyper) -> Scores:
        """The error of the served graph on the houses that it does not know; no third of them pays for the others."""
        _, held = next(self.folds(hyper.seed))
        price, paid = predict({"row": self.table[0][held]})["values"][:, 0].astype(np.float64), self.table[1][held]
        low, high = np.quantile(paid, (1 / 3, 2 / 3))
        thirds = {"cheap": paid <= low, "middling": (paid > low) & (paid <= high), "dear": paid > high}
        return Scores(statistic=_error, given=(price,), truth=(paid,), error=True, slices=thirds)

    def evaluate(self, predict: Predict, hyper: Hyper) -> Evaluation:
        folds = self.cross_validate(predict, hyper)
        price, interval, boosted, paid = (
            np.concatenate([getattr(fold, name) for fold in folds]) for name in ("price", "interval", "boosted", "paid")
        )
        spread = np.std([_error(fold.price, fold.paid) for fold in folds], ddof=1)
        served, first, at = folds[0], f"fold 1 of {FOLDS}", f"{FOLDS} folds"
        held = (served.interval[:, 0] <= served.paid) & (served.paid <= served.interval[:, 1])
        within = (interval[:, 0] <= paid) & (paid <= interval[:, 1])
        drawn = np.random.default_rng(0).permutation(len(paid))[:3000]
        metrics = (
            _dollars(
                "mean absolute error",
                _error,
                price,
                paid,
                at,
                f"each row by a model that does not know it; standard deviation over the folds {spread:,.0f}",
            ),
            _dollars("mean absolute error, boosting", _error, boosted, paid, at, "scikit-learn's, on the same folds"),
            bootstrapped(
                "mean absolute error less boosting's",
                lambda a, b: float(np.mean(a - b)),
                np.abs(price - paid),
                np.abs(boosted - paid),
                unit="dollars",
                split=at,
                description="on the same rows",
            ),
            _dollars("mean absolute error, served", _error, served.price, served.paid, first, "of the served graph"),
            bootstrapped("R2", tabular.explained, price, paid, split=at, description="share of the variance"),
            proportion(
                f"coverage of the {COVERAGE:.0%} interval",
                int(within.sum()),
                len(within),
                split=at,
                description="how many prices lay within",
            ),
            proportion(
                f"coverage of the {COVERAGE:.0%} interval, served",
                int(held.sum()),
                len(held),
                split=first,
                description="of the served graph",
            ),
            bootstrapped(
                "width of the interval",
                lambda ends: float(np.median(ends[:, 1] - ends[:, 0])),
                interval,
                unit="dollars",
                split=at,
                description="median",
            ),
        )
        return Evaluation(
            metrics=metrics,
            pictures={"held-out-rows": tabular.draw(price[drawn], paid[drawn], "dollars")},
            reference=rows.reference(self.attributes, self.table[0]),
        )


def _error(price: NDArray[np.float64], paid: NDArray[np.float64]) -> float:
    return float(np.abs(price - paid).mean())


def _dollars(
    name: str,
    of: Callable[..., float],
    price: NDArray[np.float64],
    paid: NDArray[np.float64],
    split: str,
    description: str,
) -> Metric:
    return bootstrapped(name, of, price, paid, unit="dollars", split=split, description=description)

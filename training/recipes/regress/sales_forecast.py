"""Whether a year's sales reach their target, and what the year may come to, by Monte Carlo.

Model: each month that is left is drawn 10,000 times from a distribution of the same month of earlier years, by itself:
`normal`, cut to what was observed, and `johnson`, through four quantiles (Slifker and Shapiro, 1980), as in the source.
A third option, `adjusted`, is ours: earlier years are brought to the level of this one by the months that have passed,
and Johnson's totals are spread by a factor that was learned of a back-test, for months of a year err together.
Source: articles on Monte Carlo forecasts of sales: with 15 years of months, 141.7 reached after nine months and a
target of 186.0 the normal option says 26.75 % and Johnson's 33.2 %. Its data are not published.
Data: Australian wine sales of 168 months, 1980 to 1993 (Makridakis, Wheelwright and Hyndman, 1998; a licence is not
stated for the data). The factor is learned of forecasts for 1985 to 1989; 1990 to 1993 are held out of it.
Expected: the options are ordered as in the source, 27 % and 40 % for these sales. Of nine years the intervals of 90 %
hold 55 % of the totals by the normal option and 66 % by Johnson's, which take neither growth nor a good year into
account; of the last four, in which sales grew no more, `adjusted` holds 89 % with a larger error of the median.
Run time: seconds.
Limits: four years are few to tell a coverage by; the interval beside it says how few.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from service.bundle import Arrays, Axis, Metric, SalesForecasting
from service.bundle import Tensor as Declared
from training.data.frames import read_frame
from training.data.given import given_for, replaceable
from training.given.series import by_year
from training.measures.evaluation import Evaluation, Predict, bootstrapped, clustered, histogram, wilson
from training.measures.paired import Scores
from training.networks import johnson
from training.recipe import Recipe
from training.report.pictures import BLUE, ORANGE, png
from training.run import Run

# B forecasts, Y years, M = 12 months, D draws, O options, C cases

OPTIONS = "normal", "johnson", "adjusted"
COVERED = 0.9  # by the outer quantiles
MOST_DEVIATIONS = 1000.0  # of a year's error: beyond, its draws are next to one number
QUANTILES = 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95
DRAWS = 10_000
SCALE = 0.000471025  # makes wine sales what the normal option gives the source's 26.75 % for


@dataclass(frozen=True, kw_only=True)
class Hyper:
    seed: int = 0
    epochs: int = 100
    learning_rate: float = 0.05


class Course(NamedTuple):
    """Years before the first forecast, and before the first that is held out; which year the first one is."""

    first: int = 5
    learned: int = 10
    begins: int = 1980

    def told(self, since: int) -> str:
        """The years from one on, as figures tell them."""
        return f"{'' if self.begins > 1 else 'years '}{self.begins + since} to {self.begins + len(years()) - 1}"


def course() -> Course:
    """Of the wine sales; of other sales as the years are cut, which are counted from 1."""
    found = given_for(years)
    return Course(found.cuts[0] // 12, found.cuts[1] // 12, 1) if found and found.cuts else Course()


class Cases(NamedTuple):
    """Forecasts of past years: what the graph takes, and what came of it."""

    history: NDArray[np.float32]
    state: NDArray[np.float32]
    total: NDArray[np.float64]


@replaceable
@cache
def years() -> NDArray[np.float32]:
    """Wine sales [14, 12] in thousands of litres, from 1980 on."""
    return read_frame("wine-sales")["value"][:168].reshape(14, 12).astype(np.float32)


def strays(sales_YM: NDArray[np.float32], first: int, learned: int) -> bool:
    """Whether earlier years tell how far a year may stray: not where they are alike but for their level."""
    given = [cases(year, sales_YM) for year in range(first, learned)]
    z_C = torch.cat([_errors(Sales(), part, torch.device("cpu")) for part in given])
    return bool(z_C.isfinite().all() and z_C.abs().max() < MOST_DEVIATIONS)


def cases(year: int, sales_YM: NDArray[np.float32] | None = None) -> Cases:
    """One after each month but the last of a year, with all years before; the target is the mean of these."""
    sales_YM = years() if sales_YM is None else sales_YM
    sold_M, before = sales_YM[year], sales_YM[:year]
    passed = np.arange(1, 12)
    reached = np.cumsum(sold_M)[:-1]
    state = np.column_stack([passed, reached, np.full(11, before.sum(1).mean())])
    return Cases(np.repeat(before[None], 11, axis=0), state.astype(np.float32), np.full(11, float(sold_M.sum())))


class Sales(nn.Module):
    """History [B, Y, M], state [B, 3] and uniform draws [B, M, D] to the chances [B, O] and quantiles [B, O, Q]."""

    month: Tensor
    share: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("month", torch.arange(12.0))
        self.register_buffer("share", torch.tensor(QUANTILES))
        self.log_spread = nn.Parameter(torch.zeros(()))

    def left(self, state: Tensor) -> Tensor:
        """1 for each month that is left [B, M, 1]."""
        return (self.month >= state[:, :1]).to(state.dtype)[:, :, None]

    def adjusted(self, history: Tensor, state: Tensor) -> Tensor:
        """The history at the level of this year."""
        passed_B1M = (1 - self.left(state)).transpose(1, 2)
        before_BY = (history * passed_B1M).sum(2)
        factor_BY = torch.where(before_BY.abs() > 1e-6, state[:, 1:2] / before_BY, torch.ones_like(before_BY))
        return history * torch.where(state[:, :1] > 0, factor_BY, torch.ones_like(factor_BY))[:, :, None]

    def forward(self, history: Tensor, state: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
        left_BM1 = self.left(state)
        months_BMY, level_BMY = (one.transpose(1, 2) for one in (history, self.adjusted(history, state)))
        drawn = (
            johnson.truncated_normal(months_BMY, uniform),
            johnson.johnson(months_BMY, uniform),
            johnson.johnson(level_BMY, uniform),
        )
        rest_BOD = torch.stack([(left_BM1 * one).sum(1) for one in drawn], dim=1)
        mean_BO1 = rest_BOD.mean(2, keepdim=True)
        spread_O1 = torch.stack([torch.ones_like(self.log_spread)] * 2 + [self.log_spread.exp()])[:, None]
        total_BOD = state[:, 1, None, None] + mean_BO1 + spread_O1 * (rest_BOD - mean_BO1)
        probability_BO = (total_BOD >= state[:, 2, None, None]).to(state.dtype).mean(2)
        return probability_BO, johnson.quantile(total_BOD.sort(-1).values, self.share)


def train(run: Run[Hyper]) -> nn.Module:
    """The spread under which the back-test of the earlier years is likeliest, its errors taken as normal."""
    sales = Sales().to(run.device)
    cut = course()
    parts = [cases(year) for year in range(cut.first, cut.learned)]
    z_C = torch.cat([_errors(sales, part, run.device) for part in parts])
    optimizer = torch.optim.Adam(sales.parameters(), lr=run.hyper.learning_rate)
    for _ in run.epochs(sales=sales, optimizer=optimizer):
        for (z_B,) in run.batches(z_C, size=len(z_C)):
            spread = sales.log_spread.exp()
            loss = (sales.log_spread + (z_B / spread).square() / 2).mean()
            run.step(loss, optimizer)
        run.log(train_loss=loss.item())
    return sales


def _errors(sales: Sales, of: Cases, device: torch.device) -> Tensor:
    """How far each total lay from the middle of its draws, in deviations of these, by the adjusted history."""
    history, state = (torch.from_numpy(one).to(device) for one in (of.history, of.state))
    level_BMY = sales.adjusted(history, state).transpose(1, 2)
    left_BM = sales.left(state)[:, :, 0]
    mean_B = (level_BMY.mean(2) * left_BM).sum(1)
    centred_BMY = level_BMY - level_BMY.mean(2, keepdim=True)
    variance_BM = centred_BMY.square().sum(2) / (level_BMY.shape[2] - 1)
    rest_B = torch.from_numpy(of.total).float().to(device) - state[:, 1]
    return ((rest_B - mean_B) / (variance_BM * left_BM).sum(1).sqrt()).detach()


def uniform(count: int, draws: int = DRAWS, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).random((count, 12, draws), np.float32)
    return np.clip(drawn, 2**-24, 1 - 2**-24).astype(np.float32)


def training_outputs(predict: Predict) -> Arrays:
    """After each month of the years that were learned."""
    cut = course()
    every = [cases(year) for year in range(cut.first, cut.learned)]
    return {
        "probability": np.concatenate(
            [predict({"history": of.history, "state": of.state, "uniform": uniform(11)})["probability"] for of in every]
        )
    }


def back_test(predict: Predict) -> Iterator[tuple[Cases, NDArray[np.float64]]]:
    """The forecasts of each year with enough before it, and their quantiles [11, O, Q]."""
    for year in range(course().first, len(years())):
        of = cases(year)
        given = predict({"history": of.history, "state": of.state, "uniform": uniform(11, seed=year)})
        yield of, given["quantiles"].astype(np.float64)


def worked_example(predict: Predict) -> NDArray[np.float64]:
    """The chances [O] for the numbers of the source, with wine sales of 14 years for its 15 years of others."""
    state = np.array([[9, 141.7, 186.0]], np.float32)
    inputs = {"history": SCALE * years()[None], "state": state, "uniform": uniform(1)}
    return np.asarray(predict(inputs)["probability"][0], np.float64)


def evaluate(predict: Predict, hyper: Hyper) -> Evaluation:
    found = list(back_test(predict))
    total_YC = np.stack([of.total for of, _ in found])
    quantiles_YCOQ = np.stack([quantiles for _, quantiles in found])
    held_YCO = (quantiles_YCOQ[..., 0] <= total_YC[..., None]) & (total_YC[..., None] <= quantiles_YCOQ[..., -1])
    wrong_YCO = np.abs(quantiles_YCOQ[..., 3] / total_YC[..., None] - 1)
    cut = course()
    since, lately, all_years = cut.learned - cut.first, cut.told(cut.learned), cut.told(cut.first)
    count = "nine" if len(found) == 9 else str(len(found))
    described = "of the intervals of 90 %, after each of 11 months; the interval is over years"
    coverages = [
        clustered(f"coverage, {option}", held_YCO[since:, :, i], split=lately, description=described)
        for i, option in enumerate(OPTIONS)
    ]
    own = coverages.pop().model_copy(update={"name": "coverage", "description": f"{described}; by `adjusted`"})
    longer = [
        clustered(
            f"coverage over {count} years, {option}",
            held_YCO[:, :, i],
            split=all_years,
            description=described,
        )
        for i, option in enumerate(OPTIONS[:2])
    ]
    errors = [
        bootstrapped(
            f"error of the median, {option}",
            np.mean,
            100 * wrong_YCO[since:, :, i].mean(1),
            unit="%",
            split=lately,
            description="mean absolute, of the year's total",
        )
        for i, option in enumerate(OPTIONS)
    ]
    chances = () if given_for(years) else zip(OPTIONS[:2], worked_example(predict), strict=False)
    example = [_chance(option, chance) for option, chance in chances]
    return Evaluation(
        metrics=(own, *coverages, *longer, *example, *errors),
        pictures={"back-test": draw(found)},
        reference=(histogram("month", years(), np.quantile(years(), np.linspace(0, 1, 11))),),
    )


def scores(predict: Predict, hyper: Hyper) -> Scores:
    """Of each held-out year the mean interval score of `adjusted`, in shares of the year's total.

    It is the width of an interval, and what it missed by at a rate of 2/0.1: the least for intervals that hold what
    they say (Gneiting and Raftery, JASA 102:359, 2007).
    """
    cut, found = course(), []
    for of, quantiles in list(back_test(predict))[cut.learned - cut.first :]:
        low_C, high_C = quantiles[:, -1, 0], quantiles[:, -1, -1]
        missed_C = np.maximum(0, low_C - of.total) + np.maximum(0, of.total - high_C)
        found.append(float(np.mean((high_C - low_C + missed_C * 2 / (1 - COVERED)) / np.abs(of.total))))
    return Scores(statistic=lambda rows: float(rows.mean()), given=(np.array(found),), error=True, items="years")


def _chance(option: str, chance: float) -> Metric:
    low, high = wilson(round(chance * DRAWS), DRAWS)
    said = {"normal": "26.75 %", "johnson": "33.2 %"}[option]
    return Metric(
        name=f"worked example, {option}",
        value=chance,
        low=low,
        high=high,
        count=DRAWS,
        split="example",
        description=f"chance of 186.0 with 141.7 after nine months; {said} in the source, of other sales",
    )


def draw(found: list[tuple[Cases, NDArray[np.float64]]]) -> bytes:
    """What each year came to, and the intervals after three, six and nine months."""
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    for axes, passed in zip(figure.subplots(1, 3, sharey=True), (3, 6, 9), strict=True):
        year = course().begins + course().first + np.arange(len(found))
        for shift, option, colour in ((-0.15, 1, ORANGE), (0.15, 2, BLUE)):
            q = np.array([quantiles[passed - 1, option] for _, quantiles in found])
            reach = [q[:, 3] - q[:, 0], q[:, -1] - q[:, 3]]
            axes.errorbar(year + shift, q[:, 3], reach, fmt="o", color=colour, markersize=3, label=OPTIONS[option])
        axes.plot(year, [of.total[0] for of, _ in found], "k_", markersize=12, label="sold")
        axes.set(xlabel=f"after {passed} months")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("year's total")
    figure.axes[0].legend(frameon=False, fontsize=8)
    return png(figure)


def examples() -> Arrays:
    """The last year after three and nine months, a better one after nine, and one that has not begun."""
    of = cases(len(years()) - 1)
    total = of.total[0]
    state = np.concatenate([of.state[[2, 8]], np.array([[9, total, 1.3 * total], [0, 0, total]], np.float32)])
    return {"history": np.repeat(of.history[:1], 4, axis=0), "state": state, "uniform": uniform(4, draws=100)}


RECIPE = Recipe(
    description="Chance that a year's sales reach a target, and quantiles of the total, from months of earlier years.",
    task=SalesForecasting(options=OPTIONS, quantiles=QUANTILES, draws=DRAWS),
    hyper=Hyper(),
    sources=("wine-sales",),
    inputs=(
        Declared(name="history", dtype="float32", shape=("batch", "years", 12), description="months of earlier years"),
        Declared(name="state", dtype="float32", shape=("batch", 3), description="months passed, reached, target"),
        Declared(name="uniform", dtype="float32", shape=("batch", 12, "draws"), range=(0, 1), description="the draws"),
    ),
    outputs=(
        Declared(
            name="probability",
            dtype="float32",
            shape=("batch", len(OPTIONS)),
            range=(0, 1),
            description=f"that the target is reached, by {', '.join(OPTIONS)}",
        ),
        Declared(
            name="quantiles",
            dtype="float32",
            shape=("batch", len(OPTIONS), len(QUANTILES)),
            description="of the year's total, by option",
        ),
    ),
    given=by_year(years, strays),
    train=train,
    evaluate=evaluate,
    scores=scores,
    examples=examples,
    training_outputs=training_outputs,
    axes={"years": Axis(least=3, most=60), "draws": Axis(least=1, most=100_000)},
    max_batch=8,
    source_figure="26.75 % (normal) and 33.2 % (Johnson)",
)

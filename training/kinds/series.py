"""Forecasts of a series by recurrent networks: scaling, the loop, prediction intervals, and classical forecasts beside.

The graph sees the last WINDOW values of a history relative to their level and to how far one lies from the next, so a
forecast is as many times larger as its history. Exponential smoothing runs in the graph; a network reads what it did
not foresee, step by step, and corrects its forecast (Smyl, International Journal of Forecasting 36:75, 2020). Intervals
are the forecast plus and minus what the errors of months that validate were, relative to how uneven the history's
seasons are (split-conformal: Lei et al., JASA 113:1094, 2018). With these widths a network is served that has learned
from the months that validate, too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

from service.bundle import Arrays, Axis, Metric, SeriesForecasting
from service.bundle import Tensor as Declared
from training.data import cafe_turnover
from training.data.given import given_for
from training.given import series as given
from training.measures.evaluation import Evaluation, Predict, bootstrapped, histogram
from training.measures.paired import Scores
from training.networks.recurrent import Cell, Recurrent
from training.networks.smoothing import Smoothing, fitted
from training.recipe import Recipe
from training.report.pictures import BLUE, ORANGE, png
from training.run import Run
from training.schedule import one_cycle, running_average

# B batch, T steps of a history, W of a window, H of a horizon, F features, L levels, N origins

SEASON, HORIZON, WINDOW, LONGEST = 12, 24, 48, 2048
CAREFUL = 0.5  # of how far years moved, what is taken for granted before them: chosen on the months that validate
LEVELS = 0.5, 0.8, 0.95
TASK = SeriesForecasting(frequency="month", season=SEASON, horizon=HORIZON, levels=LEVELS)
TRAINING, VALIDATION = 246, 330  # months before these; the 96 from the second on are held out
TINY, LEAST = 1e-6, 1e-20  # of the largest value, and at all: no history is evener


def cuts() -> tuple[int, int]:
    """Where the months that validate begin, and those that are held out."""
    found = given_for(cafe_turnover)
    return found.cuts if found and found.cuts else (TRAINING, VALIDATION)


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """An epoch has `steps` batches of pieces of the series, each bent, blurred and as short as may be.

    A correction of a full window costs `caution` of its size, one of half a window a quarter of that: so it is made
    where it takes more from the error, and a long history says most by itself.
    """

    seed: int = 1
    epochs: int = 10
    steps: int = 60
    batch: int = 64
    learning_rate: float = 3e-3
    average_decay: float = 0.98
    width: int = 16
    dropout: float = 0.2
    bend: float = 0.003
    blur: float = 0.3
    caution: float = 0.4


class Forecaster(nn.Module):
    """Histories [B, T] and what is there of them [B, T] to values [B, H] and how uneven the seasons are [B]."""

    def __init__(self, cell: Cell, hyper: Hyper, smoothing: Smoothing) -> None:
        super().__init__()
        self.smoothing = smoothing
        self.layer = Recurrent(cell, 3, hyper.width, dropout=hyper.dropout)
        self.correction = nn.Linear(hyper.width, 2)  # of the level, and of how far it moves
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def forward(self, history: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        smooth_BH, correction_BH, uneven_B = self.parts(history, mask)
        return smooth_BH + correction_BH, uneven_B

    def parts(self, history: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What smoothing forecasts, what is added to it, and how uneven the seasons are."""
        value_BW, there_BW = last(history, mask)
        level_B1, scale_B1, uneven_B = measure(value_BW, there_BW)
        value_BW, drift_B1 = filled((value_BW - level_B1) / scale_B1 * there_BW, there_BW)
        smooth_BH, unforeseen_BW = self.smoothing(value_BW)
        features_BWF = torch.stack([unforeseen_BW * there_BW, drift_B1.expand(-1, WINDOW), there_BW], 2)
        length_B = torch.full_like(uneven_B, WINDOW).long()
        _, state_BH = self.layer(features_BWF, length_B)
        first_B1, more_B1 = self.correction(state_BH).chunk(2, 1)
        ahead_H = torch.arange(1, HORIZON + 1, device=history.device)
        whole_B1 = there_BW[:, -SEASON:].amin(1, keepdim=True)
        simple_BH = whole_B1 * smooth_BH + (1 - whole_B1) * value_BW[:, -1:]
        return level_B1 + scale_B1 * simple_BH, scale_B1 * (first_B1 + more_B1 * ahead_H / SEASON), uneven_B


def filled(value_BW: Tensor, there_BW: Tensor) -> tuple[Tensor, Tensor]:
    """Before a history what is a season later, less half of how far whole years move, and that by the step [B, 1]."""
    value_BYS, there_BYS = (x_BW.reshape(-1, WINDOW // SEASON, SEASON) for x_BW in (value_BW, there_BW))
    mean_BY, whole_BY = value_BYS.mean(2), there_BYS.amin(2)
    moves_BY = (mean_BY[:, 1:] - mean_BY[:, :-1]) * whole_BY[:, :-1]
    move_B1 = CAREFUL * moves_BY.sum(1, keepdim=True) / whole_BY[:, :-1].sum(1, keepdim=True).clamp(min=1)
    years = [value_BYS[:, -1]]
    for year in reversed(range(WINDOW // SEASON - 1)):
        there_BS = there_BYS[:, year]
        years.insert(0, there_BS * value_BYS[:, year] + (1 - there_BS) * (years[0] - move_B1))
    return torch.cat(years, 1), move_B1 / SEASON


def last(history: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The last values [B, W] and which of them there are; where a history is shorter they come before it, and are 0."""
    place_BW = mask.sum(1, keepdim=True).long() - WINDOW + torch.arange(WINDOW, device=history.device)
    there_BW = (place_BW >= 0).to(history.dtype)
    return history.gather(1, place_BW.clamp(min=0)) * there_BW, there_BW


def measure(value_BW: Tensor, there_BW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mean of the last season [B, 1], how far a value lies from the next [B, 1], how uneven seasons are [B]."""

    def mean(x: Tensor, weight: Tensor) -> Tensor:
        return (x * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp(min=1)

    least_B1 = (TINY * value_BW.abs().amax(1, keepdim=True)).clamp(min=LEAST)
    level_B1 = mean(value_BW[:, -SEASON:], there_BW[:, -SEASON:])
    near_BW = there_BW[:, 1:] * there_BW[:, :-1]
    scale_B1 = mean((value_BW[:, 1:] - value_BW[:, :-1]).abs(), near_BW) + least_B1
    both_BW = there_BW[:, SEASON:] * there_BW[:, :-SEASON]
    change_BW = value_BW[:, SEASON:] - value_BW[:, :-SEASON]
    spread_B1 = mean((change_BW - mean(change_BW, both_BW)).abs(), both_BW)
    enough_B1 = both_BW.sum(1, keepdim=True) >= SEASON / 2
    return level_B1, scale_B1, torch.where(enough_B1, spread_B1, scale_B1)[:, 0] + least_B1[:, 0]


class Served(nn.Module):
    """Histories and what is there of them to values [B, H] and the bounds of the intervals [B, L, H]."""

    widths: Tensor

    def __init__(self, network: nn.Module, widths_LH: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("widths", widths_LH)

    def forward(self, history: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        values_BH, uneven_B = self.network(history, mask)
        about_BLH = uneven_B[:, None, None] * self.widths
        return values_BH, values_BH[:, None] - about_BLH, values_BH[:, None] + about_BLH


def fit(run: Run[Any], cell: Cell) -> nn.Module:
    """Find the intervals with a network that knows the first months alone; serve one that knows all but the last."""
    known, validated = cuts()
    series = torch.from_numpy(cafe_turnover()).float().to(run.device)
    error_NH, uneven_N = errors(trained(run, cell, series[:known]), series, known, validated)
    served = trained(run.part("served"), cell, series[:validated])
    return Served(served, widths((error_NH / uneven_N[:, None]).abs()))


def trained(run: Run[Any], cell: Cell, series: Tensor) -> nn.Module:
    """Learn these months, with the mean absolute error in units of the scale."""
    hyper: Hyper = run.hyper
    network = Forecaster(cell, hyper, smoothing(series.cpu().double().numpy())).to(run.device)
    average = running_average(network, hyper.average_decay)
    optimizer = torch.optim.Adam(network.parameters(), lr=hyper.learning_rate)
    scheduler = one_cycle(optimizer, epochs=hyper.epochs, rows=hyper.steps, batch=1)
    whole, (known, validated) = torch.from_numpy(cafe_turnover()).float().to(run.device), cuts()
    for _ in run.epochs(network=network, average=average, optimizer=optimizer, scheduler=scheduler):
        network.train()
        losses = []
        for _ in run.batches(torch.arange(hyper.steps), size=1):
            history, mask, future = pieces(series, hyper)
            smooth_BH, correction_BH, _ = network.parts(history, mask)
            scale_B1 = measure(*last(history, mask))[1]
            price_B1 = hyper.caution * mask.mean(1, keepdim=True) ** 2
            error_BH = (smooth_BH + correction_BH - future).abs() + price_B1 * correction_BH.abs()
            loss = (error_BH / scale_B1).clamp(max=100).mean()
            run.step(loss, optimizer)
            scheduler.step()
            average.update_parameters(network)
            losses.append(loss.detach())
        error_NH, _ = errors(average.module, whole, known, validated)
        run.log(train_loss=float(torch.stack(losses).mean()), validation_error=float(error_NH.abs().mean()))
    return average.module


def smoothing(series: NDArray[np.float64]) -> Smoothing:
    """What fits the forecasts of these months best, in units of how far a month lies from the next."""
    origins = range(WINDOW, len(series) - HORIZON + 1)
    drawn_NT = np.stack([series[origin - WINDOW : origin + HORIZON] for origin in origins])
    drawn_NT /= np.abs(np.diff(drawn_NT[:, :WINDOW])).mean(1, keepdims=True)
    return Smoothing(WINDOW, SEASON, HORIZON, fitted(drawn_NT[:, :WINDOW], drawn_NT[:, WINDOW:], SEASON))


def pieces(series: Tensor, hyper: Hyper) -> tuple[Tensor, Tensor, Tensor]:
    """A batch of histories [B, W], what is there of them, and what came next [B, H]: bent and blurred at random."""
    size, device = hyper.batch, series.device
    end_B1 = torch.randint(2 * SEASON, len(series) - HORIZON + 1, (size, 1)).to(device)
    length_B1 = torch.minimum(torch.randint(SEASON // 2, 2 * WINDOW, (size, 1)).to(device), end_B1).clamp(max=WINDOW)
    place_BT = torch.arange(-WINDOW, HORIZON, device=device)
    drawn_BT = series[(end_B1 + place_BT).clamp(min=0)]
    drawn_BT = drawn_BT * torch.exp(hyper.bend * torch.randn(size, 1).to(device) * place_BT)
    step_B1 = (drawn_BT[:, 1:] - drawn_BT[:, :-1]).abs().mean(1, keepdim=True)
    blur_BT = hyper.blur * torch.rand(size, 1).to(device) * torch.randn(drawn_BT.shape).to(device)
    drawn_BT = drawn_BT + step_B1 * blur_BT
    place_W = torch.arange(WINDOW, device=device)
    mask_BW = (place_W < length_B1).float()
    history_BW = drawn_BT.gather(1, (place_W + WINDOW - length_B1).clamp(max=WINDOW - 1)) * mask_BW
    return history_BW, mask_BW, drawn_BT[:, WINDOW:]


@torch.no_grad()
def errors(network: nn.Module, series: Tensor, first: int, end: int) -> tuple[Tensor, Tensor]:
    """Of forecasts of the months from `first` to `end`: errors [N, H], and how uneven the seasons before were [N]."""
    network.eval()
    origins = range(first, end - HORIZON + 1)
    history = nn.utils.rnn.pad_sequence([series[:origin] for origin in origins], batch_first=True)
    mask = (torch.arange(history.shape[1]) < torch.tensor(origins)[:, None]).to(history)
    values_NH, uneven_N = network(history, mask)
    return torch.stack([series[o : o + HORIZON] for o in origins]) - values_NH, uneven_N


def widths(error_NH: Tensor) -> Tensor:
    """[L, H]: of these errors the share of each level is no larger; farther ahead none is narrower."""
    rows = torch.sort(error_NH.cpu(), 0).values
    ranks = [min(len(rows), int(np.ceil((len(rows) + 1) * level))) - 1 for level in LEVELS]
    return torch.cummax(rows[ranks], 1).values


def seasonal_naive(history: NDArray[np.float64]) -> NDArray[np.float64]:
    """What was a season ago."""
    return np.tile(history[-SEASON:], HORIZON // SEASON)


@cache
def _smoothing() -> tuple[float, ...]:
    """What fits the months before the held-out ones best."""
    known = cafe_turnover()[: cuts()[1]]
    begun = minimize(
        lambda p: float(np.square(_smoothed(known, p)[1]).mean()),
        (0.3, 0.05, 0.1, 0.98),
        bounds=((0.01, 0.99), (0.001, 0.5), (0.001, 0.9), (0.8, 1.0)),
        method="L-BFGS-B",
        options={"maxiter": 40},
    )
    return tuple(map(float, begun.x))


def exponential_smoothing(history: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holt and Winters' with a damped trend and seasons that multiply (Hyndman et al., 2008)."""
    (level, trend, seasons), _ = _smoothed(history, _smoothing())
    damping = np.cumsum(_smoothing()[3] ** np.arange(1, HORIZON + 1))
    forecast: NDArray[np.float64] = (level + damping * trend) * np.resize(seasons, HORIZON)
    return forecast


def _smoothed(
    history: NDArray[np.float64], parameters: Any
) -> tuple[tuple[float, float, list[float]], NDArray[np.float64]]:
    """The state behind the last month - its seasons from the next month on - and the relative errors one step ahead."""
    alpha, beta, gamma, phi = parameters
    level = float(history[:SEASON].mean())
    trend = float(history[SEASON : 2 * SEASON].mean() - level) / SEASON
    seasons = [float(value) / level for value in history[:SEASON]]
    misses = []
    for value in history[SEASON:].tolist():
        season, ahead = seasons.pop(0), level + phi * trend
        misses.append(value / (ahead * season) - 1)
        new = alpha * value / season + (1 - alpha) * ahead
        trend = beta * (new - level) + (1 - beta) * phi * trend
        seasons.append(gamma * value / ahead + (1 - gamma) * season)
        level = new
    return (level, trend, seasons), np.array(misses)


def evaluate(predict: Predict) -> Evaluation:
    """Forecasts from every held-out month with as many behind it: errors beside those of others, and coverage."""
    series, (trained, validated) = cafe_turnover(), cuts()
    origins = range(validated, len(series) - HORIZON + 1)
    true_NH = np.stack([series[origin : origin + HORIZON] for origin in origins])
    outputs = predict(histories([series[:origin] for origin in origins]))
    ours = outputs["values"]
    unit = float(np.abs(series[SEASON:validated] - series[: validated - SEASON]).mean())

    def error(name: str, values: NDArray[Any], why: str) -> Metric:
        scaled_N = np.abs(values - true_NH).mean(1) / unit
        return bootstrapped(name, lambda rows: float(rows.mean()), scaled_N, description=why)

    def by(forecast: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.stack([forecast(series[:origin]) for origin in origins])

    inside = (outputs["low"] <= true_NH[:, None]) & (true_NH[:, None] <= outputs["high"])
    headline = "mean absolute scaled error"
    why = f"1 to {HORIZON} months ahead; 1 is the mean change over a year before"
    coverages = [
        bootstrapped(
            f"coverage of the {level:.0%} interval".replace("%", " %"),
            lambda rows: float(rows.mean()),
            inside[:, place].mean(1),
            description="share of the months within it; origins overlap",
        )
        for place, level in enumerate(LEVELS)
    ]
    return Evaluation(
        metrics=(
            error(headline, ours, why),
            error(f"{headline} of the seasonal naive forecast", by(seasonal_naive), "the same month a year ago"),
            error(f"{headline} of exponential smoothing", by(exponential_smoothing), "Holt-Winters, damped"),
            *coverages,
        ),
        pictures={"forecasts": draw(series, {o: {n: a[o - validated] for n, a in outputs.items()} for o in origins})},
        reference=(histogram("months", [trained], (0, LONGEST)),),
    )


def scores(predict: Predict, slight: float) -> Scores:
    """The error of each forecast in units of the mean change over a year before."""
    series, validated = cafe_turnover(), cuts()[1]
    origins = range(validated, len(series) - HORIZON + 1)
    true_NH = np.stack([series[origin : origin + HORIZON] for origin in origins])
    unit = float(np.abs(series[SEASON:validated] - series[: validated - SEASON]).mean())
    error_N = np.abs(predict(histories([series[:origin] for origin in origins]))["values"] - true_NH).mean(1) / unit
    return Scores(
        statistic=lambda rows: float(rows.mean()), given=(error_N,), error=True, items="forecasts", slight=slight
    )


def draw(series: NDArray[np.float64], forecasts: dict[int, Arrays]) -> bytes:
    """The held-out months, and the forecasts from every second year with their 80 % intervals."""
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    months, validated = np.arange(len(series)), cuts()[1]
    axes.plot(months[validated - 24 :], series[validated - 24 :], color="black", linewidth=0.8, label="true")
    for origin in range(validated, len(series) - HORIZON + 1, HORIZON):
        ahead, given = months[origin : origin + HORIZON], forecasts[origin]
        axes.plot(ahead, given["values"], color=BLUE, label="forecast" if origin == validated else None)
        axes.fill_between(ahead, given["low"][1], given["high"][1], color=ORANGE, alpha=0.3, linewidth=0)
        axes.axvline(origin, color="grey", linewidth=0.5)
    axes.set(xlabel="month", ylabel="billions of dollars")
    axes.legend(frameon=False)
    return png(figure)


def histories(series: list[NDArray[np.float64]]) -> Arrays:
    """As the graph takes them."""
    longest = max(map(len, series))
    history, mask = (np.zeros((len(series), longest), np.float32) for _ in range(2))
    for row, known, one in zip(history, mask, series, strict=True):
        row[: len(one)], known[: len(one)] = one, 1
    return {"history": history, "mask": mask}


def examples() -> Arrays:
    """Histories of different lengths, one from another unit and below 0, and one without anything."""
    series = cafe_turnover()
    late = min(300, len(series) - 40)
    middle = [series[late // 3 : late // 3 + 30], series[2 * late // 3 : 2 * late // 3 + 5]]
    return histories([series[:40], *middle, -1000 * series[late : late + 40], np.zeros(20)])


def recipe(cell: Cell, slight: float = 0.0, **fields: Any) -> Recipe[Any]:
    """The recipe of a network of such cells; `slight` is the difference in the error that another seed may make."""
    steps = ("batch", "steps")
    bounds = ("batch", len(LEVELS), HORIZON)
    usual: dict[str, Any] = {
        "task": TASK,
        "sources": ("cafe-turnover",),
        "inputs": (
            Declared(name="history", dtype="float32", shape=steps, range=(-1e15, 1e15), description="a value a month"),
            Declared(name="mask", dtype="float32", shape=steps, range=(0, 1), description="1 where there is a value"),
        ),
        "outputs": (
            Declared(name="values", dtype="float32", shape=("batch", HORIZON), description="of the next months"),
            Declared(name="low", dtype="float32", shape=bounds, description="of the interval of each level"),
            Declared(name="high", dtype="float32", shape=bounds),
        ),
        "axes": {"steps": Axis(most=LONGEST, buckets=(64, 256, LONGEST), mask="mask")},
        "given": given.series(cafe_turnover, SEASON, HORIZON),
        "train": lambda run: fit(run, cell),
        "evaluate": lambda predict, _: evaluate(predict),
        "scores": lambda predict, _: scores(predict, slight),
        "examples": examples,
        "trial": {"steps": 2, "batch": 4},
        "source_figure": "none",
    }
    return Recipe(**(usual | fields))

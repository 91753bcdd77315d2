"""Exponential smoothing within a graph: of windows of one length it is linear, so matrices stand for its recurrence."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

# N windows, W of a window, S of a season, H of a horizon

START = 0.3, 0.05, 0.3, 0.98
BOUNDS = (0.01, 0.99), (0.001, 0.5), (0.001, 0.99), (0.8, 1.0)


class Smoothing(nn.Module):
    """Windows [N, W] to forecasts [N, H] and to how much of each value was not foreseen a step before [N, W].

    Holt and Winters' with a damped trend and seasons that add up (Hyndman et al., 2008); the first season begins it.
    """

    ahead: Tensor
    unforeseen: Tensor

    def __init__(self, window: int, season: int, horizon: int, parameters: Sequence[float] = START) -> None:
        super().__init__()
        for name, matrix in zip(("ahead", "unforeseen"), matrices(window, season, horizon, parameters), strict=True):
            self.register_buffer(name, torch.from_numpy(matrix).float())

    def forward(self, window_NW: Tensor) -> tuple[Tensor, Tensor]:
        return window_NW @ self.ahead, window_NW @ self.unforeseen


def matrices(
    window: int, season: int, horizon: int, parameters: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What turns windows into forecasts [W, H], and into what was not foreseen [W, W]: 0 of the first season."""
    alpha, beta, gamma, phi = parameters
    value_WW = np.eye(window)  # a row is what its place of the window adds
    middle, begins = (season - 1) / 2, value_WW[:, :season].mean(1)
    trend = (value_WW[:, season : 2 * season].mean(1) - begins) / season
    seasons = [value_WW[:, place] - begins - (place - middle) * trend for place in range(season)]
    level, unforeseen = begins + middle * trend, [np.zeros(window)] * season
    for place in range(season, window):
        own, expected = seasons.pop(0), level + phi * trend
        miss = value_WW[:, place] - expected - own
        level, trend = expected + alpha * miss, phi * trend + alpha * beta * miss
        seasons.append(own + gamma * (1 - alpha) * miss)
        unforeseen.append(miss)
    damping_H = np.cumsum(phi ** np.arange(1, horizon + 1))
    seasons_WH = np.stack([seasons[step % season] for step in range(horizon)], 1)
    return level[:, None] + trend[:, None] * damping_H + seasons_WH, np.stack(unforeseen, 1)


def fitted(window_NW: NDArray[np.float64], future_NH: NDArray[np.float64], season: int) -> tuple[float, ...]:
    """The parameters whose forecasts of these windows are the least far from what came next."""

    def error(parameters: Sequence[float]) -> float:
        ahead_WH, _ = matrices(window_NW.shape[1], season, future_NH.shape[1], parameters)
        return float(np.abs(window_NW @ ahead_WH - future_NH).mean())

    found = minimize(error, START, bounds=BOUNDS, method="Nelder-Mead", options={"maxiter": 200})
    return tuple(map(float, found.x))

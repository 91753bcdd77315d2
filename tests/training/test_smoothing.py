"""Smoothing within a graph is Holt and Winters' recurrence, written as matrices."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.networks.smoothing import Smoothing, fitted, matrices

WINDOW, SEASON, HORIZON = 48, 12, 24
MONTHS = np.arange(WINDOW + HORIZON)


def seasons_on_a_line(slope: float) -> NDArray[np.float64]:
    season = np.random.default_rng(0).normal(size=SEASON)
    return np.tile(season, len(MONTHS) // SEASON) + slope * MONTHS


def by_recurrence(window: NDArray[np.float64], parameters: tuple[float, ...]) -> NDArray[np.float64]:
    """Value by value, as the textbook has it: Hyndman et al., 2008, with the season's share of what is left."""
    alpha, beta, gamma, phi = parameters
    level, season = window[:SEASON].mean(), SEASON
    trend = (window[season : 2 * season].mean() - level) / season
    seasons = [window[i] - level - (i - 5.5) * trend for i in range(season)]
    level += 5.5 * trend
    for value in window[season:]:
        before, own = level + phi * trend, seasons[-season]
        level_now = alpha * (value - own) + (1 - alpha) * before
        seasons.append(gamma * (value - level_now) + (1 - gamma) * own)
        trend = beta * (level_now - level) + (1 - beta) * phi * trend
        level = level_now
    ahead = [level + sum(phi**i for i in range(1, step + 1)) * trend for step in range(1, HORIZON + 1)]
    return np.array(ahead) + np.tile(seasons[-season:], HORIZON // season)


def test_the_matrices_are_the_recurrence() -> None:
    window, parameters = np.random.default_rng(1).normal(size=WINDOW), (0.4, 0.1, 0.3, 0.9)
    ahead, _ = matrices(WINDOW, SEASON, HORIZON, parameters)
    assert window @ ahead == pytest.approx(by_recurrence(window, parameters))


def test_seasons_on_a_line_go_on_and_nothing_of_them_is_unforeseen() -> None:
    series = seasons_on_a_line(0.5)
    given, future = (torch.from_numpy(part)[None].float() for part in (series[:WINDOW], series[WINDOW:]))
    ahead, unforeseen = Smoothing(WINDOW, SEASON, HORIZON, (0.3, 0.1, 0.2, 1.0))(given)
    assert torch.allclose(ahead, future, atol=1e-3)
    assert torch.allclose(unforeseen, torch.zeros_like(given), atol=1e-3)


def test_what_wanders_is_followed_and_what_is_noise_is_not() -> None:
    generator = np.random.default_rng(2)
    noise = generator.normal(size=(100, len(MONTHS)))
    windows = [(rows[:, :WINDOW], rows[:, WINDOW:]) for rows in (noise.cumsum(1), noise)]
    wandering, level = (fitted(window, future, SEASON)[0] for window, future in windows)
    assert level < 0.3 < wandering

"""Forecasts scale with their history, mind nothing but it, and the classical ones beside are what they are called."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.data import cafe_turnover
from training.export.parity import Predictor
from training.export.store import committed
from training.kinds import series

NAMES = "gru", "lstm", "vanilla-rnn"


@pytest.fixture(scope="module", params=NAMES)
def predict(request: pytest.FixtureRequest) -> Predictor:
    return Predictor(committed(request.param).graph)


def values(predict: Predictor, *histories: NDArray[np.float64]) -> NDArray[np.float32]:
    return predict(series.histories(list(histories)))["values"]


def test_a_forecast_is_as_large_as_its_history(predict: Predictor) -> None:
    history = cafe_turnover()[:60]
    once, larger, below = values(predict, history, 1e6 * history, -history)
    assert larger == pytest.approx(1e6 * once, rel=1e-3)
    assert (once > 0).all()
    assert (below < 0).all()


def test_only_the_last_four_years_count(predict: Predictor) -> None:
    history = cafe_turnover()[:90]
    whole, last = values(predict, history, history[-series.WINDOW :])
    assert whole == pytest.approx(last, rel=1e-5)


@pytest.mark.parametrize("length", [1, 2, 11, 13, 25, 100])
@pytest.mark.parametrize("height", [0.0, 7.0, -1e-3])
def test_what_never_changes_stays_as_it_is(predict: Predictor, length: int, height: float) -> None:
    answer = predict(series.histories([np.full(length, height)]))
    for bound in answer.values():
        assert bound == pytest.approx(np.full(bound.shape, height), rel=1e-3, abs=1e-12)


def test_wider_levels_hold_narrower_ones(predict: Predictor) -> None:
    answer = predict(series.histories([cafe_turnover()[:60]]))
    assert (np.diff(answer["low"], axis=1) <= 0).all()
    assert (np.diff(answer["high"], axis=1) >= 0).all()
    assert (answer["low"] <= answer["values"][:, None]).all()


def test_before_a_history_lies_what_goes_on_backwards_at_half_the_pace() -> None:
    months = torch.arange(48.0)
    value_BW = (torch.sin(months * 2 * torch.pi / 12) + months)[None]
    there_BW = (months >= 18).float()[None]
    found_BW, drift_B1 = series.filled(value_BW * there_BW, there_BW)
    assert drift_B1.item() == pytest.approx(1 / 2)
    assert torch.equal(found_BW[:, 18:], value_BW[:, 18:])
    assert torch.allclose(found_BW[:, 12:18], value_BW[:, 24:30] - 6)
    assert torch.allclose(found_BW[:, :12], found_BW[:, 12:24] - 6)


def test_classical_forecasts_of_a_clear_pattern_are_right() -> None:
    months = np.arange(120)
    pattern = 10 + np.tile(np.arange(12), 10)
    assert series.seasonal_naive(pattern.astype(float)) == pytest.approx(np.tile(pattern[:12], 2))
    growing = (100 + months) * (1 + 0.1 * np.sin(months * 2 * np.pi / 12))
    ahead = np.arange(120, 144)
    true = (100 + ahead) * (1 + 0.1 * np.sin(ahead * 2 * np.pi / 12))
    assert series.exponential_smoothing(growing) == pytest.approx(true, rel=0.1)


def test_so_many_errors_are_no_wider_than_an_interval() -> None:
    errors = torch.arange(1.0, 100.0)[torch.randperm(99)][:, None].expand(-1, series.HORIZON)
    assert series.widths(errors)[:, 0].tolist() == [50, 80, 95]

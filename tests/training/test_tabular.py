"""Lines through tables: gradient descent goes where the exercise says, and the closed form where it should end."""

import numpy as np
import pytest

from training.data import city_profit, portland_housing
from training.kinds.tabular import Hyper, fit, left_out, normal_equation
from training.recipes.regress import linear_housing, linear_profit
from training.run import Run


@pytest.fixture(autouse=True)
def _runs(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTET_RUNS", str(tmp_path))


def test_the_profit_is_that_of_the_exercise() -> None:
    x, y = linear_profit.cities()
    assert np.square(y).mean() / 2 == pytest.approx(32.07, abs=0.005)  # the cost at zero
    run = Run("linear-profit", linear_profit.HYPER)
    assert fit(run, x, y).theta() == pytest.approx([-3.6303, 1.1664], abs=5e-5)
    assert run.curve[-1]["train_cost"] == pytest.approx(4.48, abs=0.01)


def test_gradient_descent_and_the_closed_form_agree_on_houses() -> None:
    x, y = linear_housing.houses()
    exact = normal_equation(x, y)
    assert exact == pytest.approx([89597.9, 139.21, -8738.02], abs=0.05)
    assert fit(Run("linear-housing", linear_housing.HYPER), x, y).theta() == pytest.approx(exact, rel=1e-3)


def test_a_row_that_is_left_out_does_not_count() -> None:
    x, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0.0, 1.0, 2.0, 90.0])
    assert left_out(x, y)[3] == pytest.approx(3)


def test_rows_are_scaled_in_the_graph() -> None:
    x = np.array([[1000.0, 2.0], [3000.0, 4.0], [2000.0, 2.0]])
    y = x @ np.array([2.0, 5.0]) + 7
    line = fit(Run("scaled", Hyper(epochs=4, steps=1000, learning_rate=0.3)), x, y)
    assert line.theta() == pytest.approx([7, 2, 5], rel=1e-2)


def test_the_tables_are_those_of_the_exercise() -> None:
    assert city_profit().shape == (97, 2)
    assert portland_housing().shape == (47, 3)

"""Forecasts of a year's sales: draws follow from the seed, and what is wrong is named."""

from typing import Any

import numpy as np
import pytest

from service.tasks.sales import uniform
from tests.conftest import Here, assert_refused

PATH = "/v1/sales/forecast"
YEAR = {"history": [[10] * 12, [20] * 12], "months": 9, "reached": 100, "target": 186.5}


def asked(lane: Here, *years: dict[str, Any], **options: Any) -> Any:
    return lane("POST", PATH, json={"forecasts": list(years), **options})


def test_a_year_comes_by_the_options_of_the_model(lane: Here) -> None:
    answer = asked(lane, YEAR, YEAR | {"reached": 30}, seed=7).json()
    assert (answer["seed"], answer["draws"]) == (7, 8)
    assert [one["even"]["quantiles"] for one in answer["forecasts"]] == [{"0.5": 115}, {"0.5": 45}]
    drawn = [float(uniform(7, i, 8).mean()) for i in range(2)]
    assert [one["even"]["probability"] for one in answer["forecasts"]] == pytest.approx(drawn)


def test_a_seed_can_be_had_again_and_stands_in_the_query_too(lane: Here) -> None:
    first = asked(lane, YEAR).json()
    again = lane("POST", f"{PATH}?seed={first['seed']}", json={"forecasts": [YEAR]}).json()
    assert again["forecasts"] == first["forecasts"]


def test_draws_lie_between_0_and_1() -> None:
    drawn = uniform(3, 0, 10_000)
    assert drawn.shape == (12, 10_000)
    assert 0 < drawn.min() < 0.001 < 0.999 < drawn.max() < 1
    assert np.corrcoef(drawn[0], drawn[1])[0, 1] == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"months": 12}, "months"),
        ({"months": 2.5}, "months"),
        ({"months": True}, "months"),
        ({"reached": "100"}, "reached"),
        ({"reached": 1e13}, "reached"),
        ({"target": None}, "target"),
        ({"mood": 1}, "mood"),
        ({"history": [[10] * 12, [10] * 11 + ["x"]]}, "history[1][11]"),
        ({"history": [[10] * 12, [10] * 11 + [2e12]]}, "history[1][11]"),
    ],
)
def test_a_value_that_cannot_be_is_refused_at_its_field(lane: Here, changes: dict[str, Any], field: str) -> None:
    assert_refused(asked(lane, YEAR, YEAR | changes), 422, "invalid_value", f"forecasts[1].{field}")


@pytest.mark.parametrize(
    ("history", "field"),
    [
        ([[10] * 12, [10] * 11], "history[1]"),
        ([[10] * 12], "history"),
        ([[10] * 12] * 6, "history"),
        ([[10] * 12] * 3, "history"),
        ([], "history"),
        ([10] * 12, "history[0]"),
    ],
)
def test_a_history_of_another_shape_is_refused(lane: Here, history: list[Any], field: str) -> None:
    refused = asked(lane, YEAR, YEAR | {"history": history})
    assert_refused(refused, 422, "invalid_shape", f"forecasts[1].{field}")


def test_what_is_missing_is_named(lane: Here) -> None:
    refused = asked(lane, {name: value for name, value in YEAR.items() if name != "target"})
    assert_refused(refused, 422, "invalid_value", "forecasts[0].target")
    assert_refused(asked(lane, YEAR, seed=-1), 422, "invalid_value", "seed")
    assert_refused(lane("POST", PATH, json={"forecasts": [3]}), 422, "invalid_value", "forecasts[0]")

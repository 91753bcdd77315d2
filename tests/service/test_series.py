"""Series in, forecasts out: what is read, how much is answered, and what is refused."""

from typing import Any

import pytest

from tests.conftest import Here, assert_refused

PATH = "/v1/series/forecast"


def forecasts(lane: Here, query: str = "", **body: object) -> list[dict[str, Any]]:
    answer = lane("POST", PATH + query, json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["forecasts"]
    return found


def of_csv(lane: Here, table: str) -> list[float]:
    answer = lane("POST", PATH, content=table.encode(), headers={"content-type": "text/csv"})
    assert answer.status_code == 200, answer.text
    return [one["values"][0] for one in answer.json()["forecasts"]]


def test_series_of_different_lengths_are_answered_as_if_alone(lane: Here) -> None:
    short, long = [1.0, 2.0], [float(i) for i in range(20)]
    together = forecasts(lane, series=[short, long])
    assert together == forecasts(lane, series=[short]) + forecasts(lane, series=[long])
    assert [one["values"] for one in together] == [[1.5] * 3, [9.5] * 3]


def test_without_wishes_there_is_all_that_the_model_has(lane: Here) -> None:
    (one,) = forecasts(lane, series=[[2, 4]])
    assert one["values"] == [3, 3, 3]
    assert one["intervals"] == [
        {"level": 0.5, "low": [2, 2, 2], "high": [4, 4, 4]},
        {"level": 0.9, "low": [1, 1, 1], "high": [5, 5, 5]},
    ]


@pytest.mark.parametrize("in_query", [True, False])
def test_horizon_and_levels_are_as_asked_for(lane: Here, in_query: bool) -> None:
    wishes = {} if in_query else {"horizon": 2, "levels": [0.9]}
    (one,) = forecasts(lane, "?horizon=2&levels=0.9" if in_query else "", series=[[2, 4]], **wishes)
    assert one == {"values": [3, 3], "intervals": [{"level": 0.9, "low": [1, 1], "high": [5, 5]}]}


def test_no_levels_are_no_intervals(lane: Here) -> None:
    assert forecasts(lane, series=[[2, 4]], levels=[])[0]["intervals"] == []


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_has_a_series_in_each_column(lane: Here, separator: str) -> None:
    table = "a,b\n1,\n2,10\n3,20\n".replace(",", separator)
    assert of_csv(lane, table) == [2, 15]


def test_a_table_may_be_in_utf_16_say_its_separator_and_have_decimal_commas(lane: Here) -> None:
    table = "sep=;\r\na;b\r\n1,0;\r\n2,0;10,0\r\n3,0;20,0\r\n".encode("utf-16")
    answer = lane("POST", PATH, content=table, headers={"content-type": "text/csv"})
    assert [one["values"][0] for one in answer.json()["forecasts"]] == [2, 15]


def test_empty_lines_around_a_series_of_one_column_are_no_gaps(lane: Here) -> None:
    assert of_csv(lane, "a\n\n\n2\n4\n\n\n") == [3]


def test_a_fraction_of_three_places_is_no_thousand(lane: Here) -> None:
    assert of_csv(lane, "a\n1.000\n2.000\n3.000\n") == [2]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "invalid_value", "series"),
        ({"series": []}, "invalid_shape", "series"),
        ({"series": [1, 2]}, "invalid_value", "series[0]"),
        ({"series": [[1, 2], [1, "2"]]}, "invalid_value", "series[1][1]"),
        ({"series": [[1, None]]}, "invalid_value", "series[0][1]"),
        ({"series": [[1, True]]}, "invalid_value", "series[0][1]"),
        ({"series": [[1]]}, "invalid_shape", "series[0]"),
        ({"series": [[1, 2], []]}, "invalid_shape", "series[1]"),
        ({"series": [[1.0] * 33]}, "invalid_shape", "series[0]"),
        ({"series": [[1, 1e39]]}, "invalid_value", "series[0]"),
        ({"series": [[1, 10**400]]}, "invalid_value", "series[0]"),
        ({"series": [[1, 2]], "horizon": 4}, "invalid_value", "horizon"),
        ({"series": [[1, 2]], "horizon": 0}, "invalid_value", "horizon"),
        ({"series": [[1, 2]], "horizon": 1.5}, "invalid_value", "horizon"),
        ({"series": [[1, 2]], "levels": [0.8]}, "invalid_value", "levels"),
        ({"series": [[1, 2]], "levels": 0.5}, "invalid_value", "levels"),
        ({"series": [[1, 2]], "levels": [95]}, "invalid_value", "levels"),
        ({"series": [[1, 2]], "season": 12}, "invalid_value", "season"),
    ],
)
def test_what_is_no_forecast_to_make_is_refused(lane: Here, body: object, code: str, field: str) -> None:
    answer = lane("POST", PATH, json=body)
    assert answer.status_code in (400, 422), answer.text
    if answer.status_code == 422:
        assert_refused(answer, 422, code, field)


@pytest.mark.parametrize(
    ("table", "status", "field"),
    [
        ("a\n1\nx\n", 422, "series[0][1]"),
        ("a\n1\n2\n nan\n", 422, "series[0][2]"),
        ("a\n1\n\n2\n", 422, "series[0][1]"),  # an empty line of one column is a gap
        ("1\n2\n3\n", 422, "series"),
        ("1.5,2\n3,4\n", 422, "series"),
        ("a,b\n,1\n,2\n", 422, "series[0]"),
        ("a,b\n1,2\n3,\n", 422, "series[1][1]"),
        ("a,b\n1,2\n3\n", 400, "row 1"),
        ("a\n", 400, None),
        ("a,b\n1\n2,3\n", 400, "row 0"),
        (",a\n0,1\n1,2\n", 422, "series"),
        ('a\n"1\n', 400, None),
    ],
)
def test_a_damaged_table_is_refused(lane: Here, table: str, status: int, field: str | None) -> None:
    answer = lane("POST", PATH, content=table.encode(), headers={"content-type": "text/csv"})
    assert (answer.status_code, answer.json().get("field")) == (status, field), answer.text

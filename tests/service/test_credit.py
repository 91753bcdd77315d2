"""Credit scoring: named attributes in any notation give the same score; a wrong one is refused by name."""

import csv
import io
from typing import Any

import numpy as np
import orjson
import pytest

from tests import toy_tables
from tests.conftest import Here, assert_refused
from training.data.german import ATTRIBUTES

PATH = "/v1/credit/score?model=toy-credit"
Row = dict[str, Any]


def typed(row: dict[str, str]) -> Row:
    """The row as JSON has it: numbers as numbers."""
    return {one.name: row[one.name] if one.values else int(row[one.name]) for one in ATTRIBUTES}


def readable(row: dict[str, str]) -> Row:
    """The row with readable values instead of codes."""
    return {
        one.name: one.values[one.codes.index(row[one.name])] if one.values else int(row[one.name]) for one in ATTRIBUTES
    }


def encoded(rows: list[dict[str, str]]) -> np.ndarray:
    """What the graph is to see: numbers as they are, a category as its index."""
    return np.array(
        [[one.codes.index(row[one.name]) if one.codes else float(row[one.name]) for one in ATTRIBUTES] for row in rows],
        np.float32,
    )


def as_csv(rows: list[Row]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


@pytest.fixture
def rows(applicants: list[dict[str, str]]) -> list[dict[str, str]]:
    return applicants[:20]


def test_the_score_is_the_graphs_and_decides_by_the_threshold(lane: Here, rows: list[dict[str, str]]) -> None:
    answer = lane("POST", PATH, json={"applicants": [typed(row) for row in rows]}).json()
    scores = [one["default_probability"] for one in answer["predictions"]]
    np.testing.assert_allclose(scores, toy_tables.default_probability(encoded(rows)), atol=1e-6)
    assert [one["decision"] for one in answer["predictions"]] == ["approve" if p < 0.5 else "decline" for p in scores]


def test_codes_readable_values_and_csv_score_the_same(lane: Here, rows: list[dict[str, str]]) -> None:
    answers = [
        lane("POST", PATH, json={"applicants": [typed(row) for row in rows]}),
        lane("POST", PATH, json={"applicants": [readable(row) for row in rows]}),
        lane("POST", PATH, json={"applicants": [dict(reversed(typed(row).items())) for row in rows]}),
        lane("POST", PATH, content=as_csv(rows), headers={"content-type": "text/csv"}),
        lane(
            "POST",
            PATH,
            content="\ufeff" + as_csv([readable(row) for row in rows]),
            headers={"content-type": "text/csv; charset=utf-8"},
        ),
    ]
    assert all(answer.status_code == 200 for answer in answers), [answer.text for answer in answers]
    assert len({answer.text for answer in answers}) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("age_years", 17),
        ("age_years", 1e300),
        ("age_years", "old"),
        ("age_years", "nan"),
        ("age_years", True),
        ("age_years", None),
        ("age_years", [30]),
        ("checking_account", "A99"),
        ("checking_account", ""),
        ("checking_account", 11),
        ("checking_account", ["A11"]),
        ("checking_account", {"A11": 1}),
    ],
)
def test_a_wrong_value_is_refused_at_its_attribute(
    lane: Here, rows: list[dict[str, str]], name: str, value: object
) -> None:
    applicants = [typed(row) for row in rows[:3]]
    applicants[2][name] = value
    assert_refused(lane("POST", PATH, json={"applicants": applicants}), 422, "invalid_value", f"applicants[2].{name}")


def test_a_wrong_value_in_csv_is_refused_at_its_attribute(lane: Here, rows: list[dict[str, str]]) -> None:
    response = lane(
        "POST", PATH, content=as_csv([*rows[:1], rows[1] | {"age_years": "NaN"}]), headers={"content-type": "text/csv"}
    )
    assert_refused(response, 422, "invalid_value", "applicants[1].age_years")


def test_an_unknown_attribute_is_refused_by_name(lane: Here, rows: list[dict[str, str]]) -> None:
    response = lane("POST", PATH, json={"applicants": [typed(rows[0]) | {"shoe_size": 44}]})
    assert_refused(response, 422, "invalid_value", "applicants[0].shoe_size")


@pytest.mark.parametrize("attribute", [one.name for one in ATTRIBUTES])
def test_a_missing_attribute_is_refused_by_name(lane: Here, rows: list[dict[str, str]], attribute: str) -> None:
    applicant = {name: value for name, value in typed(rows[0]).items() if name != attribute}
    assert_refused(
        lane("POST", PATH, json={"applicants": [applicant]}), 422, "invalid_value", f"applicants[0].{attribute}"
    )


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ("[]", 422, "invalid_value", None),
        ("{}", 422, "invalid_value", "applicants"),
        ('{"applicants": {}}', 422, "invalid_value", "applicants"),
        ('{"applicants": []}', 422, "invalid_shape", "applicants"),
        ('{"applicants": [7]}', 422, "invalid_value", "applicants[0]"),
        ('{"applicants": [{}], "x": 1}', 422, "invalid_value", "x"),
        ('{"applicants": [{}], "model": 1}', 422, "invalid_value", "model"),
        ('{"applicants": [NaN]}', 400, "malformed_body", None),
        ("{", 400, "malformed_body", None),
        ("\xff", 400, "malformed_body", None),
        ('{"applicants": [' + ",".join(["{}"] * 33) + "]}", 422, "too_many_rows", "applicants"),
    ],
)
def test_a_wrong_document_is_refused(lane: Here, body: str, status: int, code: str, field: str | None) -> None:
    response = lane("POST", PATH, content=body.encode("latin-1"), headers={"content-type": "application/json"})
    assert_refused(response, status, code, field)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"age_years\n", "empty_body", None),
        (b"age_years,job\n30\n", "malformed_body", "applicants[0]"),
        (b"age_years,job\n30,A171,7\n", "malformed_body", "applicants[0]"),
        (b"age_years\n\xff\n", "malformed_body", None),
        (b'age_years\n"30\n', "malformed_body", None),
        (b"age_years\n" + b"9" * 200_000, "malformed_body", None),
    ],
)
def test_wrong_csv_is_refused(lane: Here, body: bytes, code: str, field: str | None) -> None:
    assert_refused(lane("POST", PATH, content=body, headers={"content-type": "text/csv"}), 400, code, field)


CELLS, JSON_BODY = {"content-type": "text/csv"}, {"content-type": "application/json"}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("last", ["", "{separator}"])
def test_csv_is_read_as_programs_write_it(
    lane: Here, rows: list[dict[str, str]], end: str, separator: str, last: str
) -> None:
    lines = [rows[0].keys(), rows[0].values(), rows[1].values()]
    text = "".join(separator.join(line) + last.format(separator=separator) + end for line in lines)
    answer = lane("POST", PATH, content=f"\ufeff{text}".encode(), headers=CELLS).json()
    assert answer == lane("POST", PATH, content=as_csv(rows[:2]), headers=CELLS).json()


@pytest.mark.parametrize("written", ["1.169", "1,169", "12 000", "1'169"])
def test_what_may_be_thousands_or_a_fraction_is_refused(lane: Here, rows: list[dict[str, str]], written: str) -> None:
    response = lane("POST", PATH, content=as_csv([rows[0] | {"credit_amount": written}]), headers=CELLS)
    assert_refused(response, 422, "invalid_value", "applicants[0].credit_amount")
    assert "separators" in response.json()["detail"]


def test_a_column_that_is_given_twice_is_refused_by_name(lane: Here, rows: list[dict[str, str]]) -> None:
    header, line = ",".join([*rows[0], "age_years"]), ",".join([*rows[0].values(), "70"])
    response = lane("POST", PATH, content=f"{header}\n{line}\n".encode(), headers=CELLS)
    assert_refused(response, 422, "invalid_value", "age_years")


def test_a_field_that_is_given_twice_is_refused_by_name(lane: Here, rows: list[dict[str, str]]) -> None:
    applicant = orjson.dumps(typed(rows[0])).decode()[:-1] + ', "age_years": 70}'
    response = lane("POST", PATH, content=f'{{"applicants": [{applicant}]}}', headers=JSON_BODY)
    assert_refused(response, 422, "invalid_value", "applicants[0].age_years")


def test_an_index_without_a_name_is_told_of(lane: Here, rows: list[dict[str, str]]) -> None:
    header, line = ",".join(["", *rows[0]]), ",".join(["0", *rows[0].values()])
    response = lane("POST", PATH, content=f"{header}\n{line}\n".encode(), headers=CELLS)
    assert_refused(response, 422, "invalid_value", "applicants")
    assert "Column 1" in response.json()["detail"]


def test_a_long_number_is_refused_at_once(lane: Here, rows: list[dict[str, str]]) -> None:
    applicants = [typed(rows[0]) | {"age_years": "1" * 30_000 + "x"}]  # a search that goes back would take minutes
    response = lane("POST", PATH, json={"applicants": applicants})
    assert_refused(response, 422, "invalid_value", "applicants[0].age_years")


def test_an_unknown_query_parameter_is_refused(lane: Here, rows: list[dict[str, str]]) -> None:
    for query, field in (("modle=x", "modle"), ("version=1&version=2", "version")):
        response = lane("POST", f"{PATH.partition('?')[0]}?{query}", json={"applicants": [typed(rows[0])]})
        assert_refused(response, 422, "invalid_value", field)


def test_a_name_that_a_client_made_up_comes_back_cut(lane: Here, rows: list[dict[str, str]]) -> None:
    response = lane("POST", PATH, json={"applicants": [typed(rows[0]) | {"x" * 100_000: 1}]})
    assert response.status_code == 422
    assert len(response.content) < 2000


def test_another_media_type_is_refused(lane: Here) -> None:
    response = lane("POST", PATH, content=b"x", headers={"content-type": "application/xml"})
    assert_refused(response, 415, "unsupported_media", "content-type")


def test_a_row_that_quotes_draw_over_many_lines_is_bounded(lane: Here) -> None:
    head = ",".join(one.name for one in ATTRIBUTES)
    for cell in ('"\n",', '"' + "\n" * 1000 + '",'):
        body = f"{head}\n{cell * (100_000 // len(cell))}"
        response = lane("POST", PATH, content=body, headers={"content-type": "text/csv"})
        assert_refused(response, 400, "malformed_body")
        assert "A row has more" in response.json()["detail"]


def test_rows_are_bounded_each_by_itself(lane: Here, rows: list[dict[str, str]]) -> None:
    """Together they may have more characters than one."""
    apart = as_csv(rows[:2]).replace("\n", "\n" * 40_000)
    assert lane("POST", PATH, content=apart, headers={"content-type": "text/csv"}).status_code == 200

"""Files of tables: columns that are no attributes pass through, scores are added, every error of a file is told."""

import csv
import io

import httpx
import pytest

from tests.conftest import Here, assert_refused
from training.data.german import ATTRIBUTES

TABLE, RANGES, MARKS = (f"/v1/tables/predict?model=toy-{name}" for name in ("table", "ranges", "marks"))
CREDIT = "/v1/credit/score?model=toy-credit"
IN, IN_AND_OUT = {"content-type": "text/csv"}, {"content-type": "text/csv", "accept": "text/csv"}


def cells(answer: httpx.Response, separator: str = ",") -> list[list[str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv"
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig")), delimiter=separator))


def test_a_table_comes_back_with_what_the_model_says_of_each_row(lane: Here) -> None:
    answer = lane("POST", TABLE, content="id,rooms,kind,price\n7,2,flat,190\n8,1,house,\n", headers=IN_AND_OUT)
    assert cells(answer) == [
        ["id", "rooms", "kind", "price", "predicted_price"],
        ["7", "2", "flat", "190", "200.0"],
        ["8", "1", "house", "", "150.0"],
    ]
    assert answer.headers["x-model"] == "toy-table"


def test_intervals_labels_and_probabilities_have_columns(lane: Here) -> None:
    answer = lane("POST", RANGES, content="rooms\n2\n", headers=IN_AND_OUT)
    assert cells(answer) == [
        ["rooms", "predicted_price", "predicted_price_low", "predicted_price_high"],
        ["2", "150.0", "143.0", "157.0"],
    ]
    answer = lane("POST", MARKS, content="light,round\n0.3,0.7\n0.25,0.25\n", headers=IN_AND_OUT)
    assert cells(answer)[1:] == [["0.3", "0.7", "lamp; ball", "0.3", "0.7"], ["0.25", "0.25", "", "0.25", "0.25"]]


def test_an_outcome_and_an_id_pass_through_to_json_unseen(lane: Here) -> None:
    answer = lane("POST", TABLE, content="id,rooms,kind\n7,2,flat\n", headers=IN).json()
    assert answer["predictions"] == [{"values": {"price": 200}}]


@pytest.mark.parametrize(("separator", "said"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "bar")])
def test_the_separator_is_found_said_and_kept(lane: Here, separator: str, said: str) -> None:
    text = "id,rooms,kind\r\n7,2,flat\r\n".replace(",", separator)
    answer = lane("POST", TABLE, content=text, headers=IN_AND_OUT)
    assert answer.headers["x-csv-separator"] == said
    assert cells(answer, separator)[1] == ["7", "2", "flat", "200.0"]
    assert answer.content.count(b"\r\n") == 2
    assert lane("POST", TABLE, content=text, headers=IN).headers["x-csv-separator"] == said


def test_a_separator_that_the_first_line_says_is_taken(lane: Here) -> None:
    answer = lane("POST", TABLE, content="sep=;\nrooms;kind;a,b,c\n2;flat;1\n", headers=IN)
    assert answer.json()["predictions"] == [{"values": {"price": 200}}]


@pytest.mark.parametrize("first", ['sep="', "sep=x", "sep=", "sep=\r"])
def test_a_first_line_that_says_no_separator_is_a_header(lane: Here, first: str) -> None:
    answer = lane("POST", TABLE, content=f"{first}\nrooms;kind\n2;flat\n", headers=IN)
    assert answer.status_code in (400, 422), answer.text


def test_a_decimal_comma_is_found_said_and_kept(lane: Here) -> None:
    answer = lane("POST", TABLE, content="rooms;kind\n2,5;flat\n1,125;flat\n", headers=IN_AND_OUT)
    assert answer.headers["x-csv-decimal"] == "comma"
    assert cells(answer, ";")[1:] == [["2,5", "flat", "250,0"], ["1,125", "flat", "112,5"]]


def test_a_point_that_leaves_no_doubt_settles_the_others(lane: Here) -> None:
    answer = lane("POST", TABLE, content="rooms,kind\n2.5,flat\n1.125,flat\n", headers=IN)
    assert answer.headers["x-csv-decimal"] == "point"
    assert [one["values"]["price"] for one in answer.json()["predictions"]] == [250, 112.5]


@pytest.mark.parametrize("written", ["1.125", "1,125"])
def test_where_nothing_settles_it_thousands_are_refused(lane: Here, written: str) -> None:
    answer = lane("POST", TABLE, content=f"rooms;kind\n{written};flat\n3;flat\n", headers=IN)
    assert_refused(answer, 422, "invalid_value", "rows[0].rooms")


def test_thousands_in_a_file_with_decimal_commas_are_refused(lane: Here) -> None:
    answer = lane("POST", TABLE, content="rooms;kind\n2,5;flat\n1.125;flat\n3,5;flat\n", headers=IN)
    assert_refused(answer, 422, "invalid_value", "rows[1].rooms")
    assert "comma" in answer.json()["detail"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_what_excel_saves_is_read_and_answered_so_that_excel_reads_it(lane: Here, encoding: str) -> None:
    answer = lane("POST", TABLE, content="Größe\trooms\tkind\nß\t2\tflat\n".encode(encoding), headers=IN_AND_OUT)
    assert answer.content.startswith(b"\xef\xbb\xbf")
    assert cells(answer, "\t")[1] == ["ß", "2", "flat", "200.0"]


def test_utf_16_without_a_mark_is_told_of(lane: Here) -> None:
    answer = lane("POST", TABLE, content="rooms,kind\n2,flat\n".encode("utf-16-le"), headers=IN)
    assert_refused(answer, 400, "malformed_body")
    assert "UTF-16" in answer.json()["detail"]


WRONG = "id,rooms,kind\n1,2,flat\n2,99,tent\n3,x,flat\n4,5\n5,1,house\n"


def test_every_error_of_a_file_is_told_with_row_and_column(lane: Here) -> None:
    answer = lane("POST", TABLE, content=WRONG, headers=IN)
    assert_refused(answer, 422, "invalid_value", "rows[1].rooms")
    problem = answer.json()
    assert [(one["row"], one.get("column"), one["field"]) for one in problem["errors"]] == [
        (2, "rooms", "rows[1].rooms"),
        (2, "kind", "rows[1].kind"),
        (3, "rooms", "rows[2].rooms"),
        (4, None, "rows[3]"),
    ]
    assert problem["errors"][0]["detail"] == problem["detail"]
    assert problem["error_count"] == 4


def test_every_missing_column_is_told(lane: Here) -> None:
    errors = lane("POST", TABLE, content="id\n1\n2\n", headers=IN).json()["errors"]
    assert [(one.get("row"), one["column"]) for one in errors] == [(None, "kind"), (None, "rooms")]


def test_errors_are_told_up_to_a_hundred(lane: Here) -> None:
    problem = lane("POST", TABLE, content="rooms,kind\n" + "x,y\n" * 30, headers=IN).json()
    assert problem["error_count"] == len(problem["errors"]) == 60
    wide = {"rows": [{f"a{i}": 1 for i in range(300)}]}
    problem = lane("POST", TABLE, json=wide).json()
    assert (problem["error_count"], len(problem["errors"])) == (302, 100)


def test_every_error_of_json_is_told_too(lane: Here) -> None:
    rows = [{"rooms": 2, "kind": "flat"}, {"rooms": 99, "kind": "tent", "moon": 1}, {"kind": "flat"}]
    answer = lane("POST", TABLE, json={"rows": rows})
    assert_refused(answer, 422, "invalid_value", "rows[1].moon")
    assert [(one["row"], one["column"]) for one in answer.json()["errors"]] == [
        (2, "moon"),
        (2, "rooms"),
        (2, "kind"),
        (3, "rooms"),
    ]


def test_right_rows_are_answered_where_wrong_ones_are_to_be_skipped(lane: Here) -> None:
    answer = lane("POST", f"{TABLE}&on_error=skip", content=WRONG, headers=IN)
    assert answer.headers["x-rows-skipped"] == "3"
    body = answer.json()
    assert [one["values"]["price"] for one in body["predictions"]] == [200, 150]
    assert body["rows"] == [1, 5]
    assert [one["row"] for one in body["errors"]] == [2, 2, 3, 4]


def test_skipped_rows_say_why_in_the_table(lane: Here) -> None:
    answer = lane("POST", f"{TABLE}&on_error=skip", content=WRONG, headers=IN_AND_OUT)
    header, *rows = cells(answer)
    assert header == ["id", "rooms", "kind", "predicted_price", "error"]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [row[3] for row in rows] == ["200.0", "", "", "", "150.0"]
    assert [bool(row[4]) for row in rows] == [False, True, True, True, False]
    assert "rooms: Must be a number from 1 to 10." in rows[1][4]


def test_skipping_works_in_json_by_a_field_and_says_when_nothing_was_wrong(lane: Here) -> None:
    rows = [{"rooms": 99, "kind": "flat"}, {"rooms": 2, "kind": "flat"}]
    body = lane("POST", TABLE, json={"rows": rows, "on_error": "skip"}).json()
    assert (body["rows"], len(body["predictions"]), body["errors"][0]["field"]) == ([2], 1, "rows[0].rooms")
    body = lane("POST", TABLE, json={"rows": rows[1:], "on_error": "skip"}).json()
    assert (body["rows"], body["errors"]) == ([1], [])
    assert "errors" not in lane("POST", TABLE, json={"rows": rows[1:], "on_error": "refuse"}).json()


def test_a_file_without_a_right_row_is_refused(lane: Here) -> None:
    answer = lane("POST", f"{TABLE}&on_error=skip", content="rooms,kind\n99,flat\n", headers=IN)
    assert_refused(answer, 422, "invalid_value", "rows[0].rooms")
    answer = lane("POST", f"{TABLE}&on_error=perhaps", content="rooms,kind\n9,flat\n", headers=IN)
    assert_refused(answer, 422, "invalid_value", "on_error")


def test_a_column_that_would_be_added_must_not_be_there(lane: Here) -> None:
    answer = lane("POST", TABLE, content="rooms,kind,predicted_price\n2,flat,1\n", headers=IN_AND_OUT)
    assert_refused(answer, 422, "invalid_value", "predicted_price")


def test_rows_of_json_are_answered_as_a_table(lane: Here) -> None:
    rows = [{"rooms": 2}, {"kind": "house"}]
    answer = lane("POST", RANGES, json={"rows": rows}, headers={"accept": "text/csv"})
    assert [row[:2] for row in cells(answer)] == [["rooms", "kind"], ["2", ""], ["", "house"]]


def test_a_wrong_value_of_json_is_shown_in_the_table_as_it_is(lane: Here) -> None:
    rows = [{"rooms": {"a": [1]}, "kind": "flat"}, {"rooms": 2, "kind": "flat"}]
    answer = lane("POST", f"{TABLE}&on_error=skip", json={"rows": rows}, headers={"accept": "text/csv"})
    assert cells(answer)[2] == ["2", "flat", "200.0", ""]
    assert cells(answer)[1][2:] == ["", "rooms: Must be a number from 1 to 10."]


def test_applicants_come_back_with_their_scores(lane: Here) -> None:
    names = [one.name for one in ATTRIBUTES]
    row = [f"{one.range[0]:g}" if one.range else one.codes[0] for one in ATTRIBUTES]
    table = "\n".join([",".join(["id", *names, "default"]), ",".join(["A-1", *row, "0"])])
    header, scored = cells(lane("POST", CREDIT, content=table, headers=IN_AND_OUT))
    assert header == ["id", *names, "default", "default_probability", "decision"]
    assert scored[:-2] == ["A-1", *row, "0"]
    assert 0 < float(scored[-2]) < 1
    assert scored[-1] in ("approve", "decline")

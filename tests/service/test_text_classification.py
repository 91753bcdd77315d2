"""Texts and their labels: how lines are told apart, and what is refused."""

import pytest

from tests.conftest import Here, assert_refused

PATH = "/v1/texts/classify"


def labels(lane: Here, body: bytes) -> list[str]:
    answer = lane("POST", PATH, content=body, headers={"content-type": "text/plain"})
    assert answer.status_code == 200, answer.text
    return [one["label"] for one in answer.json()["predictions"]]


@pytest.mark.parametrize("body", [b"yes\nno", b"yes\nno\n", b"yes\r\nno\r\n", b"\xef\xbb\xbfyes\nno\n"])
def test_lines_end_as_any_machine_ends_them(lane: Here, body: bytes) -> None:
    assert labels(lane, body) == ["good", "bad"]


def test_an_empty_line_is_a_text(lane: Here) -> None:
    assert labels(lane, b"yes\n\nno\n") == ["good", "bad", "bad"]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "invalid_value", "texts"),
        ({"texts": "yes"}, "invalid_value", "texts"),
        ({"texts": []}, "invalid_shape", "texts"),
        ({"texts": ["yes", 1]}, "invalid_value", "texts[1]"),
        ({"texts": [["yes"]]}, "invalid_value", "texts[0]"),
        ({"texts": ["yes", "n" * 1001]}, "invalid_value", "texts[1]"),
        ({"texts": ["yes"], "language": "en"}, "invalid_value", "language"),
    ],
)
def test_anything_but_texts_is_refused(lane: Here, body: object, code: str, field: str) -> None:
    assert_refused(lane("POST", PATH, json=body), 422, code, field)


def test_a_text_in_another_encoding_is_refused(lane: Here) -> None:
    answer = lane("POST", PATH, content="größer".encode("latin-1"), headers={"content-type": "text/plain"})
    assert_refused(answer, 400, "malformed_body")


def test_too_many_texts_are_refused(lane: Here) -> None:
    answer = lane("POST", PATH, content=b"\n" * 100_000, headers={"content-type": "text/plain"})
    assert_refused(answer, 422, "too_many_rows", "texts")

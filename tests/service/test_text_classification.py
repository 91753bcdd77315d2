"""Texts and their labels: how lines are told apart, and what is refused."""

import pytest

from tests.conftest import Here, assert_refused

PATH, WORDS = (f"/v1/texts/classify?model=toy-{name}" for name in ("sentences", "words"))


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


def explained(lane: Here, text: str) -> list[dict[str, object]]:
    answer = lane("POST", WORDS, json={"texts": ["yes", text], "explain": True})
    assert answer.status_code == 200, answer.text
    words: list[dict[str, object]] = answer.json()["predictions"][1]["words"]
    return words


def test_words_are_found_where_they_stand(lane: Here) -> None:
    assert explained(lane, "Größer? YES yes, or maybe: no") == [
        {"text": "yes", "start": 8, "end": 11, "weight": 1.0},
        {"text": "yes", "start": 12, "end": 15, "weight": 1.0},
        {"text": "no", "start": 27, "end": 29, "weight": -1.0},
    ]


@pytest.mark.parametrize("text", ["", "?!", "maybe"])
def test_a_text_without_words_that_speak_is_answered(lane: Here, text: str) -> None:
    assert explained(lane, text) == []


def test_what_a_text_is_told_does_not_depend_on_those_beside_it(lane: Here) -> None:
    alone = lane("POST", WORDS, json={"texts": ["no"]}).json()["predictions"]
    beside = lane("POST", WORDS, json={"texts": ["yes " * 7, "no"]}).json()["predictions"]
    assert alone == beside[1:]


def test_too_many_words_are_refused(lane: Here) -> None:
    refused = lane("POST", WORDS, json={"texts": ["yes", "yes " * 9]})
    assert_refused(refused, 422, "invalid_value", "texts[1]")
    assert "8 words" in refused.json()["detail"]


def test_a_model_that_takes_texts_as_they_are_cannot_name_words(lane: Here) -> None:
    assert_refused(lane("POST", f"{PATH}&explain=true", json={"texts": ["yes"]}), 422, "not_explainable", "model")

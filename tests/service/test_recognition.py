"""What is sent without a word of what it is, or under a name that says nothing, is answered by what it is."""

from pathlib import Path

import pytest

from load_tests.examples import requests_of
from service.recognition import recognise
from tests.conftest import PROJECT, Here, assert_refused

EXAMPLES = PROJECT / "docs" / "examples"
DIGITS = "/v1/digits/classify?model=toy-digits"
# curl says the last but one of any body, browsers under Windows the last of CSV.
ANY = ["", "application/octet-stream", "application/x-www-form-urlencoded", "application/vnd.ms-excel"]


@pytest.mark.parametrize(
    ("body", "media"),
    [
        ((EXAMPLES / "seven.png").read_bytes(), "image/png"),
        ((EXAMPLES / "page.jpg").read_bytes(), "image/jpeg"),
        ((EXAMPLES / "slice.dcm").read_bytes(), "application/dicom"),
        ((Path(__file__).parent / "seven.heic").read_bytes(), "image/heic"),
        (b"\xef\xbb\xbf {}", "application/json"),
        (b"a,b\n1,2\n", "text/csv"),
        (b"a;b\n1;2\n", "text/csv"),
        (b"Hello there", "text/plain"),
        (b"%PDF-1.7", "application/pdf"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml"),
        (b"\x93NUMPY\x01\0", "application/x-npy"),
        (b"\0\1\2\3", ""),
        (b"", ""),
    ],
)
def test_first_bytes_tell(body: bytes, media: str) -> None:
    assert recognise(body) == media


@pytest.mark.parametrize("media", ANY)
def test_every_example_is_answered_whatever_a_program_calls_it(lane: Here, toy_models: Path, media: str) -> None:
    headers = {"content-type": media} if media else {}
    answered = set()
    for request in requests_of(toy_models):
        example = request.example
        if example.media_type.startswith("multipart/"):  # whose boundary only the header tells
            continue
        accepted = {**headers, "accept": example.accept}
        answer = lane("POST", request.target, content=example.body, headers=accepted)
        assert answer.status_code == 200, (request.target, example.name, answer.text)
        example.check(answer.content)
        answered.add(example.media_type)
    assert {"application/json", "text/csv", "image/png", "application/x-npy", "application/dicom"} <= answered


def test_what_no_task_reads_is_named(lane: Here) -> None:
    refused = lane("POST", DIGITS, content=b"%PDF-1.7 ...")
    assert_refused(refused, 415, "unsupported_media", "content-type")
    assert refused.json()["detail"].startswith("application/pdf is not read here")


def test_a_picture_that_is_called_json_is_named(lane: Here) -> None:
    body, headers = (EXAMPLES / "seven.png").read_bytes(), {"content-type": "application/json"}
    refused = lane("POST", DIGITS, content=body, headers=headers)
    assert_refused(refused, 400, "malformed_body")
    assert "image/png" in refused.json()["detail"]


@pytest.mark.parametrize("name", ["image", "file", "picture[]"])
def test_a_file_of_a_form_may_have_any_name(lane: Here, name: str) -> None:
    picture = (EXAMPLES / "seven.png").read_bytes()
    answer = lane("POST", DIGITS, files={name: ("seven.png", picture)}, data={"many": "on"})
    assert answer.status_code == 200


def test_files_under_two_names_are_refused(lane: Here) -> None:
    picture = (EXAMPLES / "seven.png").read_bytes()
    files = [("image", ("a.png", picture)), ("file", ("b.png", picture))]
    assert_refused(lane("POST", DIGITS, files=files), 422, "invalid_value", "image")


@pytest.mark.parametrize("accept", ["image/png", "application/x-npy"])
def test_an_answer_that_is_no_json_says_its_model(lane: Here, accept: str) -> None:
    answer = lane("POST", "/v1/samples/generate", json={"count": 2}, headers={"accept": accept})
    model = lane("POST", "/v1/samples/generate", json={"count": 2}, headers={"accept": "application/json"}).json()
    assert {"name": answer.headers["x-model"], "version": answer.headers["x-model-version"]} == model["model"]


@pytest.mark.parametrize(
    ("body", "hint"), [([], "with fields among applicants"), ({"age_years": 3}, "there are applicants")]
)
def test_a_body_of_another_form_is_told_which(lane: Here, body: object, hint: str) -> None:
    refused = lane("POST", "/v1/credit/score", json=body)
    assert hint in refused.json()["detail"]

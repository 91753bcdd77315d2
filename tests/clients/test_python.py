"""The Python client against the service: its README, its errors, its retries, and both of its forms."""

import asyncio
import doctest
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import PIL.Image
import PIL.ImageSequence
import pydicom
import pytest
from make_sync import made
from quartet_client import (
    AsyncClient,
    BadRequest,
    Client,
    ConnectionFailed,
    DeadlineExceeded,
    Forbidden,
    NotFound,
    Overloaded,
    QuartetError,
    ServiceFailed,
)

from tests.conftest import PROJECT, Running

ROOT = PROJECT / "clients" / "python"
HOUSING = "linear-housing"
SEVEN, PENGUIN = (PROJECT / "docs" / "examples" / name for name in ("seven.png", "penguin.webp"))


@pytest.fixture(scope="module")
def quartet(server: Running) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


def answering(*answers: httpx.Response | Exception) -> tuple[httpx.MockTransport, list[httpx.Request]]:
    """A service that gives these answers one after another, the last one for ever; and the requests that it got."""
    got: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        got.append(request)
        given = answers[min(len(got), len(answers)) - 1]
        if isinstance(given, Exception):
            raise given
        return given

    return httpx.MockTransport(answer), got


def scores() -> httpx.Response:
    one = {"default_probability": 0.5, "decision": "decline"}
    return httpx.Response(200, json={"model": {"name": "m", "version": "1"}, "predictions": [one]})


def refusal(status: int, code: str, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"code": code, "detail": "No.", "request_id": "r1"}, headers=headers)


def test_the_readme_does_what_it_says(server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("docs", "models"):
        (tmp_path / name).symlink_to(PROJECT / name)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("http://127.0.0.1:3000", server.url)
    examples = doctest.DocTestParser().get_doctest(text, {}, "README.md", "README.md", 0)
    found: list[str] = []
    doctest.DocTestRunner(verbose=False).run(examples, out=found.append)
    assert not found, "".join(found)


def test_the_blocking_client_is_made_of_the_other_one() -> None:
    for path, source in made().items():
        assert source == path.read_text(encoding="utf-8"), "write it with `python make_sync.py`"


def test_a_wheel_builds_that_works_without_anything_but_httpx(tmp_path: Path) -> None:
    source = shutil.copytree(ROOT, tmp_path / "source")
    build = [sys.executable, "-c", "from setuptools import build_meta as b; print(b.build_wheel('.'))"]
    name = subprocess.run(build, cwd=source, capture_output=True, text=True, check=True).stdout.split()[-1]
    alone = (
        "import sys\n"
        "for name in ('numpy', 'pandas', 'PIL', 'pydicom'): sys.modules[name] = None\n"
        "import quartet_client; quartet_client.Client().close(); print(quartet_client.__file__)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", alone],
        env={**os.environ, "PYTHONPATH": str(source / name)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert name in ran.stdout


@pytest.mark.parametrize(
    "form", [lambda path: path, lambda path: path.read_bytes(), PIL.Image.open, lambda path: [path, path.read_bytes()]]
)
def test_pictures_in_every_form_are_read(quartet: Client, form: Any) -> None:
    assert {one.digit for one in quartet.digits.classify(form(SEVEN))} == {7}


def test_arrays_are_read_and_explained(quartet: Client) -> None:
    picture = np.asarray(PIL.Image.open(SEVEN).convert("L").resize((28, 28)))
    answer = quartet.digits.classify(np.stack([picture, picture]), explain=True)
    assert [one.digit for one in answer] == [7, 7]
    assert answer[0].heat_map


def test_several_digits_come_with_their_places(quartet: Client) -> None:
    assert quartet.digits.classify(SEVEN, many=True)[0].box


def test_a_table_in_every_form_gives_the_same_scores(
    quartet: Client, applicants: list[dict[str, str]], tmp_path: Path
) -> None:
    frame = pd.DataFrame(applicants[:3])
    frame.to_csv(tmp_path / "some.csv", index=False)
    wanted = quartet.credit.score(applicants[:3])
    assert quartet.credit.score(frame) == wanted
    assert quartet.credit.score(tmp_path / "some.csv") == wanted
    assert quartet.credit.score(applicants[0])[0] == wanted[0]
    assert list(wanted.frame()["decision"]) == [one.decision for one in wanted]


def test_reasons_and_the_rest_are_the_points(quartet: Client, applicants: list[dict[str, str]]) -> None:
    for score in quartet.credit.score(applicants[:5], explain=True):
        assert score.points == pytest.approx(sum(one.points for one in score.reasons or []) + (score.other_points or 0))


def test_a_series_comes_back_as_one(quartet: Client) -> None:
    source = pydicom.dcmread(PROJECT / "docs" / "examples" / "slice.dcm")
    denoised = list(quartet.ct.denoise_series([source, source]))
    assert len({one.SeriesInstanceUID for one in denoised} - {source.SeriesInstanceUID}) == 1


def test_a_slice_can_be_looked_at(quartet: Client) -> None:
    slice = PROJECT / "docs" / "examples" / "slice.dcm"
    plain, compared = (quartet.ct.preview(slice, window="lung", view=view) for view in ("denoised", "compare"))
    assert plain.startswith(b"\x89PNG")
    assert compared != plain


def test_clips_in_every_form_are_told(quartet: Client) -> None:
    frames = [
        np.asarray(frame.convert("L").resize((32, 32)))
        for frame in PIL.ImageSequence.all_frames(PIL.Image.open(PENGUIN))
    ]
    frames = frames[:: len(frames) // 3][:3]
    files = [PIL.Image.fromarray(frame) for frame in frames]
    told = [
        quartet.clips.classify(form)
        for form in (PENGUIN, PENGUIN.read_bytes(), [PENGUIN, PENGUIN], [files], [files, files])
    ]
    assert [len(one) for one in told] == [1, 1, 2, 1, 2]
    assert {one.label for answer in told for one in answer} == {"animal"}
    assert quartet.clips.classify(np.stack(frames)) == quartet.clips.classify(np.stack([frames]))


def test_a_series_in_every_form_has_the_same_forecast(quartet: Client, tmp_path: Path) -> None:
    frame = pd.DataFrame({"shop": [112.0, 118, 132, 129], "kiosk": [np.nan, 20, 30, 25]})
    frame.to_csv(tmp_path / "some.csv", index=False)
    both = quartet.series.forecast(frame, horizon=2, levels=[0.5, 0.95])
    assert [[one.level for one in forecast.intervals] for forecast in both] == [[0.5, 0.95]] * 2
    assert [len(forecast.values) for forecast in both] == [2, 2]
    lists = [frame["shop"].tolist(), [20, 30, 25]]
    for form in (tmp_path / "some.csv", lists, [np.array(one) for one in lists]):
        assert quartet.series.forecast(form, horizon=2, levels=[0.5, 0.95]).forecasts == both.forecasts
    for form in (lists[0], np.array(lists[0]), np.array(lists[:1]), frame["shop"]):
        assert quartet.series.forecast(form, horizon=2, levels=[0.5, 0.95])[0] == both[0]


def test_a_gap_in_a_frame_is_refused_with_its_place(quartet: Client) -> None:
    with pytest.raises(BadRequest) as refused:
        quartet.series.forecast(pd.DataFrame({"shop": [1.0, np.nan, 3.0]}))
    assert refused.value.field == "series[0][1]"


def test_a_state_is_carried_from_window_to_window(quartet: Client) -> None:
    model = quartet.model("intersection-rnn")
    first, second = ({"numbers": np.full((2, 10), number, np.float32)} for number in (0.5, 0.1))
    answers = list(model.follow([first, second]))
    np.testing.assert_allclose(answers[1]["sums"][:, -1], [6, 6], atol=0.5)
    (again,) = model.follow([{**second, "state": answers[0]["next_state"]}])
    np.testing.assert_array_equal(again["sums"], answers[1]["sums"])


def test_a_card_has_pictures_and_drift_a_report(quartet: Client) -> None:
    assert quartet.model("gan").picture("samples.png").startswith(b"\x89PNG")
    assert quartet.model("gan").drift()["model"]["name"] == "gan"


def test_labels_for_each_sample(quartet: Client) -> None:
    answer = quartet.samples.generate(2, label=[3, 4], seed=5)
    assert answer.labels == ["3", "4"]
    assert answer.seed == 5
    assert [one.size for one in answer.images()] == [(28, 28)] * 2


def test_samples_on_a_way_and_on_a_grid(quartet: Client) -> None:
    assert len(quartet.samples.generate(interpolate=[1, 2]).samples) == 16
    assert quartet.samples.generate(grid=3, model="aae").array().shape == (9, 28, 28)


def test_pictures_of_several_are_drawn_again_and_translated(quartet: Client) -> None:
    assert quartet.samples.reconstruct([SEVEN, SEVEN], model="cvae", label=7).array().shape == (2, 28, 28)
    assert len(quartet.samples.encode([SEVEN, SEVEN], model="cvae", label=7).latents) == 2
    assert len(quartet.samples.translate([SEVEN, SEVEN], to="mnist").pictures()) == 2
    assert len(quartet.images.transform([SEVEN, SEVEN]).pictures()) == 2


def test_raw_tensors_and_lists_agree(quartet: Client) -> None:
    model = quartet.model("linear-housing")
    raw = model.predict({"row": np.array([[2000, 3]], ">f4")})["values"]
    np.testing.assert_allclose(raw, model.predict({"row": [[2000, 3]]})["values"], rtol=1e-6)
    assert model.describe()["name"] == "linear-housing"


def test_what_each_layer_makes_of_a_picture(quartet: Client) -> None:
    assert quartet.model("digits").activations(SEVEN)["activations"]


@pytest.mark.parametrize(
    ("ask", "error", "code", "field"),
    [
        (lambda c: c.digits.classify(b"nothing"), BadRequest, "unsupported_media", None),
        (lambda c: c.digits.classify(SEVEN, model="none"), NotFound, "unknown_model", "model"),
        (
            lambda c: c.tables.predict({"area": 1}, model="linear-housing"),
            BadRequest,
            "invalid_value",
            "rows[0].bedrooms",
        ),
    ],
)
def test_a_refusal_says_what_the_service_said(
    quartet: Client, ask: Any, error: type[Exception], code: str, field: str | None
) -> None:
    with pytest.raises(error) as refused:
        ask(quartet)
    assert refused.value.code == code  # type: ignore[attr-defined]
    assert field is None or refused.value.field == field  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("status", "error"), [(401, Forbidden), (413, BadRequest), (500, ServiceFailed), (504, DeadlineExceeded)]
)
def test_what_would_fail_again_is_not_sent_again(status: int, error: type[Exception]) -> None:
    transport, got = answering(refusal(status, "some_code"))
    with Client(transport=transport) as client, pytest.raises(error):
        client.credit.score({})
    assert len(got) == 1


def test_overload_and_lost_connections_are_tried_again() -> None:
    answers = refusal(429, "queue_full"), httpx.RemoteProtocolError("cut"), refusal(503, "not_ready"), scores()
    transport, got = answering(*answers)
    with Client(transport=transport) as client:
        assert client.credit.score({})[0].decision == "decline"
    left = [int(request.headers["x-timeout-ms"]) for request in got]
    assert len(got) == 4
    assert left == sorted(left, reverse=True)


def test_the_pause_that_is_asked_for_is_kept_or_there_is_no_other_attempt() -> None:
    transport, got = answering(refusal(503, "draining", **{"retry-after": "60"}), scores())
    with Client(transport=transport, timeout=5) as client, pytest.raises(Overloaded) as refused:
        client.credit.score({})
    assert (len(got), refused.value.retry_after, refused.value.request_id) == (1, 60, "r1")


def test_a_change_of_releases_that_may_have_been_made_is_not_sent_again() -> None:
    transport, got = answering(refusal(503, "draining"), httpx.ReadError("cut"))
    with Client(transport=transport) as client, pytest.raises(ConnectionFailed):
        client.releases.rollback("digits", reason="too many sevens")
    assert [request.url.path for request in got] == ["/v1/releases/digits/rollback"] * 2
    assert got[1].content == b'{"reason":"too many sevens"}'


def test_retries_end() -> None:
    transport, got = answering(httpx.ConnectError("refused"))
    with Client(transport=transport, retries=1) as client, pytest.raises(ConnectionFailed):
        client.credit.score({})
    assert len(got) == 2


def test_a_page_of_something_else_is_no_answer() -> None:
    transport, _ = answering(httpx.Response(200, text="<html>"))
    with Client(transport=transport) as client, pytest.raises(QuartetError, match="did not answer as Quartet does"):
        client.credit.score({})


def test_a_deadline_ends_a_call() -> None:
    transport, got = answering(httpx.ReadTimeout("late"))
    with Client(transport=transport) as client, pytest.raises(DeadlineExceeded):
        client.digits.classify(SEVEN, timeout=0.25)
    assert 0 < int(got[0].headers["x-timeout-ms"]) <= 250
    assert got[0].extensions["timeout"]["read"] <= 0.25


def test_paths_keys_and_options_go_where_the_service_looks() -> None:
    transport, got = answering(scores())
    with Client("http://here/quartet", api_key="k", transport=transport) as client:
        client.credit.score({}, model="other", version="1", patient=True, request_id="mine")
    request = got[0]
    assert str(request.url) == "http://here/quartet/v1/credit/score?model=other&version=1"
    assert request.headers["authorization"] == "Bearer k"
    assert (request.headers["x-priority"], request.headers["x-request-id"]) == ("patient", "mine")


def test_the_client_that_is_awaited(server: Running) -> None:
    async def ask() -> tuple[bool, list[int]]:
        async with AsyncClient(server.url) as client:
            answers = await asyncio.gather(*(client.digits.classify(SEVEN) for _ in range(4)))
            return await client.ready(), [answer[0].digit for answer in answers]

    assert asyncio.run(ask()) == (True, [7] * 4)

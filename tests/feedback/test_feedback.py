"""What turned out is held against what was predicted, and nothing else is kept."""

import asyncio
import os
import pwd
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import SecretStr

from service.engine.repository import Repository
from service.feedback.figures import auc, calibration_error, figures
from service.feedback.recorder import Recorder
from service.feedback.routes import PATH, Feedback
from service.feedback.store import Held, Outcome, Prediction, Store, StoreError, hashed
from service.lane import Lane, Route
from service.metrics import Metrics
from service.pages import Pages
from service.pipeline import Pipeline
from service.settings import Settings, SettingsError
from tests import toys
from tests.conftest import Here, assert_refused, free_port, nothing

TOKEN = "a token of an admin"
IMAGES = np.random.default_rng(9).integers(0, 256, (3, 28, 28)).tolist()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for toy in (toys.digits, toys.credit, toys.ct):
        toy(folder)
    return folder


@pytest.fixture(scope="module")
def repository(models: Path) -> Repository:
    found = Repository(Settings(models_dir=models, threads=1), Metrics())
    asyncio.run(found.load())
    return found


class Service:
    """The lane with a store, whose thread's work is done when a test says so."""

    def __init__(self, repository: Repository, place: str | None) -> None:
        settings = repository.settings.model_copy(update={"admin_token": SecretStr(TOKEN)})
        pipeline = Pipeline(repository, settings)
        self.recorder = place and Recorder(Store(place), settings.models_dir, 90, repository.metrics)
        pipeline.recorder = self.recorder or None
        repository.metrics.live = self.recorder.series if self.recorder else None
        feedback = Feedback(self.recorder or None, settings, pipeline.budget)
        pages = Pages(repository, repository.metrics)
        beside = {PATH: Route("give_feedback", feedback.answer)}
        self.ask = Here(Lane(nothing, pipeline, pages, repository.metrics, settings, None, beside))

    def classify(self, key: str, **headers: str) -> list[dict[str, Any]]:
        answer = self.ask(
            "POST", "/v1/digits/classify", json={"images": IMAGES}, headers={"x-request-id": key, **headers}
        )
        assert answer.status_code == 200, answer.text
        assert self.recorder
        self.recorder.write()
        found: list[dict[str, Any]] = answer.json()["predictions"]
        return found

    def tell(self, body: Any) -> httpx.Response:
        return self.ask("POST", PATH, json=body)


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of its own."""
    if shutil.which("initdb") is None or shutil.which("postgres") is None:
        pytest.skip("PostgreSQL is not installed")
    folder, port = tmp_path_factory.mktemp("pg"), free_port()
    other = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []  # it does not run as root
    if other:
        folder = Path(tempfile.mkdtemp(prefix="quartet-pg"))  # where another user may go
        shutil.chown(folder, "postgres") if "postgres" in _users() else pytest.skip("there is no user for PostgreSQL")
    words = [*other, "initdb", "-D", str(folder / "d"), "-U", "quartet", "-A", "trust"]
    if subprocess.run(words, capture_output=True, check=False, cwd="/").returncode:
        pytest.skip("initdb does not run here")
    words = [*other, "postgres", "-D", str(folder / "d"), "-p", str(port), "-k", str(folder), "-c", "fsync=off"]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
    until = time.monotonic() + 30
    asking = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
    while time.monotonic() < until and subprocess.run(asking, check=False).returncode:
        time.sleep(0.1)
    place = f"postgresql://quartet@127.0.0.1:{port}/postgres"
    yield place
    server.terminate()
    server.wait(20)
    shutil.rmtree(folder, ignore_errors=True)


def _users() -> set[str]:
    return {one.pw_name for one in pwd.getpwall()}


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "feedback.db") if request.param == "sqlite" else request.getfixturevalue("postgresql")


@pytest.fixture
def service(repository: Repository, tmp_path: Path) -> Iterator[Service]:
    served = Service(repository, str(tmp_path / "feedback.db"))
    yield served
    repository.metrics.live = None
    assert served.recorder
    served.recorder.store.close()


def test_a_store_joins_both_sides_whichever_comes_first(place: str) -> None:
    store, key = Store(place), hashed(str(time.time_ns()).encode())
    store.turn_out([Outcome(key, 0, 5.0, "7"), Outcome(key, 1, 5.0, "1")])
    store.predict([Prediction(key, line, "m", "1", 4.0, "7", 0.5) for line in range(3)])
    assert store.find(key, 2) == ("m", "1")
    assert sorted(store.held("m", "1")) == [Held("7", 0.5, "1"), Held("7", 0.5, "7")]
    state = store.state()
    store.turn_out([Outcome(key, 1, 6.0, "7")])
    assert store.state() != state
    assert store.held("m", "1") == [Held("7", 0.5, "7")] * 2
    store.forget(key)
    assert store.find(key, 0) is None
    store.predict([Prediction(key, 0, "m", "1", 4.0, "7", 0.5)])
    store.forget_before(4.5)
    assert store.versions() == []
    store.close()


def test_live_figures_are_those_of_what_turned_out(service: Service) -> None:
    predictions = service.classify("monday-1")
    right, other = str(predictions[0]["digit"]), str((predictions[1]["digit"] + 1) % 10)
    told = service.tell(
        {"outcomes": [{"id": "monday-1", "outcome": right}, {"id": "monday-1", "row": 1, "outcome": other}]}
    )
    assert told.json() == {"received": 2, "matched": 2}
    assert service.recorder
    service.recorder.look()
    found = service.recorder.figures["toy-digits", "1"]
    assert (found.rows, found.wrong, found.accuracy) == (2, 1, 0.5)
    exposed = service.ask("GET", "/metrics").text
    assert 'quartet_live_accuracy{model="toy-digits",version="1"} 0.5' in exposed


def test_an_outcome_may_come_before_the_prediction_and_as_csv(service: Service) -> None:
    table = b"id,row,outcome\norder-7,0,3\norder-7,2,4\n"
    answer = service.ask("POST", PATH, content=table, headers={"content-type": "text/csv"})
    assert answer.json() == {"received": 2, "matched": 0}
    service.classify("tuesday-1", **{"x-feedback-key": "order-7"})
    assert service.recorder
    service.recorder.look()
    assert service.recorder.figures["toy-digits", "1"].rows == 2


def test_neither_inputs_nor_keys_are_kept(service: Service, tmp_path: Path) -> None:
    service.classify("ada@example.org")
    assert service.recorder
    service.recorder.store.close()
    with sqlite3.connect(tmp_path / "feedback.db") as connection:
        rows = connection.execute("SELECT * FROM quartet_predictions").fetchall()
    connection.close()
    assert len(rows) == 3
    assert [len(row[0]) for row in rows] == [16] * 3
    assert b"ada" not in (tmp_path / "feedback.db").read_bytes()


def test_a_key_is_forgotten_by_the_admin_alone(service: Service) -> None:
    service.classify("wednesday-1")
    assert service.recorder
    key = hashed(b"wednesday-1")
    assert service.ask("DELETE", f"{PATH}/wednesday-1").status_code == 401
    assert service.recorder.store.find(key, 0) is not None
    answer = service.ask("DELETE", f"{PATH}/wednesday-1", headers={"authorization": f"Bearer {TOKEN}"})
    assert answer.json() == {"forgotten": "wednesday-1"}
    assert service.recorder.store.find(key, 0) is None


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"id": "thursday-1", "outcome": "eleven"}, "invalid_value", "outcome"),
        ({"outcomes": [{"id": "x", "outcome": 1}, {"id": "", "outcome": 1}]}, "invalid_value", "outcomes[1].id"),
        ({"id": "x", "outcome": None}, "invalid_value", "outcome"),
        ({"id": "x", "row": -1, "outcome": 1}, "invalid_value", "row"),
        ({"id": "x", "outcome": 1, "name": "Ada"}, "invalid_value", "name"),
        ([1], "invalid_value", None),
        ({"outcomes": []}, "invalid_value", "outcomes"),
    ],
)
def test_what_cannot_have_turned_out_is_told(service: Service, body: Any, code: str, field: str | None) -> None:
    service.classify("thursday-1")
    assert_refused(service.tell(body), 422, code, field)


@pytest.mark.parametrize(
    ("body", "media_type", "status", "code"),
    [
        (b"{", "application/json", 400, "malformed_body"),
        (b"\xff,\xff", "text/csv", 400, "malformed_body"),
        (b"id,row,outcome\nx,one,2\n", "text/csv", 422, "invalid_value"),
        (b"id,outcome\n", "text/csv", 422, "invalid_value"),
        (b"x", "image/png", 415, "unsupported_media"),
    ],
)
def test_a_body_that_cannot_be_read_is_told(
    service: Service, body: bytes, media_type: str, status: int, code: str
) -> None:
    answer = service.ask("POST", PATH, content=body, headers={"content-type": media_type})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_without_a_store_there_is_no_feedback(repository: Repository) -> None:
    assert_refused(Service(repository, None).tell({"id": "x", "outcome": 1}), 403, "forbidden")


def test_while_the_store_is_away_requests_are_answered_and_feedback_is_asked_to_come_again(
    repository: Repository, tmp_path: Path
) -> None:
    served = Service(repository, str(tmp_path / "none" / "feedback.db"))
    assert served.recorder
    before = repository.metrics.dropped_predictions
    with pytest.raises(StoreError):
        served.classify("friday-1")
    assert repository.metrics.dropped_predictions == before + 1
    answer = served.tell({"id": "friday-1", "outcome": 1})
    assert_refused(answer, 503, "not_ready")
    assert answer.headers["retry-after"] == "1"
    (tmp_path / "none").mkdir()
    served.classify("friday-2")
    assert served.recorder.store.find(hashed(b"friday-2"), 2) == ("toy-digits", "1")
    served.recorder.store.close()


def test_the_thread_writes_what_waits_when_it_ends(repository: Repository, tmp_path: Path) -> None:
    served = Service(repository, str(tmp_path / "feedback.db"))
    recorder = served.recorder
    assert recorder
    recorder.start()
    served.ask("POST", "/v1/digits/classify", json={"images": IMAGES}, headers={"x-request-id": "saturday-1"})
    recorder.stop()
    repository.metrics.live = None
    assert recorder.store.find(hashed(b"saturday-1"), 2) == ("toy-digits", "1")
    recorder.store.close()


def test_figures_of_a_credit_weigh_mistakes_by_the_threshold(repository: Repository) -> None:
    manifest = repository.pick("toy-credit", None).manifest
    weight = (1 - manifest.task.decision_threshold) / manifest.task.decision_threshold  # type: ignore[union-attr]
    rows = [Held("approve", 0.1, "1"), Held("decline", 0.9, "0"), Held("approve", 0.1, "0"), Held("decline", 0.9, "1")]
    found = figures(manifest, [*rows, Held("refer", 0.5, "1"), Held("approve", 0.1, "nonsense")])
    assert (found.rows, found.wrong, found.accuracy) == (5, 2, 0.5)
    assert found.cost == pytest.approx((weight + 1) / 5)


def test_auc_and_calibration_are_right_on_cases_done_by_hand() -> None:
    scores, hits = np.array([0.9, 0.8, 0.8, 0.1]), np.array([True, True, False, False])
    assert auc(scores, hits) == pytest.approx((1 + 1 + 0.5 + 1) / 4)
    assert auc(scores, np.ones(4, bool)) is None
    assert calibration_error(np.array([0.25, 0.25, 0.75, 0.75]), np.array([True, False, True, True])) == 0.25


def test_a_place_that_is_neither_a_file_nor_postgresql_is_told() -> None:
    with pytest.raises(SettingsError, match="QUARTET_FEEDBACK: mysql:// is neither"):
        Store("mysql://host/db")

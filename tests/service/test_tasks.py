"""What holds for every task: its declaration is whole, and its own examples are answered as it says."""

import asyncio
from pathlib import Path

import httpx
import pytest

from load_tests.examples import ExampleRequest, requests_of
from service.bundle import Manifest
from service.engine.repository import Repository
from service.errors import QuartetError
from service.messages import ARROW, PARQUET
from service.metrics import Metrics
from service.settings import Settings
from service.task import Task
from service.tasks import TASKS
from tests import toys
from tests.conftest import Here, assert_refused, lane_over

KINDS = Manifest.model_json_schema()["properties"]["task"]["discriminator"]["mapping"].keys()


@pytest.fixture(scope="module")
def requests(toy_models: Path) -> list[ExampleRequest]:
    return list(requests_of(toy_models))


def ask(lane: Here, asked: ExampleRequest) -> httpx.Response:
    headers = {"content-type": asked.example.media_type, "accept": asked.example.accept}
    return lane("POST", asked.target, content=asked.example.body, headers=headers)


def test_every_kind_but_one_has_a_route_of_its_own() -> None:
    assert {one.kind for one in TASKS if one.kind} == KINDS - {"tensor-prediction"}


@pytest.mark.parametrize("attribute", ["name", "path", "summary"])
def test_no_two_tasks_share_a_name(attribute: str) -> None:
    assert len({getattr(one, attribute) for one in TASKS}) == len(TASKS)


@pytest.mark.parametrize("task", TASKS, ids=lambda one: one.name)
def test_a_task_speaks_json(task: Task) -> None:
    assert "application/json" in task.readers
    assert "application/json" in task.writers


@pytest.mark.parametrize("task", TASKS, ids=lambda one: one.name)
def test_the_forms_name_every_option(task: Task) -> None:
    fields = task.request_form.model_fields.keys()
    assert task.fields - fields <= {"spacing_mm"}  # which the protocol's tensors cannot say in the body


@pytest.mark.parametrize("task", [one for one in TASKS if one.body_limit == 2**20], ids=lambda one: one.name)
def test_a_body_beyond_the_limit_of_its_task_is_refused(task: Task, lane: Here) -> None:
    for size, status in ((2**20, 400), (2**20 + 1, 413)):
        answer = lane("POST", task.path, content=bytes(size), headers={"content-type": "application/json"})
        assert answer.status_code == status


@pytest.mark.parametrize("task", TASKS, ids=lambda one: one.name)
def test_the_examples_of_a_task_are_answered_as_it_says(task: Task, lane: Here, requests: list[ExampleRequest]) -> None:
    own = [asked for asked in requests if asked.task is task]
    assert own
    for asked in own:
        response = ask(lane, asked)
        assert response.status_code == 200, (asked.target, asked.example.name, response.text)
        asked.example.check(response.content)


@pytest.mark.parametrize("task", TASKS, ids=lambda one: one.name)
def test_the_check_of_an_example_can_fail(task: Task, requests: list[ExampleRequest]) -> None:
    for asked in requests:
        if asked.task is task:
            with pytest.raises((ValueError, KeyError, QuartetError)):
                asked.example.check(b"{}")


OPTIONAL = {ARROW, PARQUET}  # where a package is installed that the service does without: tests/service/test_arrow.py


@pytest.mark.parametrize("task", TASKS, ids=lambda one: one.name)
def test_the_examples_show_every_form(task: Task, requests: list[ExampleRequest]) -> None:
    sent = {asked.example.media_type.partition(";")[0] for asked in requests if asked.task is task}
    pictures = {media for media in task.readers if media.startswith("image/")}  # of these one is enough
    assert set(task.readers) - pictures - OPTIONAL <= sent
    assert not pictures or pictures & sent


def repository_of(models: Path, **settings: object) -> Repository:
    repository = Repository(Settings(models_dir=models, threads=1, **settings), Metrics())
    asyncio.run(repository.load())
    return repository


def answered_by(lane: Here, path: str, body: object) -> str:
    response = lane("POST", path, json=body)
    assert response.status_code == 200, response.text
    return str(response.json()["model"]["name"])


ROW = {"rows": [{"rooms": 3, "kind": "house"}]}


def test_the_only_model_of_a_kind_answers_where_none_is_named(tmp_path: Path) -> None:
    toys.table(tmp_path, "huts")
    assert answered_by(lane_over(repository_of(tmp_path)), "/v1/tables/predict", ROW) == "huts"


def test_of_several_the_settings_say_which_and_then_the_models_folder(tmp_path: Path) -> None:
    for name in ("huts", "villas"):
        toys.table(tmp_path, name)
    unsaid = lane_over(repository_of(tmp_path))("POST", "/v1/tables/predict", json=ROW)
    assert_refused(unsaid, 404, "unknown_model", "model")
    assert "huts, villas" in unsaid.json()["detail"]
    (tmp_path / "DEFAULTS").write_text("# which one\ntabular-prediction villas\n")
    assert answered_by(lane_over(repository_of(tmp_path)), "/v1/tables/predict", ROW) == "villas"
    chosen = repository_of(tmp_path, defaults={"tabular-prediction": "huts"})
    assert answered_by(lane_over(chosen), "/v1/tables/predict", ROW) == "huts"

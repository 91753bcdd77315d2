"""The routes of releases tell what the files say, and obey the admin alone."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from jsonschema_rs import validator_for
from pydantic import SecretStr

from service.bundle import write_current
from service.engine.repository import Repository
from service.lane import Lane, Route
from service.metrics import Metrics
from service.pages import Pages
from service.pipeline import Pipeline
from service.release import Release
from service.release.traffic import Traffic
from service.releases import PATH, Releases
from service.settings import Settings
from tests import toys
from tests.conftest import Here, assert_refused, nothing

NAME, TOKEN = "toy-digits", "a token of an admin"


@pytest.fixture
def here(tmp_path: Path) -> Here:
    for version in ("1", "2"):
        toys.digits(tmp_path, version=version)
    write_current(tmp_path, NAME, "1")
    settings = Settings(models_dir=tmp_path, threads=1, admin_token=SecretStr(TOKEN))
    repository = Repository(settings, Metrics())
    asyncio.run(repository.load())
    pipeline = Pipeline(repository, settings)
    releases = Releases(Traffic(repository, repository.metrics), None, settings, pipeline.budget)
    beside = {PATH: Route("change_releases", releases.answer)}
    pages = Pages(repository, repository.metrics)
    return Here(Lane(nothing, pipeline, pages, repository.metrics, settings, None, beside))


def order(here: Here, verb: str, token: str = TOKEN, **body: Any) -> httpx.Response:
    return here("POST", f"{PATH}/{NAME}/{verb}", json=body, headers={"authorization": f"Bearer {token}"})


def test_versions_verdicts_and_what_is_tried_are_told(here: Here, tmp_path: Path) -> None:
    assert order(here, "start", version="2", mode="shadow", steps="10%", force=True, reason="look").status_code == 200
    (one,) = here("GET", PATH).json()["releases"]
    assert (one["name"], one["served"], one["versions"]) == (NAME, "1", ["1", "2"])
    told = here("GET", f"{PATH}/{NAME}").json()
    assert told["rollout"]["state"] == "running"
    assert told["rollout"]["share"] == 0.1
    assert [version["version"] for version in told["versions"]] == ["2", "1"]
    assert "there is no verdict on it" in told["versions"][0]["objection"]


def test_the_answers_have_the_forms_of_the_document(here: Here) -> None:
    document = here("GET", "/openapi.json").json()

    def check(path: str, method: str, response: httpx.Response) -> None:
        described = document["paths"][path][method]["responses"][str(response.status_code)]["content"]
        schema = described[response.headers["content-type"]]["schema"] | {"components": document["components"]}
        validator_for(schema).validate(response.json())

    check(f"{PATH}/{{name}}/promote", "post", order(here, "promote", version="2"))
    started = order(here, "start", version="2", mode="shadow", steps="10%", force=True, reason="look")
    check(f"{PATH}/{{name}}/start", "post", started)
    check(PATH, "get", here("GET", PATH))
    check(f"{PATH}/{{name}}", "get", here("GET", f"{PATH}/{NAME}"))
    check(f"{PATH}/{{name}}", "get", here("GET", f"{PATH}/nobody"))


def test_the_commands_are_obeyed(here: Here, tmp_path: Path) -> None:
    done = order(here, "promote", version="2", force=True, reason="better", who="ada")
    assert done.json()["done"].endswith("forced promote by ada, from 1 to 2: better")
    assert Release(tmp_path, NAME).served == "2"
    assert order(here, "rollback").json()["done"].endswith("rollback by admin, from 2 to 1")
    assert Release(tmp_path, NAME).served == "1"
    assert order(here, "prune").json()["done"] == "removed nothing"


def test_what_cannot_be_done_is_told(here: Here) -> None:
    assert_refused(order(here, "promote", version="2"), 409, "release_refused")
    assert_refused(order(here, "rollback"), 409, "release_refused")
    assert_refused(order(here, "start", version="2", steps="none", force=True, reason="x"), 409, "release_refused")
    assert_refused(order(here, "start", version="2", mode="both"), 422, "invalid_value", "mode")
    assert_refused(here("GET", f"{PATH}/nobody"), 404, "unknown_model", "model")
    assert_refused(here("GET", f"{PATH}/a/b/c"), 404, "unknown_route")


def test_nobody_without_the_token_is_obeyed(here: Here, tmp_path: Path) -> None:
    assert_refused(order(here, "promote", "wrong", version="2", force=True, reason="x"), 401, "unauthorized")
    assert Release(tmp_path, NAME).served == "1"

"""The OpenAPI document describes every route, with references that lead somewhere."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import validator_for

from service.engine.repository import Repository
from service.http.keys import new_key
from service.metrics import Metrics
from service.settings import Settings
from service.tasks import BY_PATH, TASKS
from tests import toys
from tests.conftest import Here, lane_over
from training.data.german import ATTRIBUTES


@pytest.fixture(scope="module")
def document(lane: Here) -> dict[str, Any]:
    return lane("GET", "/openapi.json").json()


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key == "$ref")
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from references(one)


def test_every_endpoint_and_page_is_described(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert {one.path for one in TASKS} <= document["paths"].keys()
    assert {"/v1/models", "/v1/models/{name}", "/livez", "/readyz", "/metrics"} <= document["paths"].keys()
    assert {"/v1/feedback", "/v1/feedback/{key}", "/v1/releases", "/v1/releases/{name}"} <= document["paths"].keys()


def test_every_reference_leads_to_a_schema(document: dict[str, Any]) -> None:
    found = set(references(document))
    assert found
    for reference in found:
        *_, name = reference.split("/")
        assert reference == f"#/components/schemas/{name}"
        assert name in document["components"]["schemas"]


def test_every_operation_has_its_own_id_and_an_answer(document: dict[str, Any]) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    for one in operations:
        assert one["summary"]
        assert one["responses"].keys() & {"200", "204"}


@pytest.mark.parametrize("endpoint", BY_PATH.values(), ids=lambda one: one.name)
def test_an_endpoint_lists_its_media_and_models(document: dict[str, Any], endpoint: Any) -> None:
    operation = document["paths"][endpoint.path]["post"]
    assert set(operation["requestBody"]["content"]) == set(endpoint.readers)
    assert set(operation["responses"]["200"]["content"]) == set(endpoint.writers)
    assert "toy-" in operation["description"]
    assert {"400", "404", "413", "415", "422", "429", "503", "504"} <= operation["responses"].keys()


def test_path_parameters_are_declared(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            declared = {one["name"] for one in operation.get("parameters", []) if one["in"] == "path"}
            assert declared == set(re.findall(r"\{(\w+)\}", path))


def test_the_attributes_of_an_applicant_are_spelled_out(document: dict[str, Any]) -> None:
    applicant = document["components"]["schemas"]["ScoreRequest"]["properties"]["applicants"]["items"]
    assert applicant["required"] == [one.name for one in ATTRIBUTES]
    assert applicant["additionalProperties"] is False
    assert applicant["properties"]["age_years"]["minimum"] == 18
    assert {"A11", "none"} <= set(applicant["properties"]["checking_account"]["enum"])


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/models", "/v1/models"),
        ("/readyz", "/readyz"),
        *(("/v1/models/{name}", f"/v1/models/{name}") for name in sorted(toys.NAMES)),
    ],
)
def test_a_page_answers_in_its_form(lane: Here, document: dict[str, Any], path: str, asked: str) -> None:
    content = document["paths"][path]["get"]["responses"]["200"]["content"]
    schema = content["application/json"]["schema"] | {"components": document["components"]}
    validator_for(schema).validate(lane("GET", asked).json())


@pytest.fixture(scope="module")
def locked(toy_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Here:
    """The lane over a toy, where a key is wanted."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(new_key("somebody")[1])
    settings = Settings(models_dir=toy_models, models=("toy-tensors",), threads=1, api_keys=keys)
    repository = Repository(settings, Metrics())
    asyncio.run(repository.load())
    return lane_over(repository)


def test_no_key_is_spoken_of_where_none_is_wanted(document: dict[str, Any]) -> None:
    assert "securitySchemes" not in document["components"]
    for item in document["paths"].values():
        for operation in item.values():
            assert "security" not in operation


def test_an_operation_says_that_it_wants_a_key_exactly_where_it_does(locked: Here) -> None:
    document = locked("GET", "/openapi.json").json()
    assert list(document["components"]["securitySchemes"]) == ["bearer", "x-api-key"]
    for path, item in document["paths"].items():
        for method, operation in item.items():
            answer = locked(method, path.format(name="toy-tensors", version="1", picture="curve.png", key="a"))
            assert ("security" in operation) == (answer.status_code == 401), path


def test_a_key_that_is_missing_is_answered_in_the_form_that_is_described(locked: Here) -> None:
    document = locked("GET", "/openapi.json").json()
    for method, path in (
        ("GET", "/v1/models"),
        ("POST", "/v1/digits/classify"),
        ("POST", "/v2/models/toy-tensors/infer"),
    ):
        responses = document["paths"][path.replace("toy-tensors", "{name}")][method.lower()]["responses"]
        answer = locked(method, path)
        assert {"401", "429"} <= responses.keys()
        schema = responses["401"]["content"][answer.headers["content-type"]]["schema"]
        validator_for(schema | {"components": document["components"]}).validate(answer.json())


def parts(part: Any) -> Iterator[dict[str, Any]]:
    """Every object of a document, at any depth."""
    if isinstance(part, dict):
        yield part
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from parts(one)


def test_the_document_says_what_linters_ask_for(document: dict[str, Any]) -> None:
    """`make openapi` asks the linters themselves."""
    groups = {one["name"] for one in document["tags"] if one["description"]}
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert {tag for one in operations for tag in one["tags"]} <= groups
    assert all(one["description"] for one in operations)
    assert all("items" in one for one in parts(document) if one.get("type") == "array")
    assert document["security"] == []


def test_the_protocols_load_call_says_what_it_takes(document: dict[str, Any]) -> None:
    body = document["paths"]["/v2/repository/models/{name}/load"]["post"]["requestBody"]
    assert not body["required"]
    schema = body["content"]["application/json"]["schema"] | {"components": document["components"]}
    validator = validator_for(schema)
    validator.validate({"parameters": {"version": "20260101-120000", "force": True, "reason": "a test"}})
    validator.validate({})
    assert not validator.is_valid({"parameters": {"versions": "1"}})
    index = document["paths"]["/v2/repository/index"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert validator_for(index | {"components": document["components"]}).is_valid({"ready": True})


def test_an_endpoint_names_its_default_and_shows_a_body_that_is_answered(lane: Here, document: dict[str, Any]) -> None:
    shown = {path: item["post"] for path, item in document["paths"].items() if path in BY_PATH}
    bodies = {path: one["requestBody"]["content"].get("application/json", {}) for path, one in shown.items()}
    examples = {path: body["example"] for path, body in bodies.items() if "example" in body}
    assert {"/v1/credit/score", "/v1/tables/predict", "/v1/samples/generate"} <= examples.keys()
    for path, example in examples.items():
        if "answers where none is named" in shown[path]["description"]:
            assert lane("POST", path, json=example).status_code == 200, path

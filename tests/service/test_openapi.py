"""The OpenAPI document describes every route, with references that lead somewhere."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from service.endpoints import ENDPOINTS, OF_A_MODEL
from tests.conftest import Here
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
    assert {one.path for one in (*ENDPOINTS, *OF_A_MODEL.values())} <= document["paths"].keys()
    assert {"/v1/models", "/v1/models/{name}", "/livez", "/readyz", "/metrics"} <= document["paths"].keys()


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


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: one.name)
def test_an_endpoint_lists_its_media_and_models(document: dict[str, Any], endpoint: Any) -> None:
    operation = document["paths"][endpoint.path]["post"]
    assert set(operation["requestBody"]["content"]) == set(endpoint.request_media)
    assert set(operation["responses"]["200"]["content"]) == set(endpoint.answer_media)
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

"""The table of endpoints is complete and free of contradictions."""

import pytest

from service.bundle import Manifest
from service.endpoints import ENDPOINTS, OF_A_MODEL

KINDS = Manifest.model_json_schema()["properties"]["task"]["discriminator"]["mapping"].keys()


def test_every_task_with_a_route_of_its_own_has_one_endpoint() -> None:
    assert sorted(one.kind or "" for one in ENDPOINTS) == sorted(KINDS - {"tensor-prediction"})
    assert {one.kind for one in OF_A_MODEL.values()} == {None}


@pytest.mark.parametrize("attribute", ["name", "path", "summary", "default"])
def test_no_two_endpoints_share_a_name(attribute: str) -> None:
    assert len({getattr(one, attribute) for one in ENDPOINTS}) == len(ENDPOINTS)


@pytest.mark.parametrize("endpoint", [*ENDPOINTS, *OF_A_MODEL.values()], ids=lambda one: one.name)
def test_every_endpoint_speaks_json(endpoint: object) -> None:
    assert "application/json" in endpoint.request_media
    assert "application/json" in endpoint.answer_media

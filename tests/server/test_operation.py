"""What operators and tools ask of a running service."""

import json
import re
from urllib.parse import urljoin

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.bundle import Bundle, defaults_of
from tests.conftest import PROJECT, Running, npy
from training.data.images import Images


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/healthz"])
def test_a_running_service_is_alive_and_ready(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 200


def test_all_four_families_are_served(client: httpx.Client, bundles: dict[str, Bundle]) -> None:
    models = {one["name"]: one for one in client.get("/v1/models").json()["models"]}
    assert {"digits", "credit-logistic", "ct-denoiser", "cvae"} <= models.keys()
    assert {name: one["version"] for name, one in models.items()} == {
        name: bundle.manifest.version for name, bundle in bundles.items()
    }


def test_each_model_shows_its_card_and_held_out_figures(client: httpx.Client, bundles: dict[str, Bundle]) -> None:
    for name, bundle in bundles.items():
        model = client.get(f"/v1/models/{name}").json()
        assert model["card"] == bundle.card
        assert model["metrics"][0]["count"] > 0
        assert model["provenance"]["recipe"]


def test_metrics_count_each_model_in_the_format_of_prometheus(client: httpx.Client, digits: Images) -> None:
    def answered() -> float:
        text = client.get("/metrics").text
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        wanted = {"model": "digits", "outcome": "ok"}
        return sum(
            one.value
            for one in samples
            if one.name == "quartet_requests_total" and wanted.items() <= one.labels.items()
        )

    before = answered()
    body, headers = npy(digits.pixels[:3]), {"content-type": "application/x-npy"}
    for _ in range(5):
        assert client.post("/v1/digits/classify", content=body, headers=headers).status_code == 200
    assert answered() - before == 5


def test_the_documentation_works_without_internet(client: httpx.Client) -> None:
    page = client.get("/docs").text
    assets = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(assets) >= 2
    for asset in assets:
        assert "//" not in asset  # relative to the page, wherever a proxy shows it
        response = client.get(urljoin("/docs", asset))
        assert response.status_code == 200
        assert len(response.content) > 1000
    for url in re.findall(r'url: "([^"]+)"', page):
        assert client.get(urljoin("/docs", url)).json()["openapi"].startswith("3.1")


def test_openapi_lists_the_served_models(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    assert "digits" in document["paths"]["/v1/digits/classify"]["post"]["description"]


def test_every_line_of_the_log_is_a_json_object(server: Running) -> None:
    lines = [json.loads(line) for line in server.log.splitlines()]
    assert len(lines) > 3
    assert all(isinstance(line, dict) and line["time"] > 0 for line in lines)


def test_a_model_is_said_to_be_ready_in_the_log(server: Running, bundles: dict[str, Bundle]) -> None:
    for name in defaults_of(PROJECT / "models").values():
        assert f"{name} {bundles[name].manifest.version} ready on cpu" in server.log

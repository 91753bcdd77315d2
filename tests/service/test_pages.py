"""Pages: health, models and documentation."""

import asyncio
import re
from pathlib import Path

import pytest

from service.access import is_open
from service.metrics import Metrics
from service.repository import Repository
from service.settings import Settings
from tests import toys
from tests.conftest import Here, assert_refused, lane_over


def test_models_are_listed_with_version_provider_and_figures(lane: Here) -> None:
    models = {one["name"]: one for one in lane("GET", "/v1/models").json()["models"]}
    toys = ("credit", "ct", "digits", "images", "samples", "tensors", "wary")
    assert sorted(models) == [f"toy-{one}" for one in toys]
    assert models["toy-ct"]["version"] == "1"
    assert models["toy-ct"]["kind"] == "ct-denoising"
    assert models["toy-ct"]["provider"] == "cpu"
    assert models["toy-ct"]["metrics"][0]["name"] == "accuracy"


def test_a_model_shows_its_signature_provenance_and_card(lane: Here) -> None:
    model = lane("GET", "/v1/models/toy-tensors").json()
    assert [one["name"] for one in model["inputs"]] == ["x", "k"]
    assert model["inputs"][0]["shape"] == ["batch", 3]
    assert model["provenance"]["recipe"] == "tests/toys.py"
    assert model["card"] == "# A toy\n"


def test_a_model_whose_card_is_gone_has_an_empty_one(tmp_path: Path) -> None:
    folder = toys.ct(tmp_path)
    repository = Repository(Settings(models_dir=tmp_path, threads=1), Metrics())
    asyncio.run(repository.load())
    (folder / "card.md").unlink()
    assert lane_over(repository)("GET", "/v1/models/toy-ct").json()["card"] == ""


@pytest.mark.parametrize("path", ["/livez", "/healthz"])
def test_a_process_that_answers_is_alive(lane: Here, path: str) -> None:
    assert lane("GET", path).status_code == 200


def test_a_service_is_ready_once_its_models_are(toy_models: Path) -> None:
    repository = Repository(Settings(models_dir=toy_models, models=("toy-ct",), threads=1), Metrics())
    early = lane_over(repository)
    assert_refused(early("GET", "/readyz"), 503, "not_ready")
    assert early("GET", "/readyz").headers["retry-after"] == "1"
    assert early("GET", "/livez").status_code == 200
    asyncio.run(repository.load())
    assert early("GET", "/readyz").json() == {"status": "ready"}


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_documentation_loads_nothing_from_another_host(lane: Here, path: str) -> None:
    page = lane("GET", path)
    assert page.headers["content-type"].startswith("text/html")
    assert re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert "//" not in page.text


def test_the_documentation_wants_no_api_key_and_neither_does_what_it_loads(lane: Here) -> None:
    page = lane("GET", "/docs").text
    loaded = re.findall(r'(?:src=|href=|url: )"([^"]+)"', page)
    assert len(loaded) >= 3
    assert all(map(is_open, ["/docs", *loaded]))

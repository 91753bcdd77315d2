"""Pages: health, models and documentation."""

import asyncio
import json
import re
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pytest

from service.engine.repository import Repository
from service.http.keys import is_open
from service.metrics import Metrics
from service.settings import Settings
from tests import toy_tables, toys
from tests.conftest import Here, assert_refused, lane_over


def test_models_are_listed_with_version_provider_and_figures(lane: Here) -> None:
    models = {one["name"]: one for one in lane("GET", "/v1/models").json()["models"]}
    assert models.keys() == toys.NAMES
    assert models["toy-ct"]["version"] == "1"
    assert models["toy-ct"]["kind"] == "ct-denoising"
    assert models["toy-ct"]["provider"] == "cpu"
    assert models["toy-ct"]["precision"] == "fp32"
    assert models["toy-ct"]["metrics"][0]["name"] == "accuracy"


def test_a_model_shows_its_signature_provenance_and_card(lane: Here) -> None:
    model = lane("GET", "/v1/models/toy-tensors").json()
    assert [one["name"] for one in model["inputs"]] == ["x", "k"]
    assert model["inputs"][0]["shape"] == ["batch", 3]
    assert model["provenance"]["recipe"] == "tests/toys.py"
    assert model["card"] == "# A toy\n"


def test_a_card_is_shown_as_it_was_when_the_model_was_loaded(tmp_path: Path) -> None:
    folder = toys.ct(tmp_path)
    repository = Repository(Settings(models_dir=tmp_path, threads=1), Metrics())
    asyncio.run(repository.load())
    (folder / "card.md").unlink()
    assert lane_over(repository)("GET", "/v1/models/toy-ct").json()["card"] == "# A toy\n"


def test_a_model_says_whether_it_answers_where_none_is_named(tmp_path: Path) -> None:
    for name in ("toy-first", "toy-second"):
        toy_tables.credit(tmp_path, name)
    toys.ct(tmp_path)
    (tmp_path / "DEFAULTS").write_text("credit-scoring toy-second\n")
    repository = Repository(Settings(models_dir=tmp_path, threads=1), Metrics())
    asyncio.run(repository.load())
    lane = lane_over(repository)
    listed = {one["name"]: one["default"] for one in lane("GET", "/v1/models").json()["models"]}
    assert listed == {"toy-ct": True, "toy-first": False, "toy-second": True}
    assert lane("GET", "/v1/models/toy-second").json()["default"] is True


def test_the_pictures_that_a_card_shows_are_there_and_nothing_else_of_its_folder(tmp_path: Path) -> None:
    folder = toys.ct(tmp_path)
    (folder / "card.md").write_text("# A toy\n\n![Curve](curve.png)\n\n![Away](away.png)\n")
    manifest = json.loads((folder / "bundle.json").read_text())
    del manifest["sha256"]["card.md"]
    (folder / "bundle.json").write_text(json.dumps(manifest))
    for name in ("curve.png", "unshown.png"):
        (folder / name).write_bytes(b"\x89PNG of a curve")
    repository = Repository(Settings(models_dir=tmp_path, threads=1), Metrics())
    asyncio.run(repository.load())
    lane = lane_over(repository)
    picture = lane("GET", "/v1/models/toy-ct/card/curve.png")
    assert picture.content == b"\x89PNG of a curve"
    assert picture.headers["content-type"] == "image/png"
    assert picture.headers["x-model-version"] == "1"
    for other in ("unshown.png", "away.png", "model.onnx", "card.md", "..%2fCURRENT", "../1/curve.png"):
        assert_refused(lane("GET", f"/v1/models/toy-ct/card/{other}"), 404, "unknown_route")
    assert_refused(lane("GET", "/v1/models/moon/card/curve.png"), 404, "unknown_model", "model")


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


def test_the_documentation_loads_nothing_from_another_host(lane: Here) -> None:
    page = lane("GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert "//" not in page.text


def test_the_documentation_wants_no_api_key_and_neither_does_what_it_loads(lane: Here) -> None:
    page = lane("GET", "/docs").text
    loaded = re.findall(r'(?:src=|href=|url: )"([^"]+)"', page)
    assert len(loaded) >= 3
    assert all(is_open(urljoin("/docs", address)) for address in loaded)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_documentation_s_addresses_hold_behind_a_prefix(lane: Here, path: str) -> None:
    for address in re.findall(r'(?:src=|href=|url: )"(?!data:)([^"]+)"', lane("GET", path).text):
        assert urljoin(f"http://here/some/prefix{path}", address).startswith("http://here/some/prefix/")


@pytest.mark.parametrize(
    ("forwarded", "server"),
    [
        (None, "http://here/some/prefix/"),
        ("/quartet", "http://here/quartet"),
        ("/a/b-1/", "http://here/a/b-1"),
        ("//run_in_thread.example", "http://here/some/prefix/"),
        ("http://run_in_thread.example", "http://here/some/prefix/"),
        ('/"}', "http://here/some/prefix/"),
        ("/" + "a" * 10**4, "http://here/some/prefix/"),
    ],
)
def test_the_description_s_server_is_where_the_proxy_says_or_where_it_lies(
    lane: Here, forwarded: str | None, server: str
) -> None:
    headers = {} if forwarded is None else {"x-forwarded-prefix": forwarded}
    (given,) = lane("GET", "/openapi.json", headers=headers).json()["servers"]
    assert urljoin("http://here/some/prefix/openapi.json", given["url"]) == server


def test_a_root_path_of_the_server_is_no_part_of_a_route(repository: Repository) -> None:
    lane = lane_over(repository)

    async def below(scope: Any, receive: Any, send: Any) -> None:
        await lane.app({**scope, "root_path": "/below", "path": "/below" + scope["path"]}, receive, send)

    assert Here(below)("GET", "/livez").status_code == 200
    assert Here(below)("GET", "/v2/models/toy-tensors").json()["name"] == "toy-tensors"
    assert Here(below)("GET", "/openapi.json").json()["servers"] == [{"url": "/below"}]


def test_the_description_follows_the_models(tmp_path: Path) -> None:
    toys.ct(tmp_path)
    repository = Repository(Settings(models_dir=tmp_path, threads=1), Metrics())
    early = lane_over(repository)
    path = ("paths", "/v1/ct/denoise", "post", "description")
    assert "no model" in reduce(getitem, path, early("GET", "/openapi.json").json())
    asyncio.run(repository.load())
    assert "toy-ct" in reduce(getitem, path, early("GET", "/openapi.json").json())

"""The playground: what is sent of it. The tests of `test_browser*.py` have what a person does with it."""

import re
from pathlib import Path
from urllib.parse import urljoin

import pytest

from service.engine.repository import Repository
from service.http.keys import is_open, new_key
from service.pages import PLAYGROUND
from tests.conftest import Here, assert_refused, lane_over

IMPORTED = re.compile(r'(?:from|import) "(\./[^"]+)"')


def paths() -> list[str]:
    return ["/" if one.name == "index.html" else f"/playground/{one.name}" for one in PLAYGROUND.iterdir()]


def test_all_of_it_is_small_and_typed_and_guarded(lane: Here) -> None:
    answers = {path: lane("GET", path) for path in paths()}
    assert sum(len(one.content) for one in answers.values()) < 150_000
    kinds = {"/": "text/html", ".css": "text/css", ".js": "text/javascript"}
    for path, answer in answers.items():
        assert answer.status_code == 200
        assert answer.headers["content-type"] == f"{kinds[Path(path).suffix or path]}; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "unsafe" not in policy


def test_nothing_of_it_names_another_host(lane: Here) -> None:
    for path in paths():
        text = lane("GET", path).text.replace("http://www.w3.org/2000/svg", "")  # a name, and nothing is asked there
        assert not re.findall(r"//[a-z0-9-]+\.[a-z]", text), path


def test_no_script_stands_in_the_page(lane: Here) -> None:
    page = lane("GET", "/").text
    assert re.findall(r"<script[^>]*>(.*?)</script>", page) == [""]
    assert not re.findall(r"\son\w+=|\sstyle=", page)


def test_its_addresses_hold_behind_a_prefix_and_want_no_key(lane: Here) -> None:
    loaded = {f"/{one}" for one in re.findall(r'(?:src|href)="(playground/[^"]+)"', lane("GET", "/").text)}
    assert len(loaded) == 2
    for path in paths():
        loaded |= {urljoin(path, one) for one in IMPORTED.findall(lane("GET", path).text)}
    assert loaded | {"/"} == set(paths())
    assert all(is_open(path) for path in loaded)


def test_with_keys_the_page_opens_and_the_models_do_not(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(new_key("guest")[1])
    locked = lane_over(repository, api_keys=tmp_path / "keys")
    assert all(locked("GET", path).status_code == 200 for path in paths())
    assert_refused(locked("GET", "/v1/models"), 401, "unauthorized")


@pytest.mark.parametrize("path", ["/playground/", "/playground/index.html", "/playground/../pages.py"])
def test_nothing_else_lies_there(lane: Here, path: str) -> None:
    assert lane("GET", path).status_code == 404

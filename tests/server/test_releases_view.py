"""The view of releases in Chromium: all see the versions, and who has the admin token changes what is served."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.bundle import write_current
from service.release import Release
from tests import toys
from tests.conftest import Running
from tests.server.browsing import SIZES, opened

NAME, TOKEN = "toy-digits", "a token of an admin"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1 is served, and 2 is a candidate."""
    folder = tmp_path_factory.mktemp("releases") / "models"
    for version in ("1", "2"):
        toys.digits(folder, version=version)
    write_current(folder, NAME, "1")
    return folder


@pytest.fixture(scope="module")
def released(browser: Any, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:  # noqa: F811
    env = {"QUARTET_MODELS_DIR": str(models), "QUARTET_ADMIN_TOKEN": TOKEN, "QUARTET_WORKERS": "1"}
    running = Running(tmp_path_factory.mktemp("served"), **env).wait_until_ready()
    yield running
    running.stop()


@pytest.fixture(params=SIZES.values(), ids=SIZES)
def page(browser: Any, released: Running, request: pytest.FixtureRequest) -> Iterator[Any]:  # noqa: F811
    yield from opened(browser, f"{released.url}/", request.param)


def test_versions_are_seen_by_all_and_promoted_with_the_token(page: Any, models: Path) -> None:
    page.goto(f"{page.url.split('#')[0]}#releases")
    page.click(f"main >> text='{NAME}'")
    served = str(Release(models, NAME).served)
    other = "2" if served == "1" else "1"
    page.wait_for_selector(f"td >> text='{served} (served)'")
    assert "there is no verdict on it" in page.locator("tr", has=page.locator(f"td >> text='{other}'")).text_content()
    page.get_by_label("Reason").fill("seen in a browser")
    page.check("text=Without a passed gate")
    page.click("button:has-text('Promote')")
    page.wait_for_selector("[role=status] >> text=/admin token/")
    assert Release(models, NAME).served == served
    page.get_by_label("Admin token").fill(TOKEN)
    page.click("button:has-text('Promote')")
    page.wait_for_selector(f"[role=status] >> text=/from {served} to {other}: seen in a browser/")
    assert Release(models, NAME).served == other
    page.reload()
    page.wait_for_selector(f"td >> text='{other} (served)'")
    page.wait_for_selector("li >> text=/seen in a browser/")

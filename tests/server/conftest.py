"""Chromium, and the page of the service in it."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Running
from tests.server.browsing import SIZES, opened

CHROMIUM = shutil.which("chromium")
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: Debian's package has it")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright comes with the extra dev")
    with sync.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield chromium
        chromium.close()


@pytest.fixture(params=SIZES.values(), ids=SIZES)
def page(browser: Any, server: Running, request: pytest.FixtureRequest) -> Iterator[Any]:
    yield from opened(browser, f"{server.url}/", request.param)


@pytest.fixture
def desktop(browser: Any, server: Running) -> Iterator[Any]:
    yield from opened(browser, f"{server.url}/", SIZES["desktop"])

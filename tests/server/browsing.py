"""The page in Chromium, and what a person does with it."""

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.conftest import PROJECT

SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
EXAMPLES = PROJECT / "docs" / "examples"
SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]
PROGRAMS = {
    "curl": ["bash", "-ec"],
    "Python": [sys.executable, "-c"],
    "JavaScript": ["node", "--input-type=module", "-e"],
}


def opened(browser: Any, url: str, size: tuple[int, int]) -> Iterator[Any]:
    """The page; no script of it may fail, nothing may be wider than the screen, and no other host is asked."""
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
    page = context.new_page()
    failures: list[object] = []
    page.on("pageerror", lambda failure: failures.append(failure))
    page.on("request", lambda one: one.url.startswith((url, "data:", "blob:")) or failures.append(one.url))
    page.set_default_timeout(30_000)
    page.goto(url)
    yield page
    assert not failures
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def draw(page: Any, corners: list[tuple[float, float]]) -> None:
    """A stroke over the paper, whose corners are shares of its sides."""
    paper = page.wait_for_selector("canvas.pen")
    paper.scroll_into_view_if_needed()
    box = paper.bounding_box()
    first, *others = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.mouse.move(*first)
    page.mouse.down()
    for corner in others:
        page.mouse.move(*corner)
    page.mouse.up()


def drop(page: Any, place: str, name: str, body: bytes, kind: str = "") -> None:
    transfer = page.evaluate_handle(
        """([name, text, type]) => {
          const transfer = new DataTransfer();
          transfer.items.add(new File([Uint8Array.from(atob(text), (one) => one.charCodeAt(0))], name, { type }));
          return transfer;
        }""",
        [name, base64.b64encode(body).decode(), kind],
    )
    page.dispatch_event(place, "drop", {"dataTransfer": transfer})


def go(page: Any, view: str) -> None:
    page.click(f"nav >> text={view}")
    page.wait_for_selector(f"h2 >> text={view}")


def fetched(page: Any, button: str) -> bytes:
    with page.expect_download() as download:
        page.click(f"button:has-text('{button}')")
    return Path(download.value.path()).read_bytes()


def shown(page: Any, language: str) -> str:
    page.check(f".tabs >> text={language}")
    return str(page.locator(".exchange pre").text_content())


def run_what_is_shown(page: Any, folder: Path, said: str, **env: str) -> None:
    """In each language, beside the files that the page names; `said` is in what it prints, or the file it writes."""
    for language, program in PROGRAMS.items():
        if shutil.which(program[0]) is None:
            continue
        script = shown(page, language).replace("curl -s", "curl -s --fail-with-body")
        written = folder / said
        written.unlink(missing_ok=True)
        command = [*program, script]
        ran = subprocess.run(command, cwd=folder, env=os.environ | env, capture_output=True, timeout=120, check=False)
        assert ran.returncode == 0, (language, script, ran.stderr)
        assert written.exists() or said in ran.stdout.decode().replace('"', "'"), (language, ran.stdout)

"""The page in Chromium behind a proxy that puts a prefix before the paths, with API keys and a toy of every kind."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from onnx import helper

from service.bundle import SampleGeneration, Tensor
from service.http.keys import new_key
from tests import toys
from tests.conftest import Running
from tests.server.browsing import EXAMPLES, SEVEN, SIZES, draw, drop, go, opened, run_what_is_shown

PREFIX = "/team/quartet"
HOPS = ("host", "connection", "content-length", "content-encoding", "transfer-encoding")


class Locked(NamedTuple):
    url: str
    key: str


@pytest.fixture(scope="module")
def locked(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    """The toys behind a prefix, for those with a key."""
    folder = tmp_path_factory.mktemp("locked")
    models = toys.all_of_them(folder / "models")
    plane(models)
    key, line = new_key("guest")
    (folder / "keys").write_text(line)
    env = {"QUARTET_MODELS_DIR": str(models), "QUARTET_API_KEYS": str(folder / "keys"), "QUARTET_WORKERS": "1"}
    running = Running(folder / "server", **env).wait_until_ready()
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), proxy_to(running.url))
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    yield Locked(f"http://127.0.0.1:{proxy.server_port}{PREFIX}/", key)
    proxy.shutdown()
    proxy.server_close()
    running.stop()


@pytest.fixture(params=SIZES.values(), ids=SIZES)
def toy_page(browser: Any, locked: Locked, request: pytest.FixtureRequest) -> Iterator[Any]:
    """The page behind the prefix, with a key filled in."""
    for page in opened(browser, locked.url, request.param):
        page.fill("#key", locked.key)
        page.press("#key", "Enter")
        page.wait_for_selector("canvas.pen")
        yield page


def proxy_to(url: str) -> type[BaseHTTPRequestHandler]:
    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(f"{PREFIX}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")
            }
            answer = httpx.request(
                self.command, url + self.path.removeprefix(PREFIX), headers=headers, content=body, timeout=60
            )
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name not in HOPS:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_POST = do_GET  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Proxy


def plane(models: Path) -> None:
    """Draws its two numbers, each as half of a picture of 8x8."""
    halves = np.repeat(np.eye(2, dtype=np.float32) * 40, 32, axis=1)
    latent = np.array([[0, 0], [1, -1]], np.float32)
    toys.write(
        models,
        "toy-plane",
        SampleGeneration(latent_size=2),
        [
            helper.make_node("MatMul", ["latent", "halves"], ["flat"]),
            helper.make_node("Add", ["flat", "grey"], ["lighter"]),
            helper.make_node("Reshape", ["lighter", "sides"], ["image"]),
        ],
        {"halves": halves, "grey": np.float32(128), "sides": np.array([-1, 8, 8])},
        [Tensor(name="latent", dtype="float32", shape=("batch", 2))],
        [Tensor(name="image", dtype="float32", shape=("batch", 8, 8), range=(0, 255))],
        ({"latent": latent}, {"image": (latent @ halves + 128).reshape(-1, 8, 8)}),
    )


def test_the_request_of_somebody_with_a_key_takes_it_from_the_environment(
    browser: Any, locked: Locked, tmp_path: Path
) -> None:
    for page in opened(browser, locked.url, SIZES["desktop"]):
        page.fill("#key", locked.key)
        page.press("#key", "Enter")
        go(page, "Credit")
        page.wait_for_selector("text=/(Approve|Decline|decides): .* %/")
        run_what_is_shown(page, tmp_path, "default_probability", QUARTET_KEY=locked.key)


def test_without_a_key_the_page_says_where_it_goes(browser: Any, locked: Locked) -> None:
    for page in opened(browser, locked.url, SIZES["desktop"]):
        page.wait_for_selector("text=/The field for it is at the top/")


def test_behind_a_prefix_and_with_a_key_all_views_answer(toy_page: Any, locked: Locked) -> None:
    draw(toy_page, SEVEN)
    toy_page.wait_for_selector("text=/% sure|Not a digit/")
    request = toy_page.locator("pre").first.text_content()
    assert f"{PREFIX}/v1/digits/classify" in request
    assert "$QUARTET_KEY" in request
    assert locked.key not in toy_page.content()
    go(toy_page, "Credit")
    toy_page.wait_for_selector("text=/(Approve|Decline|decides): .* %/")
    go(toy_page, "CT")
    drop(toy_page, ".drop", "slice.dcm", (EXAMPLES / "slice.dcm").read_bytes())
    toy_page.wait_for_selector("canvas.window")
    go(toy_page, "Samples")
    toy_page.wait_for_selector(".sheet img")


def test_a_plane_of_codes_is_drawn_and_moved_in(toy_page: Any) -> None:
    toy_page.goto(f"{toy_page.url.split('#')[0]}#samples/toy-plane")
    toy_page.click("text=Draw the grid")
    toy_page.wait_for_selector(".grid img >> nth=80")
    toy_page.get_by_label("second number").fill("1")
    toy_page.wait_for_selector("img[alt='The sample of this code']")


def test_samples_are_translated(toy_page: Any) -> None:
    toy_page.goto(f"{toy_page.url.split('#')[0]}#samples/toy-plane")
    toy_page.wait_for_selector("text=/24 samples/")
    toy_page.click("text=Translate the samples")
    toy_page.wait_for_selector("img[alt='sample 24, translated']")


@pytest.mark.parametrize("name", ["toy-negatives", "toy-translations"])
def test_pictures_are_made_of_pictures(toy_page: Any, name: str) -> None:
    go(toy_page, "Models")
    toy_page.click(f"text='{name}'")
    toy_page.wait_for_selector(".drop")
    drop(toy_page, ".drop", "seven.png", (EXAMPLES / "seven.png").read_bytes(), "image/png")
    toy_page.wait_for_selector("img[alt=After]")


def test_every_kind_of_toy_has_a_form(toy_page: Any) -> None:
    go(toy_page, "Models")
    names = toy_page.locator("tbody a").all_text_contents()
    assert len(names) > len(toys.NAMES)
    for name in names:
        toy_page.goto(f"{toy_page.url.split('#')[0]}#models/{name}")
        toy_page.wait_for_selector(f"h2 >> text='{name}'")
        assert toy_page.locator(".card :is(form, .drop)").count()

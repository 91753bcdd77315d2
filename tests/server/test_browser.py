"""The playground in Chromium: what a person draws, fills in and drops, and what is shown for it.

On two sizes; and once behind a proxy that puts a prefix before the paths, with API keys and a toy of every kind.
"""

import base64
import io
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from onnx import helper
from PIL import Image
from pydicom import dcmread

from service.bundle import SampleGeneration, Tensor
from service.http.keys import new_key
from tests import toys
from tests.conftest import PROJECT, Running, npy
from training.data import german_credit

CHROMIUM = shutil.which("chromium")
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync"
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
PREFIX = "/team/quartet"
EXAMPLES = PROJECT / "docs" / "examples"
SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]
HOPS = ("host", "connection", "content-length", "content-encoding", "transfer-encoding")
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("there is no chromium here: Debian's package has it")
    sync = pytest.importorskip("playwright.sync_api", reason="playwright comes with the extra dev")
    with sync.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield chromium
        chromium.close()


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


@pytest.fixture(params=SIZES.values(), ids=SIZES)
def page(browser: Any, server: Running, request: pytest.FixtureRequest) -> Iterator[Any]:
    yield from opened(browser, f"{server.url}/", request.param)


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


def canvas_mean(page: Any, share: float) -> float:
    """Of the grey levels of a column of the slice that is shown."""
    mean = page.evaluate(
        """(share) => {
          const canvas = document.querySelector("canvas.window");
          const left = Math.floor(share * canvas.width);
          const column = canvas.getContext("2d").getImageData(left, 0, 1, canvas.height).data;
          return column.reduce((sum, one) => sum + one, 0) / column.length;
        }""",
        share,
    )
    return float(mean)


def test_a_drawn_seven_is_read(page: Any) -> None:
    draw(page, SEVEN)
    page.wait_for_selector("text=/7, .* % sure/")
    assert page.locator(".bars tr").count() == 10
    request = page.locator("pre").first
    assert "--data-binary @'drawing.png'" in request.text_content()
    for language, word in (("Python", "httpx.post"), ("JavaScript", "await fetch"), ("Answer", '"predictions"')):
        page.check(f".tabs >> text={language}")
        assert word in request.text_content()


def test_a_scribble_is_told_from_a_digit_and_cleared(page: Any) -> None:
    rng = np.random.default_rng(3)
    draw(page, [tuple(corner) for corner in rng.uniform(0.1, 0.9, (14, 2)).tolist()])
    page.wait_for_selector(".verdict.bad >> text=Not a digit")
    page.click("text=Clear")
    page.wait_for_selector("text=Draw a digit.")


def test_several_drawn_digits_have_boxes(page: Any) -> None:
    page.check("text=several digits")
    for left in (0.02, 0.52):
        draw(page, [(left + x * 0.46, y) for x, y in SEVEN])
    page.wait_for_selector("text=Read: 7 7")
    assert page.locator(".box").count() == 2
    (first, second) = [one.bounding_box() for one in page.locator(".box").all()]
    assert first["x"] + first["width"] <= second["x"]


def test_a_dropped_picture_is_read_and_explained(page: Any) -> None:
    drop(page, ".drop", "seven.png", (EXAMPLES / "seven.png").read_bytes(), "image/png")
    page.wait_for_selector("text=/7, .* % sure/")
    page.check("text=explain")
    page.wait_for_selector("img[alt='What speaks for it']")
    assert "--data-binary @'seven.png'" in page.locator("pre").first.text_content()


def test_a_credit_decision_follows_the_form_and_has_its_reasons(page: Any) -> None:
    go(page, "Credit")
    page.wait_for_selector("text=/(Approve|Decline): .* % probability of default/")
    assert page.locator(".fields label").count() == 20
    page.select_option("#field-checking_account", "none")
    page.fill("#field-duration_months", "6")
    page.fill("#field-credit_amount", "900")
    page.wait_for_selector("pre:has-text('\"credit_amount\":900')")
    before = page.text_content(".verdict")
    page.fill("#field-duration_months", "72")
    page.wait_for_function("before => document.querySelector('.verdict').textContent !== before", arg=before)
    texts = page.locator(".waterfall td:last-child").all_text_contents()
    points = [float(text.replace("−", "-")) for text in texts]
    assert len(points) >= 3
    assert sum(points[:-1]) == pytest.approx(points[-1], abs=0.4)


def test_a_csv_of_applicants_comes_back_with_scores(page: Any) -> None:
    rows = [{name: value for name, value in row.items() if name != "risk"} for row in german_credit()[:5]]
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    go(page, "Credit")
    drop(page, ".drop", "applicants.csv", "\n".join(lines).encode(), "text/csv")
    page.wait_for_selector("text=/5 applicants, [0-5] declined/")
    assert page.locator(".scroll tbody tr").count() == 5
    header, *scored = fetched(page, "Save the CSV").decode().splitlines()
    assert header.endswith(",default_probability,decision")
    assert [line.rsplit(",", 2)[0] for line in scored] == lines[1:]


def test_a_slice_is_shown_before_and_after(page: Any) -> None:
    go(page, "CT")
    drop(page, ".drop", "slice.dcm", (EXAMPLES / "slice.dcm").read_bytes())
    page.wait_for_selector("text=/Noise found: [0-9.]+ HU before, [0-9.]+ HU after. Changed by [0-9.]+ HU/")
    after = canvas_mean(page, 0.65)
    page.get_by_label("before and after").fill("80")
    assert canvas_mean(page, 0.65) != after
    lit = canvas_mean(page, 0.5)
    page.get_by_label("window").select_option("lung")
    page.wait_for_selector("pre:has-text('window=lung')")
    page.get_by_label("strength").fill("0")
    page.wait_for_selector("text=/Changed by 0.0 HU/")
    assert canvas_mean(page, 0.5) != lit
    assert dcmread(io.BytesIO(fetched(page, "Download as DICOM"))).ImageType[0] == "DERIVED"
    page.check("text=difference")
    page.wait_for_selector("text=/After minus before/")


def test_dragging_over_a_slice_changes_its_window(page: Any) -> None:
    go(page, "CT")
    drop(page, ".drop", "slice.dcm", (EXAMPLES / "slice.dcm").read_bytes())
    shown = page.wait_for_selector("canvas.window")
    shown.scroll_into_view_if_needed()
    box = shown.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 100, box["y"] + 50)
    page.mouse.up()
    assert page.get_by_label("window").input_value() == "own"
    assert page.get_by_label("width", exact=True).input_value() == "1600"
    page.wait_for_selector("pre:has-text('window=-300%2F1600')")


def test_several_slices_are_leafed_through_and_come_back_as_a_zip(page: Any) -> None:
    go(page, "CT")
    page.set_input_files("input[type=file]", [EXAMPLES / "slice.dcm", EXAMPLES / "slice.dcm"])
    page.wait_for_selector("text=/Noise found/")
    with page.expect_response("**/v1/ct/denoise?*"):
        page.get_by_label("slice", exact=True).fill("2")
    assert fetched(page, "Download as DICOM")[:2] == b"PK"
    assert "-F 'dicom=@slice.dcm'" in page.locator("pre").first.text_content()


def test_an_array_wants_the_size_of_its_pixels(page: Any) -> None:
    go(page, "CT")
    drop(page, ".drop", "slice.npy", npy(np.full((32, 32), 40, np.float32)))
    page.wait_for_selector(".problem >> text=/spacing_mm/")
    page.get_by_label("size of a pixel, mm").fill("0.6")
    page.wait_for_selector("canvas.window")


def test_samples_have_a_label_and_a_seed(page: Any) -> None:
    go(page, "Samples")
    page.get_by_label("label").select_option("7")
    page.get_by_label("count").fill("5")
    page.wait_for_selector("text=5 samples of seed 1")
    images = page.locator(".sheet img")
    assert [one.get_attribute("alt") for one in images.all()] == ["a 7"] * 5
    first = images.first.get_attribute("src")
    page.get_by_label("seed", exact=True).fill("2")
    page.wait_for_selector("text=5 samples of seed 2")
    assert images.first.get_attribute("src") != first
    with Image.open(io.BytesIO(fetched(page, "Download"))) as sheet:
        assert sheet.format == "PNG"


def test_a_view_opens_with_the_model_that_answers_where_none_is_named(page: Any, server: Running) -> None:
    models = httpx.get(f"{server.url}/v1/models").json()["models"]
    (default,) = (one["name"] for one in models if one["kind"] == "sample-generation" and one["default"])
    go(page, "Samples")
    assert page.get_by_label("model").input_value() == default


def test_samples_are_walked_from_one_to_another(page: Any) -> None:
    go(page, "Samples")
    page.wait_for_selector("text=/24 samples/")
    page.get_by_label("way").fill("3")
    between = page.wait_for_selector("img[alt='The sample between the two']")
    third = between.get_attribute("src")
    page.get_by_label("way").fill("16")
    page.wait_for_function("third => document.querySelector('img.pixels').src !== third", arg=third)
    assert '"interpolate":[1,2]' in page.locator("pre").first.text_content()


PROBABILITIES = "[aria-label='Probability of each label']"
ASKED = {
    "adult-income": PROBABILITIES,
    "house-price": ".verdict",
    "multilabel": PROBABILITIES,
    "text-sentiment": PROBABILITIES,
    "gru": "svg",
    "sales-forecast": "tbody tr >> nth=2",
    "intersection-rnn": "pre",
}


@pytest.mark.parametrize("name", ASKED)
def test_a_form_from_the_signature_asks_a_model(page: Any, name: str) -> None:
    go(page, "Models")
    page.click(f"main >> text='{name}'")
    page.wait_for_selector("article.card")
    page.click("button:has-text('Ask')")
    page.wait_for_selector(f".result {ASKED[name]}")
    assert not page.is_visible(".problem")


def test_what_a_model_was_asked_lately_is_compared_with_its_training(page: Any) -> None:
    page.goto(f"{page.url.split('#')[0]}#models/credit")
    page.click("text=Compare lately with training")
    page.wait_for_selector("td >> text=credit_amount")


def test_a_card_shows_its_pictures(page: Any) -> None:
    page.goto(f"{page.url.split('#')[0]}#models/credit")
    picture = page.wait_for_selector("article img[alt='Learning curve']")
    assert picture.evaluate("one => one.decode().then(() => one.naturalWidth)") > 100
    page.wait_for_function("[...document.querySelectorAll('article figure')].every((one) => one.querySelector('img'))")


def test_the_words_of_a_text_are_marked(page: Any) -> None:
    page.goto(f"{page.url.split('#')[0]}#models/text-sentiment")
    page.get_by_label("text", exact=True).fill("😀 I hate this dull film.")
    page.check("text=explain")
    page.wait_for_selector("mark >> text=hate")


def test_a_picture_is_dropped_on_a_classifier(page: Any) -> None:
    page.goto(f"{page.url.split('#')[0]}#models/fashion-cnn")
    page.wait_for_selector(".drop")
    drop(page, ".drop", "boot.png", (EXAMPLES / "boot.png").read_bytes(), "image/png")
    page.wait_for_selector(".verdict >> text=ankle boot")


PROGRAMS = {
    "curl": ["bash", "-ec"],
    "Python": [sys.executable, "-c"],
    "JavaScript": ["node", "--input-type=module", "-e"],
}


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


@pytest.fixture
def desktop(browser: Any, server: Running) -> Iterator[Any]:
    yield from opened(browser, f"{server.url}/", SIZES["desktop"])


def test_the_request_that_is_shown_runs_in_every_language(desktop: Any, tmp_path: Path) -> None:
    draw(desktop, SEVEN)
    desktop.wait_for_selector("text=/7, .* % sure/")
    (tmp_path / "drawing.png").write_bytes(fetched(desktop, "Save drawing.png"))
    run_what_is_shown(desktop, tmp_path, "digit")
    go(desktop, "Credit")
    desktop.wait_for_selector(".waterfall")
    run_what_is_shown(desktop, tmp_path, "default_probability")
    go(desktop, "Samples")
    desktop.wait_for_selector("text=/24 samples/")
    assert fetched(desktop, "Download")
    run_what_is_shown(desktop, tmp_path, "answer.png")
    desktop.goto(f"{desktop.url.split('#')[0]}#models/linear-housing")
    desktop.click("button:has-text('Ask')")
    desktop.wait_for_selector(".result > *")
    run_what_is_shown(desktop, tmp_path, "price")


def test_the_request_for_a_series_runs_in_every_language(desktop: Any, tmp_path: Path) -> None:
    for name in ("one slice.dcm", "it's two.dcm"):
        shutil.copy(EXAMPLES / "slice.dcm", tmp_path / name)
    go(desktop, "CT")
    desktop.set_input_files("input[type=file]", sorted(tmp_path.iterdir()))
    desktop.wait_for_selector("text=/Noise found/")
    run_what_is_shown(desktop, tmp_path, "answer.png")
    assert fetched(desktop, "Download as DICOM")
    run_what_is_shown(desktop, tmp_path, "answer.zip")


def test_the_request_of_somebody_with_a_key_takes_it_from_the_environment(
    browser: Any, locked: Locked, tmp_path: Path
) -> None:
    for page in opened(browser, locked.url, SIZES["desktop"]):
        page.fill("#key", locked.key)
        page.press("#key", "Enter")
        go(page, "Credit")
        page.wait_for_selector("text=/(Approve|Decline|decides): .* %/")
        run_what_is_shown(page, tmp_path, "default_probability", QUARTET_KEY=locked.key)


LONG_MS = 150_000
VIEWS = ("digits", "credit", "ct", "samples", "models", "models/gru", "models/text-sentiment", "models/adult-income")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_view_has_a_serious_barrier(page: Any, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe comes with the extra dev").Axe()
    page.emulate_media(color_scheme=scheme)
    for view in VIEWS:
        page.goto(f"{page.url.split('#')[0]}#{view}")
        page.wait_for_function("view => document.querySelector('main h2') && location.hash === `#${view}`", arg=view)
        if view == "digits":
            draw(page, SEVEN)
            page.wait_for_selector(".bars")
        elif view == "ct":
            page.set_input_files("input[type=file]", EXAMPLES / "slice.dcm")
            page.wait_for_selector("canvas.window", timeout=LONG_MS)  # a whole slice, beside other tests
        elif view == "credit":
            page.wait_for_selector(".waterfall")
        elif view == "samples":
            page.wait_for_selector(".sheet img")
        elif "/" in view:
            page.wait_for_selector("article.card")
            page.click("button:has-text('Ask')")
            page.wait_for_selector(".result > *")
        found = axe.run(page).response["violations"]
        assert not [(one["id"], one["nodes"][0]["html"][:200]) for one in found if one["impact"] in SERIOUS], view


def test_the_keyboard_alone_draws_and_goes_about(page: Any) -> None:
    page.wait_for_selector("canvas.pen")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "pen"
    for key, times in (("ArrowUp", 12), ("Shift+ArrowDown", 24)):
        for _ in range(times):
            page.keyboard.press(key)
    page.wait_for_selector("text=/1, .* % sure/")
    page.focus("nav a")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("h2 >> text=Credit")
    assert page.evaluate("document.activeElement.id") == "main"
    page.focus("#field-duration_months")
    before = page.locator("pre").first.text_content()
    page.keyboard.press("ArrowUp")
    page.wait_for_function("before => document.querySelector('pre').textContent !== before", arg=before)


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


def test_pictures_are_made_of_pictures(toy_page: Any) -> None:
    go(toy_page, "Models")
    toy_page.click("text='toy-negatives'")
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

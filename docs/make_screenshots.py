"""Make the pictures of the playground from a running service, in Chromium: `python docs/make_screenshots.py [URL]`."""

import io
import shutil
import sys
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
SEVEN = [(0.3, 0.25), (0.7, 0.25), (0.45, 0.8)]
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
# The applicant is drawn at random: the same one each time.
DRAWS = "let last = 7; Math.random = () => (last = (last * 16807) % 2147483647) / 2147483647"
KEPT = {
    ("digits", "desktop", "light"),
    ("credit", "desktop", "light"),
    ("ct", "desktop", "dark"),
    ("digits", "phone", "dark"),
}


def main(url: str, everything: Path | None) -> None:
    """Those that the documentation shows; or all views, sizes and schemes into the folder `everything`."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS.split())
        for size, (width, height) in SIZES.items():
            for scheme in ("light", "dark"):
                page = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
                page.add_init_script(DRAWS)
                for view, prepare in VIEWS.items():
                    if everything is None and (view, size, scheme) not in KEPT:
                        continue
                    page.goto(f"{url}/#{view}")
                    prepare(page)
                    page.evaluate("scrollTo(0, 0)")
                    page.wait_for_timeout(500)
                    name = f"playground-{view.replace('/', '-')}-{size}-{scheme}.png"
                    write(page.screenshot(full_page=everything is not None), (everything or DOCS / "pictures") / name)
                page.close()
        chromium.close()


def digits(page: Any) -> None:
    page.check("text=several digits")
    for left in (0.02, 0.52):
        box = page.wait_for_selector("canvas.pen").bounding_box()
        first, *others = [(box["x"] + (left + 0.46 * x) * box["width"], box["y"] + y * box["height"]) for x, y in SEVEN]
        page.mouse.move(*first)
        page.mouse.down()
        for corner in others:
            page.mouse.move(*corner)
        page.mouse.up()
    page.wait_for_selector("text=Read: 7 7")
    page.check("text=explain")
    page.wait_for_selector("img[alt='What speaks for it']")


def credit(page: Any) -> None:
    page.wait_for_selector("#field-checking_account")
    page.select_option("#field-checking_account", "below_0")
    page.fill("#field-duration_months", "36")
    page.wait_for_selector(".waterfall")


def ct(page: Any) -> None:
    page.wait_for_selector("h2 >> text=CT")
    page.set_input_files("input[type=file]", DOCS / "examples" / "slice.dcm")
    page.wait_for_selector("canvas.window")


def samples(page: Any) -> None:
    page.get_by_label("way").fill("8")
    page.wait_for_selector("img[alt='The sample between the two']")
    page.get_by_label("seed", exact=True).fill("2")
    page.wait_for_selector("text=of seed 2")


def listed(page: Any) -> None:
    page.wait_for_selector("tbody a")


def asked(page: Any) -> None:
    page.click("button:has-text('Ask')")
    page.wait_for_selector(".result > *")


VIEWS = {
    "digits": digits,
    "credit": credit,
    "ct": ct,
    "samples": samples,
    "models": listed,
    "models/gru": asked,
    "models/text-sentiment": asked,
    "models/sales-forecast": asked,
}


def write(png: bytes, path: Path) -> None:
    """In 256 colours, which halves the file."""
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    main(given[0] if given else "http://127.0.0.1:3000", Path(given[1]) if len(given) > 1 else None)

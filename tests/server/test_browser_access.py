"""The page in Chromium for everybody: without a mouse, and without a serious barrier."""

from typing import Any

import pytest

from tests.server.browsing import EXAMPLES, SEVEN, draw

SERIOUS = ("serious", "critical")
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
            page.wait_for_selector("text=Choose a slice.")  # the view before has a field for files, too
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

"""Digits on the page, in Chromium: drawn, dropped, read and explained."""

from typing import Any

import numpy as np

from tests.server.browsing import EXAMPLES, SEVEN, draw, drop


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

"""Models on the page, in Chromium: cards, and the forms that come from signatures."""

from typing import Any

import pytest

from tests.server.browsing import EXAMPLES, drop, go

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

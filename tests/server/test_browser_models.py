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


@pytest.mark.parametrize("typed", ["image/webp", ""])
def test_a_clip_is_told_and_a_picture_that_is_none_leaves_no_answer(page: Any, typed: str) -> None:
    page.goto(f"{page.url.split('#')[0]}#models/conv-lstm")
    page.wait_for_selector(".drop")
    drop(page, ".drop", "penguin.webp", (EXAMPLES / "penguin.webp").read_bytes(), typed)
    page.wait_for_selector(".verdict >> text=animal")
    page.wait_for_selector(f".result {PROBABILITIES}")
    shown = page.locator("img[alt='The clip that was sent']")
    assert shown.evaluate("one => one.decode().then(() => one.naturalWidth)") > 0
    assert not page.is_visible(".problem")
    drop(page, ".drop", "seven.png", (EXAMPLES / "seven.png").read_bytes(), "image/png")
    page.wait_for_selector(".problem >> text=/No clip but one picture/")
    assert page.locator(".result > *").count() == 0
    drop(page, ".drop", "penguin.webp", (EXAMPLES / "penguin.webp").read_bytes(), typed)
    page.wait_for_selector(".verdict >> text=animal")
    assert not page.is_visible(".problem")


def test_a_picture_is_dropped_on_a_reader_of_digits(page: Any) -> None:
    page.goto(f"{page.url.split('#')[0]}#models/convnet")
    page.wait_for_selector(".drop")
    drop(page, ".drop", "seven.png", (EXAMPLES / "seven.png").read_bytes(), "image/png")
    page.wait_for_selector(".verdict >> text=7")
    assert page.locator(".bars tr").count() == 10


def test_many_rows_come_as_a_file(page: Any) -> None:
    page.goto(f"{page.url.split('#')[0]}#models/linear-housing")
    page.wait_for_selector(".drop")
    drop(page, ".drop", "houses.csv", b"area,bedrooms\n2000,3\n1500,2\n", "text/csv")
    page.wait_for_selector("text=2 rows.")
    assert page.locator(".result tbody tr").count() == 2
    drop(page, ".drop", "houses.csv", b"area,bedrooms\n2000,many\n", "text/csv")
    page.wait_for_selector(".problem >> text=/number/")
    assert page.locator(".result > *").count() == 0


@pytest.mark.parametrize(
    ("name", "label", "said"),
    [
        ("gru", "values, one a month", "A series is numbers"),
        ("sales-forecast", "earlier years, a line of twelve months each", "Each line is a year"),
        ("intersection-rnn", "numbers", "A tensor is written as JSON"),
    ],
)
def test_what_cannot_be_sent_is_said_in_place_of_an_earlier_problem(
    page: Any, name: str, label: str, said: str
) -> None:
    page.goto(f"{page.url.split('#')[0]}#models/{name}")
    field = page.get_by_label(label, exact=True)
    field.fill({"gru": "1e300", "sales-forecast": " ".join(["1"] * 12), "intersection-rnn": "[[1]]"}[name])
    page.click("button:has-text('Ask')")
    page.wait_for_selector(".problem:visible")
    field.fill("one two")
    page.click("button:has-text('Ask')")
    page.wait_for_selector(f".result >> text={said}")
    assert not page.is_visible(".problem")

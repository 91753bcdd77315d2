"""Samples on the page, in Chromium."""

import io
from typing import Any

import httpx
from PIL import Image

from tests.conftest import Running
from tests.server.browsing import fetched, go


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

"""Image classification: the media of digits, the labels of things, no search for strokes."""

import base64
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.codecs.pictures import write_png
from service.messages import NPY
from tests import toys
from tests.conftest import Here, assert_refused, npy

PATH = "/v1/images/classify?model=toy-images"
PNG = {"content-type": "image/png"}
THING = np.random.default_rng(7).integers(0, 256, (28, 28), np.uint8)
ONE = [[0] * 28] * 28


def probabilities(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.array([one["probabilities"] for one in response.json()["predictions"]])


@pytest.mark.parametrize("form", ["png", "npy", "numbers", "base64", "part"])
def test_every_way_to_send_a_picture_gives_one_answer(lane: Here, form: str) -> None:
    png = write_png(THING)
    requests: dict[str, dict[str, Any]] = {
        "png": {"content": png, "headers": PNG},
        "npy": {"content": npy(THING), "headers": {"content-type": NPY}},
        "numbers": {"json": {"images": [THING.tolist()]}},
        "base64": {"json": {"images": [base64.b64encode(png).decode()]}},
        "part": {"files": [("image", ("thing.png", png))]},
    }
    response = lane("POST", PATH, **requests[form])
    np.testing.assert_allclose(probabilities(response), toys.things(THING[None].astype(np.float32)), atol=1e-6)
    (one,) = response.json()["predictions"]
    assert one.keys() == {"label", "confidence", "probabilities"}
    assert one["label"] == ("shirt", "sneaker", "bag")[int(np.argmax(one["probabilities"]))]
    assert one["confidence"] == max(one["probabilities"])


def test_a_picture_of_another_size_is_resized_and_not_cropped(lane: Here) -> None:
    large = np.kron(THING, np.ones((5, 8), np.uint8))
    resized = np.asarray(Image.fromarray(large).resize((28, 28), Image.Resampling.BICUBIC))
    response = lane("POST", PATH, content=write_png(large), headers=PNG)
    np.testing.assert_allclose(probabilities(response), toys.things(resized[None].astype(np.float32)), atol=1e-6)


def test_colours_become_grey(lane: Here) -> None:
    coloured = np.random.default_rng(8).integers(0, 256, (28, 28, 3), np.uint8)
    grey = np.asarray(Image.fromarray(coloured).convert("L"))
    response = lane("POST", PATH, content=write_png(coloured), headers=PNG)
    np.testing.assert_allclose(probabilities(response), toys.things(grey[None].astype(np.float32)), atol=1e-6)


def test_a_model_of_another_kind_is_refused(lane: Here) -> None:
    """A model of digits is none of things, nor the other way round."""
    for path in ("/v1/images/classify?model=toy-digits", "/v1/digits/classify?model=toy-images"):
        assert_refused(lane("POST", path, json={"images": [ONE]}), 404, "unknown_model", "model")


@pytest.mark.parametrize(
    ("query", "body", "code", "field"),
    [
        ("&many=true", {"images": [base64.b64encode(write_png(THING)).decode()]}, "invalid_value", "many"),
        ("&many=true", {"images": [ONE]}, "invalid_value", "many"),
        ("&explain=true", {"images": [ONE]}, "not_explainable", "model"),
        ("", {"images": [[[0] * 27] * 28]}, "invalid_shape", "images"),
        ("", {"images": []}, "invalid_shape", "images"),
        ("", {"images": [ONE] * 33}, "too_many_rows", "images"),
        ("", {}, "invalid_value", "images"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    lane: Here, query: str, body: dict[str, Any], code: str, field: str
) -> None:
    assert_refused(lane("POST", PATH + query, json=body), 422, code, field)

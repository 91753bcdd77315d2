"""Digit classification: every way to send a picture gives the graph the same numbers."""

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from service.codecs.pictures import write_png
from service.limits import Limits
from service.messages import NPY, Payload
from service.repository import Repository
from service.tasks.digits import prepare
from tests import toys
from tests.conftest import Here, assert_refused, npy
from training.data.images import Images

PATH = "/v1/digits/classify?model=toy-digits"
JSON = {"content-type": "application/json"}


def probabilities(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.array([one["probabilities"] for one in response.json()["predictions"]])


@pytest.fixture
def seven(digits: Images) -> np.ndarray:
    return digits.pixels[0]


@pytest.fixture
def expected(seven: np.ndarray) -> np.ndarray:
    return toys.probabilities(seven[None].astype(np.float32))


def test_a_prediction_is_the_likeliest_digit_with_its_probability(lane: Here, digits: Images) -> None:
    answer = lane("POST", PATH, content=npy(digits.pixels[:5]), headers={"content-type": NPY}).json()
    assert answer["model"] == {"name": "toy-digits", "version": "1"}
    for one in answer["predictions"]:
        assert one["digit"] == int(np.argmax(one["probabilities"]))
        assert one["confidence"] == max(one["probabilities"])
        assert sum(one["probabilities"]) == pytest.approx(1, abs=1e-5)


def test_a_picture_in_the_style_of_mnist_is_taken_as_it_is(lane: Here, seven: np.ndarray, expected: np.ndarray) -> None:
    response = lane("POST", PATH, content=write_png(seven), headers={"content-type": "image/png"})
    np.testing.assert_allclose(probabilities(response), expected, atol=1e-6)


@pytest.mark.parametrize("dtype", ["u1", "<i8", ">f4", "<f8", "<f2"])
def test_npy_of_any_number_type_is_read(lane: Here, seven: np.ndarray, expected: np.ndarray, dtype: str) -> None:
    response = lane("POST", PATH, content=npy(seven.astype(dtype)), headers={"content-type": NPY})
    np.testing.assert_allclose(probabilities(response), expected, atol=1e-6)


def test_json_takes_numbers_and_base64(lane: Here, seven: np.ndarray, expected: np.ndarray) -> None:
    text = base64.b64encode(write_png(seven)).decode()
    for image in (seven.tolist(), (seven * 1.0).tolist(), text, f"data:image/png;base64,{text}"):
        response = lane("POST", PATH, json={"images": [image]})
        np.testing.assert_allclose(probabilities(response), expected, atol=1e-6)


def test_parts_are_answered_in_their_order(lane: Here, digits: Images) -> None:
    parts = [("image", (f"{i}.png", write_png(digits.pixels[i]))) for i in range(3)]
    expected = toys.probabilities(digits.pixels[:3].astype(np.float32))
    response = lane("POST", "/v1/digits/classify", files=parts, data={"model": "toy-digits"})
    np.testing.assert_allclose(probabilities(response), expected, atol=1e-6)


def test_a_scan_in_black_on_white_is_made_the_way_mnist_was(repository: Repository, digits: Images) -> None:
    """Eight times as large, on white paper, in a corner: the graph sees the test digit again."""
    manifest, limits = repository.models["toy-digits"].manifest, Limits(1, 2**20)
    likeness = []
    for picture in digits.pixels[:100]:
        scan = np.full((400, 300), 255, np.uint8)
        scan[40 : 40 + 224, 10 : 10 + 224] = 255 - np.kron(picture, np.ones((8, 8), np.uint8))
        seen = prepare(Payload([scan]), manifest, limits)["image"][0]
        likeness.append(np.corrcoef(seen.ravel(), picture.ravel())[0, 1])
    assert np.quantile(likeness, 0.1) > 0.98


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (28, 28), (27, 29)])
@pytest.mark.parametrize("grey", [0, 255])
def test_an_empty_page_of_any_size_is_answered(lane: Here, size: tuple[int, int], grey: int) -> None:
    png = write_png(np.full(size, grey, np.uint8))
    response = lane("POST", PATH, content=png, headers={"content-type": "image/png"})
    assert probabilities(response).shape == (1, 10)


ONE = [[0] * 28] * 28


@pytest.mark.parametrize(
    ("images", "status", "code", "field"),
    [
        ([[[0] * 27] * 28], 422, "invalid_shape", "images"),
        ([ONE, ONE[:-1]], 422, "invalid_shape", "images"),
        ([0, 1], 422, "invalid_shape", "images"),
        ([], 422, "invalid_shape", "images"),
        ([[[256] + [0] * 27] + ONE[1:]], 422, "invalid_value", "images"),
        ([[[-1] + [0] * 27] + ONE[1:]], 422, "invalid_value", "images"),
        ([[["0"] * 28] * 28], 422, "invalid_value", "images"),
        ([None], 422, "invalid_value", "images"),
        ("picture", 422, "invalid_value", "images"),
        (["not base64!"], 400, "malformed_body", "images[0]"),
        (["aGVsbG8="], 400, "malformed_body", "images[0]"),
        ([base64.b64encode(write_png(np.zeros((28, 28), np.uint8))).decode(), 7], 422, "invalid_value", "images[1]"),
        ([ONE] * 33, 422, "too_many_rows", "images"),
    ],
)
def test_wrong_images_are_refused_at_their_field(lane: Here, images: Any, status: int, code: str, field: str) -> None:
    assert_refused(lane("POST", PATH, json={"images": images}), status, code, field)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1, 255.5])
def test_an_array_with_a_number_out_of_range_is_refused(lane: Here, wrong: float) -> None:
    images = np.zeros((2, 28, 28), np.float32)
    images[1, 5, 5] = wrong
    assert_refused(
        lane("POST", PATH, content=npy(images), headers={"content-type": NPY}), 422, "invalid_value", "images"
    )


@pytest.mark.parametrize("shape", [(), (28,), (28, 27), (0, 28, 28), (1, 1, 28, 28)])
def test_an_array_of_another_shape_is_refused(lane: Here, shape: tuple[int, ...]) -> None:
    response = lane("POST", PATH, content=npy(np.zeros(shape)), headers={"content-type": NPY})
    assert_refused(response, 422, "invalid_shape", "images")


def test_an_array_of_complex_numbers_is_refused(lane: Here) -> None:
    response = lane("POST", PATH, content=npy(np.zeros((28, 28), complex)), headers={"content-type": NPY})
    assert_refused(response, 422, "invalid_shape")


def test_json_without_images_is_refused(lane: Here) -> None:
    assert_refused(lane("POST", PATH, json={}), 422, "invalid_value", "images")


def test_json_with_another_field_is_refused(lane: Here) -> None:
    assert_refused(lane("POST", PATH, json={"images": [ONE], "colour": 1}), 422, "invalid_value", "colour")


def test_another_media_type_is_refused(lane: Here) -> None:
    response = lane("POST", PATH, content=b"x", headers={"content-type": "text/plain"})
    assert_refused(response, 415, "unsupported_media", "content-type")

"""Digit classification: every way to send a picture gives the graph the same numbers."""

import base64
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from service.bundle import DigitClassification, Tensor
from service.codecs.heat import heat_map
from service.codecs.pictures import write_png
from service.errors import InvalidValue
from service.limits import Limits
from service.messages import NPY
from service.tasks.digits import checked, ranged
from tests import toys
from tests.conftest import Here, assert_refused, lane_over, npy
from tests.service.conftest import loaded
from training.data.images import Images

PATH = "/v1/digits/classify?model=toy-digits"
WARY = "/v1/digits/classify?model=toy-wary"
PNG = {"content-type": "image/png"}


def probabilities(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.array([one["probabilities"] for one in response.json()["predictions"]])


def verdicts(response: httpx.Response) -> list[tuple[bool, str | None]]:
    return [(one["accepted"], one.get("reason")) for one in response.json()["predictions"]]


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


@pytest.mark.parametrize("media", ["image/jpeg", "image/jpg"])
def test_a_jpeg_is_read_under_the_name_that_is_often_given_to_it(lane: Here, seven: np.ndarray, media: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(seven).save(buffer, "JPEG")
    assert lane("POST", PATH, content=buffer.getvalue(), headers={"content-type": media}).status_code == 200


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


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (28, 28), (27, 29)])
@pytest.mark.parametrize("grey", [0, 255])
def test_an_empty_page_of_any_size_is_answered(lane: Here, size: tuple[int, int], grey: int) -> None:
    png = write_png(np.full(size, grey, np.uint8))
    response = lane("POST", PATH, content=png, headers={"content-type": "image/png"})
    assert probabilities(response).shape == (1, 10)
    assert verdicts(response) == [(False, "no-ink")]


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


def test_numbers_without_ink_are_not_accepted(lane: Here, seven: np.ndarray) -> None:
    images = np.stack([seven, np.zeros((28, 28))])
    expected = [(True, None), (False, "no-ink")]
    assert verdicts(lane("POST", PATH, content=npy(images), headers={"content-type": NPY})) == expected
    assert verdicts(lane("POST", PATH, json={"images": images.tolist()})) == expected


def test_what_the_model_is_not_familiar_with_is_not_accepted(lane: Here, digits: Images) -> None:
    """The toy is familiar with a mean grey of 20 and more."""
    images = digits.pixels[:20]
    answer = lane("POST", WARY, content=npy(images), headers={"content-type": NPY})
    familiar = images.mean(axis=(1, 2)) >= 20
    assert 0 < familiar.sum() < 20
    assert verdicts(answer) == [(True, None) if one else (False, "unlike-a-digit") for one in familiar]
    assert verdicts(lane("POST", WARY, json={"images": [[[0] * 28] * 28]})) == [(False, "no-ink")]


def row_of(pictures: np.ndarray, scale: int = 4) -> np.ndarray:
    """Digits side by side in black on a white page, as uint8; each is 28 * scale wide."""
    page = np.kron(255 - np.concatenate(list(pictures), axis=1), np.ones((scale, scale), np.uint8))
    return np.pad(page, 30, constant_values=255)


@pytest.mark.parametrize("where", ["query", "json", "form"])
def test_many_digits_are_told_from_left_to_right_with_their_boxes(lane: Here, digits: Images, where: str) -> None:
    png = write_png(row_of(digits.pixels[:4]))
    if where == "query":
        response = lane("POST", f"{PATH}&many=true", content=png, headers={"content-type": "image/png"})
    elif where == "json":
        response = lane("POST", PATH, json={"images": [base64.b64encode(png).decode()], "many": True})
    else:
        response = lane("POST", PATH, files=[("image", ("page.png", png))], data={"many": "true"})
    predictions = response.json()["predictions"]
    assert [one["image"] for one in predictions] == [0] * 4
    for i, one in enumerate(predictions):
        ink = digits.pixels[i] > 25
        rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
        expected = [30 + 4 * (28 * i + columns[0]), 30 + 4 * rows[0], 4 * np.ptp(columns) + 4, 4 * np.ptp(rows) + 4]
        np.testing.assert_allclose(one["box"], expected, atol=5)
    np.testing.assert_allclose(probabilities(response).sum(axis=1), 1, atol=1e-5)


def test_boxes_are_in_pixels_of_the_picture_that_was_sent(lane: Here, digits: Images) -> None:
    small, large = (
        lane("POST", f"{PATH}&many=true", content=write_png(row_of(digits.pixels[:3], scale)), headers=PNG).json()
        for scale in (4, 12)  # the larger one is scaled down before it is looked at
    )
    for one, other in zip(small["predictions"], large["predictions"], strict=True):
        np.testing.assert_allclose(np.array(one["box"]) * 3, np.array(other["box"]) + [60, 60, 0, 0], atol=12)


def test_many_of_several_pictures_say_which_they_are_from(lane: Here, digits: Images) -> None:
    pages = [row_of(digits.pixels[:2]), np.full((50, 50), 255, np.uint8), row_of(digits.pixels[2:5])]
    files = [("image", (f"{i}.png", write_png(page))) for i, page in enumerate(pages)]
    answer = lane("POST", f"{PATH}&many=true", files=files).json()
    assert [one["image"] for one in answer["predictions"]] == [0, 0, 2, 2, 2]


def test_an_empty_page_has_no_digits(lane: Here) -> None:
    png = write_png(np.full((50, 50), 255, np.uint8))
    answer = lane("POST", f"{PATH}&many=true&explain=false", content=png, headers=PNG)
    assert answer.json()["predictions"] == []
    assert lane("POST", f"{WARY}&many=true&explain=true", content=png, headers=PNG).json()["predictions"] == []


def test_more_digits_than_samples_are_allowed_are_refused(lane: Here, digits: Images) -> None:
    page = np.concatenate([row_of(digits.pixels[:9], 1)] * 4, axis=1)
    assert_refused(
        lane("POST", f"{PATH}&many=true", content=write_png(page), headers=PNG), 422, "too_many_rows", "image"
    )


def test_numbers_are_one_digit_each(lane: Here) -> None:
    response = lane("POST", f"{PATH}&many=true", json={"images": [ONE]})
    assert_refused(response, 422, "invalid_value", "many")


@pytest.mark.parametrize("said", ["True", "on", "yes", "1", " true "])
def test_an_option_is_said_as_people_say_it(lane: Here, said: str) -> None:
    picture = {"images": [base64.b64encode(write_png(np.zeros((28, 28), np.uint8))).decode()]}
    for answer in (
        lane("POST", PATH, json=picture | {"many": said}),
        lane("POST", f"{PATH}&many={said}", json=picture),
    ):
        assert answer.json()["predictions"] == []
    for none in ("no", "off", "0", None):
        assert len(lane("POST", PATH, json=picture | {"many": none}).json()["predictions"]) == 1


@pytest.mark.parametrize("option", ["many", "explain"])
@pytest.mark.parametrize("wrong", ["", "perhaps", "2", 1, []])
def test_an_option_is_true_or_false(lane: Here, option: str, wrong: Any) -> None:
    assert_refused(lane("POST", PATH, json={"images": [ONE], option: wrong}), 422, "invalid_value", option)
    if isinstance(wrong, str):
        response = lane("POST", f"{PATH}&{option}={wrong}", json={"images": [ONE]})
        assert_refused(response, 422, "invalid_value", option)


def shown(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


@pytest.mark.parametrize("form", ["png", "npy", "json"])
def test_an_explanation_is_the_class_map_of_the_digit_and_what_was_seen(
    lane: Here, seven: np.ndarray, form: str
) -> None:
    """The toy's map of a digit is the picture times the digit."""
    path = f"{WARY}&explain=true"
    if form == "json":
        response = lane("POST", WARY, json={"images": [seven.tolist()], "explain": True})
    elif form == "npy":
        response = lane("POST", path, content=npy(seven), headers={"content-type": NPY})
    else:
        response = lane("POST", path, content=write_png(seven), headers=PNG)
    (one,) = response.json()["predictions"]
    assert one["digit"] > 0  # the map of 0 is empty
    np.testing.assert_array_equal(shown(one["seen"]), seven)
    np.testing.assert_array_equal(shown(one["heat_map"]), heat_map(seven.astype(np.float32), (28, 28)))
    np.testing.assert_allclose(one["probabilities"], toys.probabilities(seven[None].astype(np.float32))[0], atol=1e-6)


def test_many_digits_are_explained_each(lane: Here, digits: Images) -> None:
    page = write_png(row_of(digits.pixels[:3]))
    answer = lane("POST", f"{WARY}&explain=true&many=true", content=page, headers=PNG).json()
    assert [shown(one["seen"]).shape for one in answer["predictions"]] == [(28, 28)] * 3
    assert len({one["heat_map"] for one in answer["predictions"]}) == 3


def test_more_pictures_than_are_explained_at_once_are_explained(lane: Here, digits: Images) -> None:
    answer = lane("POST", f"{WARY}&explain=true", content=npy(digits.pixels[:30]), headers={"content-type": NPY})
    for one, picture in zip(answer.json()["predictions"], digits.pixels, strict=False):
        np.testing.assert_array_equal(shown(one["seen"]), picture)


def test_a_model_that_cannot_explain_itself_says_so(lane: Here) -> None:
    assert_refused(lane("POST", f"{PATH}&explain=true", json={"images": [ONE]}), 422, "not_explainable", "model")


def test_what_was_not_asked_for_is_left_out(lane: Here, seven: np.ndarray) -> None:
    (one,) = lane("POST", WARY, content=npy(seven), headers={"content-type": NPY}).json()["predictions"]
    assert one.keys() == {"digit", "confidence", "probabilities", "accepted"}


def test_a_graph_with_a_range_of_its_own_gets_numbers_and_pictures_in_it() -> None:
    sixteen = Tensor(name="image", dtype="float32", shape=("batch", 1, 2), range=(0, 16))
    numbers = np.array([[[0, 16]]], np.uint8)
    assert checked(numbers, sixteen, Limits(1, 2)).tolist() == [[[0, 16]]]
    with pytest.raises(InvalidValue, match="between 0 and 16"):
        checked(numbers + np.uint8(1), sixteen, Limits(1, 2))
    assert ranged(np.array([[[0, 255]]], np.float32), sixteen).tolist() == [[[0, 16]]]


@pytest.mark.parametrize("path", [PATH, "/v1/images/classify?model=toy-images"])
@pytest.mark.parametrize(
    "scaled", [lambda seven: seven / 255, lambda seven: seven > 127, lambda seven: seven.clip(0, 1)]
)
def test_pictures_that_were_scaled_to_one_are_refused(lane: Here, seven: np.ndarray, path: str, scaled: Any) -> None:
    response = lane("POST", path, content=npy(scaled(seven)), headers={"content-type": NPY})
    assert_refused(response, 422, "invalid_value", "images")
    assert "end at 1" in response.json()["detail"]


def test_a_model_of_other_digits_takes_numbers_alone(tmp_path: Path, seven: np.ndarray) -> None:
    toys.digits(tmp_path, changes={"task": DigitClassification(labels=tuple(range(10)), pictures=False)})
    other = lane_over(loaded(tmp_path))
    assert other("POST", PATH, content=npy(seven), headers={"content-type": NPY}).status_code == 200
    assert_refused(other("POST", PATH, content=write_png(seven), headers=PNG), 422, "invalid_value", "model")


def several(kind: str, pixels: np.ndarray) -> bytes:
    """A file of as many pages or frames."""
    first, *others = (Image.fromarray(one).resize((56, 56)) for one in pixels)
    buffer = io.BytesIO()
    first.save(buffer, kind, save_all=True, append_images=others)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["body", "json", "parts"])
def test_every_page_of_a_tiff_is_a_picture(lane: Here, digits: Images, form: str) -> None:
    file = several("TIFF", digits.pixels[:3])
    if form == "body":
        response = lane("POST", PATH, content=file, headers={"content-type": "image/tiff"})
    elif form == "json":
        response = lane("POST", PATH, json={"images": [base64.b64encode(file).decode()]})
    else:
        response = lane("POST", PATH, files=[("image", ("pages.tif", file))])
    apart = [
        lane("POST", PATH, content=several("PNG", one[None]), headers=PNG).json()["predictions"][0]
        for one in digits.pixels[:3]
    ]
    assert response.json()["predictions"] == apart


def test_digits_of_all_pages_say_which_page_they_are_of(lane: Here, digits: Images) -> None:
    file = several("TIFF", digits.pixels[:3])
    response = lane("POST", f"{PATH}&many=true", content=file, headers={"content-type": "image/tiff"})
    assert [one["image"] for one in response.json()["predictions"]] == [0, 1, 2]


def test_pages_count_as_rows(lane: Here, digits: Images) -> None:
    file = several("TIFF", digits.pixels[:33])
    response = lane("POST", PATH, content=file, headers={"content-type": "image/tiff"})
    assert_refused(response, 422, "too_many_rows", "image")


@pytest.mark.parametrize("kind", ["WEBP", "PNG"])
def test_an_animation_is_refused_and_a_single_frame_is_not(lane: Here, digits: Images, kind: str) -> None:
    headers = {"content-type": f"image/{kind.lower()}"}
    response = lane("POST", PATH, content=several(kind, digits.pixels[:3]), headers=headers)
    assert response.status_code == 422
    assert "animation" in response.json()["detail"]
    assert lane("POST", PATH, content=several(kind, digits.pixels[:1]), headers=headers).status_code == 200

"""Image transformation: pictures in every form, and pictures back."""

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from service.bundle import Graph, ImageTransformation, Tensor
from service.codecs import pictures
from service.codecs.pictures import write_png
from service.limits import Limits
from service.messages import NPY
from tests.conftest import Here, assert_refused, npy

PATH = "/v1/images/transform?model=toy-negatives"
PNG = {"content-type": "image/png"}
PICTURE = np.random.default_rng(7).integers(0, 256, (28, 28), np.uint8)


def opened(file: bytes) -> NDArray[np.uint8]:
    return pictures.read(file, Limits(1, 10_000)).pixels


def seen(response: httpx.Response) -> NDArray[Any]:
    """The first picture of an answer, in whatever form."""
    assert response.status_code == 200, response.text
    media = response.headers["content-type"]
    if media == "image/png":
        return opened(response.content)
    if media == NPY:
        array: NDArray[Any] = np.load(io.BytesIO(response.content))
        return array[0]
    return opened(base64.b64decode(response.json()["images"][0]))


@pytest.mark.parametrize(
    ("form", "media"),
    [("png", "image/png"), ("npy", NPY), ("numbers", "application/json"), ("base64", "application/json"),
     ("part", "image/png")],
)  # fmt: skip
def test_a_picture_comes_back_in_the_form_that_it_came_in(lane: Here, form: str, media: str) -> None:
    png = write_png(PICTURE)
    requests: dict[str, dict[str, Any]] = {
        "png": {"content": png, "headers": PNG},
        "npy": {"content": npy(PICTURE), "headers": {"content-type": NPY}},
        "numbers": {"json": {"images": [PICTURE.tolist()]}},
        "base64": {"json": {"images": [base64.b64encode(png).decode()]}},
        "part": {"files": [("image", ("one.png", png))]},
    }
    response = lane("POST", PATH, **requests[form])
    np.testing.assert_array_equal(seen(response), 255 - PICTURE)
    assert response.headers["content-type"] == media


@pytest.mark.parametrize("accept", ["image/png", NPY, "application/json"])
def test_one_picture_can_come_back_in_another_form(lane: Here, accept: str) -> None:
    response = lane("POST", PATH, content=write_png(PICTURE), headers=PNG | {"accept": accept})
    np.testing.assert_array_equal(seen(response), 255 - PICTURE)
    assert response.headers["content-type"] == accept


def test_several_pictures_come_back_in_order_but_not_as_one(lane: Here) -> None:
    files = [("image", (f"{i}.png", write_png(np.full((28, 28), i, np.uint8)))) for i in (10, 200)]
    texts = lane("POST", PATH, files=files).json()["images"]
    assert [int(opened(base64.b64decode(text))[0, 0]) for text in texts] == [245, 55]
    refused = lane("POST", PATH, files=files, headers={"accept": "image/png"})
    assert_refused(refused, 406, "not_acceptable", "accept")
    assert "send one per request" in refused.json()["detail"]


def test_a_picture_of_another_size_is_resized(lane: Here) -> None:
    response = lane("POST", PATH, content=write_png(np.full((60, 90), 30, np.uint8)), headers=PNG)
    assert (seen(response) == np.full((28, 28), 225)).all()


@pytest.mark.parametrize("shape", [("batch",), ("batch", 4), ("batch", 4, 4, 4)])
def test_what_gives_no_picture_is_no_such_model(shape: tuple[str | int, ...]) -> None:
    made = (Tensor(name="x", dtype="float32", shape=shape),)
    graph = Graph(file="model.onnx", inputs=made, outputs=made, max_batch=1)
    with pytest.raises(ValueError, match="first output must be"):
        ImageTransformation().check({"main": graph})


def test_a_model_of_another_kind_is_refused(lane: Here) -> None:
    response = lane("POST", "/v1/images/transform?model=toy-images", content=write_png(PICTURE), headers=PNG)
    assert_refused(response, 404, "unknown_model", "model")

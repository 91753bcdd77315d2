"""The activations of a model's layers, as figures and pictures; the graph that gives them is checked when it loads."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from service.bundle import Bundle, BundleError, DigitClassification, Graph, Tensor
from service.codecs.pictures import write_png
from service.messages import NPY
from tests import toys
from tests.conftest import Here, assert_refused, npy
from tests.service.conftest import loaded
from training.data.images import Images

PATH = "/v1/models/toy-wary/activations"
PNG = {"content-type": "image/png"}


def picture_of(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_each_layer_tells_its_shape_and_what_is_in_it(lane: Here, digits: Images) -> None:
    seven = digits.pixels[0]
    answer = lane("POST", PATH, content=write_png(seven), headers=PNG).json()
    assert answer["model"] == {"name": "toy-wary", "version": "1"}
    (inside,) = answer["activations"]
    maps, half, scores = inside["layers"]
    assert [one["name"] for one in inside["layers"]] == ["class_maps", "half", "scores"]
    assert [one["shape"] for one in inside["layers"]] == [[10, 28, 28], [1, 28, 28], [10]]
    assert half["mean"] == pytest.approx(seven.mean() / 2, rel=1e-5)
    assert half["deviation"] == pytest.approx(seven.std() / 2, rel=1e-5)
    assert (half["least"], half["greatest"]) == (0, seven.max() / 2)
    assert half["active"] == pytest.approx((seven > 0).mean())
    assert scores["greatest"] == pytest.approx((seven.reshape(-1) / 255 @ toys.INK).max(), rel=1e-4)
    shown = picture_of(base64.b64decode(half["sheet"]))
    np.testing.assert_allclose(shown, seven * (255 / seven.max()), atol=1)
    assert picture_of(base64.b64decode(maps["sheet"])).shape == (3 * 30 - 2, 4 * 30 - 2)


def test_all_layers_of_one_picture_come_as_one_sheet(lane: Here, digits: Images) -> None:
    asked = PNG | {"accept": "image/png"}
    response = lane("POST", PATH, content=write_png(digits.pixels[0]), headers=asked)
    assert response.headers["content-type"] == "image/png"
    assert picture_of(response.content).shape[1] >= 4 * 30 - 2


def test_a_sheet_holds_one_picture(lane: Here, digits: Images) -> None:
    asked = {"content-type": NPY, "accept": "image/png"}
    two = lane("POST", PATH, content=npy(digits.pixels[:2]), headers=asked)
    assert_refused(two, 406, "not_acceptable", "accept")
    told = lane("POST", PATH, content=npy(digits.pixels[:2]), headers=asked | {"accept": "image/png, */*;q=0.5"})
    assert len(told.json()["activations"]) == 2


def test_several_pictures_are_told_in_their_order(lane: Here, digits: Images) -> None:
    answer = lane("POST", PATH, json={"images": digits.pixels[:3].tolist()}).json()
    means = [one["layers"][1]["mean"] for one in answer["activations"]]
    np.testing.assert_allclose(means, digits.pixels[:3].mean(axis=(1, 2)) / 2, rtol=1e-5)


def test_a_page_without_digits_has_none_as_it_has_no_predictions(lane: Here, digits: Images) -> None:
    page = np.full((60, 60), 255, np.uint8)
    assert lane("POST", f"{PATH}?many=true", content=write_png(page), headers=PNG).json()["activations"] == []
    assert len(lane("POST", PATH, content=write_png(page), headers=PNG).json()["activations"]) == 1
    page[16:44, 16:44] -= digits.pixels[0]
    assert len(lane("POST", f"{PATH}?many=true", content=write_png(page), headers=PNG).json()["activations"]) == 1
    asked = PNG | {"accept": "image/png"}
    empty = lane("POST", f"{PATH}?many=true", content=write_png(np.full((60, 60), 255, np.uint8)), headers=asked)
    assert_refused(empty, 406, "not_acceptable", "accept")


def test_too_many_pictures_are_refused(lane: Here, digits: Images) -> None:
    response = lane("POST", PATH, content=npy(digits.pixels[:17]), headers={"content-type": NPY})
    assert_refused(response, 422, "too_many_rows", "images")


@pytest.mark.parametrize("name", ["toy-digits", "toy-images", "toy-ct", "toy-tensors"])
def test_a_model_without_an_explanation_says_so(lane: Here, name: str) -> None:
    response = lane("POST", f"/v1/models/{name}/activations", json={"images": [[[0] * 28] * 28]})
    assert_refused(response, 422, "not_explainable", "model")


def test_a_model_that_is_not_here_is_refused(lane: Here) -> None:
    response = lane("POST", "/v1/models/nobody/activations", json={"images": [[[0] * 28] * 28]})
    assert_refused(response, 404, "unknown_model", "model")


EXPLANATION = "explanation.onnx"
OTHER = Tensor(name="other", dtype="float32", shape=("batch", 3))
MAPS = Tensor(name="class_maps", dtype="float32", shape=("batch", 10, 28, 28))


def explained(outputs: tuple[Tensor, ...]) -> dict[str, Any]:
    """Graphs whose explanation is said to give these outputs."""
    main = Graph(
        file="model.onnx",
        inputs=(Tensor(name="image", dtype="float32", shape=("batch", 28, 28), range=(0, 255)),),
        outputs=(
            Tensor(name="probabilities", dtype="float32", shape=("batch", 10)),
            Tensor(name="familiarity", dtype="float32", shape=("batch",)),
        ),
    )
    return {"graphs": {"main": main, "explanation": main.model_copy(update={"file": EXPLANATION, "outputs": outputs})}}


def refused(models: Path, changes: dict[str, Any]) -> str:
    """Why the toy with these changes is not served."""
    toys.wary(models, changes=changes)
    repository = loaded(models)
    assert repository.models == {}
    return repository.index()[0].reason


def test_an_explanation_that_does_not_fit_its_manifest_is_not_served(tmp_path: Path) -> None:
    assert f"{EXPLANATION} does not give ['other']" in refused(tmp_path, explained((MAPS, OTHER)))


def test_class_maps_of_another_size_than_declared_are_not_served(tmp_path: Path) -> None:
    smaller = MAPS.model_copy(update={"shape": ("batch", 10, 14, 14)})
    assert "gives class_maps [4, 10, 28, 28], not" in refused(tmp_path, explained((smaller,)))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        (explained((OTHER,)), "begin with `class_maps`"),
        (explained((MAPS.model_copy(update={"shape": ("batch", 3, 28, 28)}),)), "must give `class_maps` \\[batch, 10"),
        ({"sha256": {}}, "sha256 lacks"),
        ({"task": DigitClassification(labels=(0, 1, 2))}, "must give `probabilities` \\[batch, 3"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(tmp_path: Path, changes: Any, complaint: str) -> None:
    with pytest.raises((ValidationError, BundleError), match=complaint):
        Bundle(toys.wary(tmp_path, changes=changes))

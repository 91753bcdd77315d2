"""Pictures that people send, what is found in them and why, asked of a running service that serves toys."""

import base64
import io
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
from PIL import Image

from service.codecs.pictures import write_png
from tests import toys
from tests.conftest import Running, assert_refused, npy
from training.data.images import Images

PNG, NPY = {"content-type": "image/png"}, {"content-type": "application/x-npy"}
CLASSIFY = "/v1/digits/classify?model=toy-wary"


@pytest.fixture(scope="module")
def toy_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    models = tmp_path_factory.mktemp("models")
    for toy in (toys.digits, toys.wary, toys.images):
        toy(models)
    running = Running(tmp_path_factory.mktemp("toys"), QUARTET_MODELS_DIR=str(models)).wait_until_ready()
    with httpx.Client(base_url=running.url, timeout=30) as session:
        yield session
    assert running.stop() == 0, running.log
    assert "Traceback" not in running.log


def page(digits: Images) -> bytes:
    """Five digits in grey on yellow, as a JPEG of 12 megapixels that lies on its side."""
    ink = np.kron(np.concatenate(list(digits.pixels[:5]), axis=1), np.ones((24, 24), np.uint8)) / 255
    sheet = np.full((3000, 4000, 3), (250, 240, 170), np.uint8)
    sheet[1000 : 1000 + ink.shape[0], 300 : 300 + ink.shape[1]] = (1 - ink[..., None]) * (190, 180, 110) + 60
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    Image.fromarray(sheet).rotate(90, expand=True).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def test_the_digits_of_a_photograph_are_found_in_their_places(toy_client: httpx.Client, digits: Images) -> None:
    headers = {"content-type": "image/jpeg"}
    answer = toy_client.post(f"{CLASSIFY}&many=true&explain=true", content=page(digits), headers=headers)
    predictions = answer.json()["predictions"]
    assert len(predictions) == 5
    for i, (one, picture) in enumerate(zip(predictions, digits.pixels, strict=False)):
        left, top, width, height = one["box"]
        assert 300 + 672 * i < left < left + width < 300 + 672 * (i + 1)
        assert 1000 < top < top + height < 1672
        seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(one["seen"]))))
        assert np.corrcoef(seen.ravel(), picture.ravel())[0, 1] > 0.9
        assert Image.open(io.BytesIO(base64.b64decode(one["heat_map"]))).size == (28, 28)
    assert "infer;dur=" in answer.headers["server-timing"]


def test_what_is_no_digit_is_not_accepted(toy_client: httpx.Client, digits: Images) -> None:
    images = np.stack([digits.pixels[0], np.zeros((28, 28), np.uint8), digits.pixels[0] // 20])
    answer = toy_client.post(CLASSIFY, content=npy(images), headers=NPY).json()
    verdicts = [(one["accepted"], one.get("reason")) for one in answer["predictions"]]
    assert verdicts == [(True, None), (False, "no-ink"), (False, "unlike-a-digit")]


def test_activations_come_as_figures_or_as_a_picture(toy_client: httpx.Client, digits: Images) -> None:
    path, png = "/v1/models/toy-wary/activations", write_png(digits.pixels[0])
    layers = toy_client.post(path, content=png, headers=PNG).json()["activations"][0]["layers"]
    assert [one["name"] for one in layers] == ["class_maps", "half", "scores"]
    sheet = toy_client.post(path, content=png, headers=PNG | {"accept": "image/png"})
    assert Image.open(io.BytesIO(sheet.content)).format == "PNG"
    assert toy_client.get(path).headers["allow"] == "POST"
    assert_refused(
        toy_client.post("/v1/models/toy-digits/activations", content=png, headers=PNG), 422, "not_explainable", "model"
    )


def test_pictures_of_things_are_labelled(toy_client: httpx.Client, digits: Images) -> None:
    png = write_png(digits.pixels[0])
    answer = toy_client.post("/v1/images/classify?model=toy-images", content=png, headers=PNG).json()
    expected = toys.things(digits.pixels[:1].astype(np.float32))[0]
    np.testing.assert_allclose(answer["predictions"][0]["probabilities"], expected, atol=1e-5)
    assert answer["predictions"][0]["label"] in ("shirt", "sneaker", "bag")
    assert toy_client.post("/v1/images/classify", content=png, headers=PNG).json() == answer  # it is the only one


def test_the_new_routes_are_described(toy_client: httpx.Client) -> None:
    document = toy_client.get("/openapi.json").json()
    operation = document["paths"]["/v1/digits/classify"]["post"]
    assert {"many", "explain"} <= {one["name"] for one in operation["parameters"]}
    assert "image/png" in document["paths"]["/v1/models/{name}/activations"]["post"]["responses"]["200"]["content"]
    content = document["paths"]["/v1/images/classify"]["post"]["requestBody"]["content"]
    assert content["multipart/form-data"]["schema"]["required"] == ["image"]

"""The four endpoints answer real requests, in every form, with what the bundles say they must."""

import base64
import io
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image

from service.bundle import Bundle, defaults_of
from service.codecs.dicom import read_image
from service.codecs.pictures import read, sheet, write_png
from service.limits import Limits
from tests.conftest import PROJECT, npy
from training.data import german_credit
from training.data.german import ATTRIBUTES
from training.data.images import Images

NPY, DICOM, PNG, JSON = "application/x-npy", "application/dicom", "image/png", "application/json"
LIMITS = Limits(max_rows=1, max_pixels=2**24)
pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")


def post(client: httpx.Client, path: str, body: bytes | str, media: str, accept: str = "*/*") -> httpx.Response:
    response = client.post(path, content=body, headers={"content-type": media, "accept": accept})
    assert response.status_code == 200, response.text
    assert response.headers["x-request-id"]
    assert "infer;dur=" in response.headers["server-timing"]
    return response


def close(bundle: Bundle, actual: Any, expected: np.ndarray) -> None:
    """Within the bundle's own tolerance."""
    np.testing.assert_allclose(
        actual, expected, atol=bundle.manifest.tolerance.atol, rtol=bundle.manifest.tolerance.rtol
    )


def probabilities(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    return np.array([one["probabilities"] for one in response.json()["predictions"]])


def encoded(picture: np.ndarray, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **options)
    return buffer.getvalue()


def test_digits_are_answered_as_the_bundle_was_tested(client: httpx.Client, bundles: dict[str, Bundle]) -> None:
    default = defaults_of(PROJECT / "models")["digit-classification"]
    bundle = bundles[default]
    inputs, outputs = bundle.golden()
    images = inputs[bundle.manifest.inputs[0].name]
    for response in (
        post(client, "/v1/digits/classify", npy(images), NPY),
        client.post("/v1/digits/classify", json={"images": images.tolist()}),
    ):
        close(bundle, probabilities(response), outputs["probabilities"])
        assert response.json()["model"] == {"name": default, "version": bundle.manifest.version}


def test_real_digits_are_recognised(client: httpx.Client, digits: Images) -> None:
    found = []
    for start in range(0, 1000, 250):
        response = post(client, "/v1/digits/classify", npy(digits.pixels[start : start + 250]), NPY)
        found += [one["digit"] for one in response.json()["predictions"]]
    assert np.mean(np.array(found) == digits.labels[:1000]) > 0.98


def test_photographed_digits_are_recognised(client: httpx.Client, digits: Images) -> None:
    """Dark ink on a white page eight times as large, off its centre, compressed as JPEG."""
    found = []
    for picture in digits.pixels[:100]:
        page = np.full((400, 300), 250, np.uint8)
        page[40:264, 10:234] = 250 - np.kron(picture, np.ones((8, 8))) * (230 / 255)
        response = post(client, "/v1/digits/classify", encoded(page, "JPEG"), "image/jpeg")
        found.append(response.json()["predictions"][0]["digit"])
    assert np.mean(np.array(found) == digits.labels[:100]) > 0.9


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_a_digit_is_recognised_in_every_picture_format(client: httpx.Client, digits: Images, kind: str) -> None:
    response = post(client, "/v1/digits/classify", encoded(digits.pixels[0], kind), f"image/{kind.lower()}")
    assert response.json()["predictions"][0]["digit"] == digits.labels[0]


def test_every_way_to_send_a_digit_gives_one_answer(client: httpx.Client, digits: Images) -> None:
    seven = digits.pixels[0]
    png = write_png(seven)
    answers = [
        post(client, "/v1/digits/classify", png, PNG),
        post(client, "/v1/digits/classify", npy(seven), NPY),
        client.post("/v1/digits/classify", json={"images": [seven.tolist()]}),
        client.post("/v1/digits/classify", json={"images": [base64.b64encode(png).decode()]}),
        client.post("/v1/digits/classify", files={"image": ("seven.png", png)}),
    ]
    for answer in answers:
        np.testing.assert_allclose(probabilities(answer), probabilities(answers[0]), atol=1e-5)


def test_parts_are_answered_in_their_order(client: httpx.Client, digits: Images) -> None:
    files = [("image", (f"{i}.png", write_png(digits.pixels[i]))) for i in range(12)]
    expected = probabilities(post(client, "/v1/digits/classify", npy(digits.pixels[:12]), NPY))
    np.testing.assert_allclose(probabilities(client.post("/v1/digits/classify", files=files)), expected, atol=1e-5)


def credit_rows(applicants: list[dict[str, str]], readable: bool) -> list[dict[str, Any]]:
    def value(one: Any, text: str) -> Any:
        if not one.values:
            return int(text)
        return one.values[one.codes.index(text)] if readable else text

    return [{one.name: value(one, row[one.name]) for one in ATTRIBUTES} for row in applicants]


def test_credit_is_scored_alike_in_every_notation(client: httpx.Client, applicants: list[dict[str, str]]) -> None:
    rows = applicants[:50]
    csv = "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)])
    answers = [
        client.post("/v1/credit/score", json={"applicants": credit_rows(rows, readable=False)}),
        client.post("/v1/credit/score", json={"applicants": credit_rows(rows, readable=True)}),
        post(client, "/v1/credit/score", csv, "text/csv"),
    ]
    assert len({answer.text for answer in answers}) == 1
    assert answers[0].json()["model"]["name"] == "credit"
    assert {one["decision"] for one in answers[0].json()["predictions"]} <= {"approve", "decline"}


def test_scores_are_the_bundles(client: httpx.Client, bundles: dict[str, Bundle]) -> None:
    bundle = bundles["credit"]
    inputs, outputs = bundle.golden()
    attributes = bundle.manifest.task.attributes
    rows = [
        {one.name: one.values[int(x)] if one.values else float(x) for one, x in zip(attributes, row, strict=True)}
        for row in inputs[bundle.manifest.inputs[0].name]
    ]
    answer = client.post("/v1/credit/score", json={"applicants": rows}).json()
    scores = [one["default_probability"] for one in answer["predictions"]]
    close(bundle, scores, outputs["default_probability"])
    threshold = bundle.manifest.task.decision_threshold
    decisions = ["approve" if score < threshold else "decline" for score in scores]
    assert [one["decision"] for one in answer["predictions"]] == decisions


def test_who_defaulted_scores_higher(client: httpx.Client, applicants: list[dict[str, str]]) -> None:
    bad = np.array([row["risk"] == "2" for row in german_credit()])
    scores = []
    for start in range(0, 1000, 250):
        rows = credit_rows(applicants[start : start + 250], readable=False)
        answer = client.post("/v1/credit/score", json={"applicants": rows}).json()
        scores += [one["default_probability"] for one in answer["predictions"]]
    assert np.mean(np.array(scores)[bad]) > np.mean(np.array(scores)[~bad]) + 0.1


def test_a_slice_comes_back_as_dicom_array_and_picture(client: httpx.Client, ct_slice: bytes) -> None:
    derived = post(client, "/v1/ct/denoise", ct_slice, DICOM, DICOM)
    dataset = pydicom.dcmread(io.BytesIO(derived.content))
    assert dataset.ImageType[0] == "DERIVED"
    array = np.load(io.BytesIO(post(client, "/v1/ct/denoise", ct_slice, DICOM, NPY).content))
    np.testing.assert_allclose(read_image(derived.content, LIMITS).hu, array, atol=0.51)
    preview = read(post(client, "/v1/ct/denoise", ct_slice, DICOM, PNG).content, LIMITS).grey
    assert preview.shape == array[0].shape


def test_slices_as_parts_are_denoised_as_alone(client: httpx.Client, ct_slice: bytes) -> None:
    alone = np.load(io.BytesIO(post(client, "/v1/ct/denoise", ct_slice, DICOM, NPY).content))
    parts = [("dicom", (f"{i}.dcm", ct_slice, DICOM)) for i in range(3)]
    response = client.post("/v1/ct/denoise", files=parts, headers={"accept": NPY})
    np.testing.assert_allclose(np.load(io.BytesIO(response.content)), np.repeat(alone, 3, axis=0), atol=0.01)
    single = client.post("/v1/ct/denoise", files={"dicom": ("0.dcm", ct_slice)})
    assert single.headers["content-type"] == DICOM


def test_arrays_are_answered_as_the_bundle_was_tested(client: httpx.Client, bundles: dict[str, Bundle]) -> None:
    bundle = bundles["ct-denoiser"]
    inputs, outputs = bundle.golden()
    hu, expected = inputs[bundle.manifest.inputs[0].name], outputs[bundle.manifest.outputs[0].name]
    answer = np.load(io.BytesIO(post(client, "/v1/ct/denoise?spacing_mm=0.6", npy(hu), NPY).content))
    close(bundle, answer, expected)
    one = np.load(io.BytesIO(post(client, "/v1/ct/denoise?spacing_mm=0.6", npy(hu[0]), NPY).content))
    assert one.shape == hu[0].shape
    close(bundle, one, expected[0])


def test_samples_come_as_sheet_array_and_json(client: httpx.Client) -> None:
    wish = '{"model": "cvae", "label": 7, "count": 16, "seed": 1}'
    array = np.load(io.BytesIO(post(client, "/v1/samples/generate", wish, JSON, NPY).content))
    assert array.shape[0] == 16
    grid = read(post(client, "/v1/samples/generate", wish, JSON).content, LIMITS).grey
    np.testing.assert_array_equal(grid, sheet(array))
    answer = post(client, "/v1/samples/generate", wish, JSON, JSON).json()
    assert answer["labels"] == ["7"] * 16
    for text, image in zip(answer["samples"], array, strict=True):
        np.testing.assert_array_equal(read(base64.b64decode(text), LIMITS).grey, image)


def test_generated_digits_are_recognised_as_what_was_asked_for(client: httpx.Client) -> None:
    right = []
    for label in range(10):
        wish = f'{{"label": {label}, "count": 32, "seed": 5}}'
        samples = np.load(io.BytesIO(post(client, "/v1/samples/generate", wish, JSON, NPY).content))
        answer = post(client, "/v1/digits/classify", npy(samples), NPY).json()
        right += [one["digit"] == label for one in answer["predictions"]]
    assert np.mean(right) > 0.85


def test_every_model_answers_over_raw_tensors(client: httpx.Client, bundles: dict[str, Bundle]) -> None:
    for name, bundle in bundles.items():
        inputs, outputs = bundle.golden()
        body = {"inputs": {tensor: array[:1].tolist() for tensor, array in inputs.items()}}
        spacing = {"spacing_mm": "0.6"} if getattr(bundle.manifest.task, "spacing_mm", None) else {}
        response = client.post(f"/v1/models/{name}/predict", json=body, params=spacing)
        assert response.status_code == 200, response.text
        for tensor, expected in outputs.items():
            close(bundle, response.json()["outputs"][tensor], expected[:1])

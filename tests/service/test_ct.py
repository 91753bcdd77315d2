"""CT denoising: slices come back in the form they came in, or the one that `accept` names. The toy halves them."""

import io
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from service.codecs.dicom import read_image
from service.engine.repository import Repository
from service.limits import Limits
from service.messages import DICOM, JSON, NPY, PNG, Request
from service.tasks.ct import TASK
from service.tasks.ct_warnings import warnings_of
from service.tasks.denoised import windowed
from tests.conftest import Here, assert_refused, npy

LIMITS = Limits(max_rows=32, max_pixels=2**20)
PATH = "/v1/ct/denoise?model=toy-ct"
pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")


def ask(lane: Here, body: bytes, media: str, accept: str = "*/*") -> Any:
    return lane("POST", PATH, content=body, headers={"content-type": media, "accept": accept})


def test_dicom_is_answered_as_dicom(lane: Here, ct_slice: bytes) -> None:
    response = ask(lane, ct_slice, DICOM)
    assert response.headers["content-type"] == DICOM
    denoised = read_image(response.content, LIMITS)
    np.testing.assert_allclose(denoised.hu, read_image(ct_slice, LIMITS).hu / 2, atol=0.5)
    assert "toy-ct 1" in denoised.dataset.DerivationDescription


@pytest.mark.parametrize("shape", [(20, 24), (1, 20, 24), (3, 20, 24)])
@pytest.mark.parametrize("dtype", ["<i2", "<f4", ">f8", "u1"])
def test_an_array_is_answered_in_its_shape(lane: Here, shape: tuple[int, ...], dtype: str) -> None:
    hu = np.random.default_rng(0).integers(0, 200, shape).astype(dtype)
    response = ask(lane, npy(hu), NPY)
    assert response.headers["content-type"] == NPY
    np.testing.assert_array_equal(np.load(io.BytesIO(response.content)), hu.astype(np.float32) / 2)


def test_a_preview_shows_the_bundles_window(lane: Here, ct_slice: bytes) -> None:
    preview = np.asarray(Image.open(io.BytesIO(ask(lane, ct_slice, DICOM, PNG).content)))
    np.testing.assert_array_equal(preview, windowed(read_image(ct_slice, LIMITS).hu[0] / 2, (-160, 240)))


def test_the_window_runs_from_black_to_white() -> None:
    assert windowed(np.array([-2000, -160, 40, 240, 3000], np.float32), (-160, 240)).tolist() == [0, 0, 128, 255, 255]


def test_dicom_can_be_answered_as_an_array_or_json(lane: Here, ct_slice: bytes) -> None:
    expected = read_image(ct_slice, LIMITS).hu / 2
    np.testing.assert_array_equal(np.load(io.BytesIO(ask(lane, ct_slice, DICOM, NPY).content)), expected)
    np.testing.assert_allclose(ask(lane, ct_slice, DICOM, JSON).json()["slices"], expected)


def test_json_is_answered_as_json(lane: Here) -> None:
    hu = [[[float(i + j) for j in range(16)] for i in range(16)]]
    answer = lane("POST", PATH, json={"slices": hu}).json()
    assert answer["model"] == {"name": "toy-ct", "version": "1"}
    np.testing.assert_array_equal(answer["slices"], np.array(hu) / 2)


def test_the_object_tells_what_was_found_and_done(lane: Here, ct_slice: bytes) -> None:
    response = lane("POST", f"{PATH}&strength=0.5", content=ct_slice, headers={"content-type": DICOM})
    text = pydicom.dcmread(io.BytesIO(response.content)).DerivationDescription
    names = ("x-noise-before-hu", "x-noise-after-hu", "x-change-hu")
    before, after, change = (float(response.headers[name]) for name in names)
    assert text == (
        f"Noise reduced by toy-ct 1, strength 0.5. Noise {before:.1f} HU before and {after:.1f} HU after;"
        f" changed by {change:.1f} HU rms. Not for diagnostic use."
    )


DOUBTS: dict[str, tuple[dict[str, Any], str]] = {
    "no orientation": ({"ImageOrientationPatient": None}, "taken for axial"),
    "no size of pixels": ({"PixelSpacing": None}, "size of the pixels is not known"),
    "derived": ({"ImageType": ["DERIVED", "SECONDARY"]}, "its noise may have been changed"),
    "no units of air": ({"RescaleIntercept": 0}, "may be no Hounsfield units"),
    "of another sign": ({"RescaleSlope": -1}, "may be no Hounsfield units"),
}


@pytest.mark.parametrize("name", DOUBTS)
def test_what_is_doubtful_is_answered_with_a_warning(lane: Here, ct_slice: bytes, name: str) -> None:
    elements, text = DOUBTS[name]
    dataset, buffer = pydicom.dcmread(io.BytesIO(ct_slice)), io.BytesIO()
    for element, value in elements.items():
        setattr(dataset, element, value)
    dataset.save_as(buffer)
    response = ask(lane, buffer.getvalue(), DICOM)
    assert text in response.headers["warning"]
    assert response.headers["warning"].startswith('299 quartet "')
    assert text in pydicom.dcmread(io.BytesIO(response.content)).DerivationDescription
    (warning,) = ask(lane, buffer.getvalue(), DICOM, JSON).json()["warnings"]
    assert text in warning


def test_a_bundle_that_says_to_take_care_of_it_does_so_with_every_answer() -> None:
    even = np.full((1, 16, 16), -50, np.float32)
    assert warnings_of(even, [], (0.6, 0.6), "It blurs.") == ["It blurs."]
    assert warnings_of(even, [], (0.6, 0.6), "") == []


def test_a_slice_that_was_denoised_here_is_known_again(lane: Here, ct_slice: bytes) -> None:
    once = ask(lane, ct_slice, DICOM)
    assert "warning" not in once.headers
    assert "denoised by this service before" in ask(lane, once.content, DICOM).headers["warning"]


def test_several_slices_of_json_are_answered_as_json(lane: Here) -> None:
    assert len(lane("POST", PATH, json={"slices": np.zeros((2, 16, 16)).tolist()}).json()["slices"]) == 2


def test_several_slices_do_not_fit_one_picture(lane: Here) -> None:
    response = ask(lane, npy(np.zeros((2, 16, 16))), NPY, PNG)
    assert_refused(response, 406, "not_acceptable", "accept")
    assert response.json()["detail"].startswith(f"2 slices fit into {NPY} or {JSON} only")


def test_an_array_cannot_become_dicom(lane: Here) -> None:
    assert_refused(ask(lane, npy(np.zeros((16, 16))), NPY, DICOM), 406, "not_acceptable", "accept")


@pytest.mark.parametrize(("slices", "accept"), [(2, PNG), (2, DICOM), (1, DICOM)])
def test_what_no_answer_could_hold_is_known_before_it_is_denoised(
    repository: Repository, slices: int, accept: str
) -> None:
    limits, manifest = Limits(max_rows=32, max_pixels=2**20), repository.models["toy-ct"].manifest
    request = Request(npy(np.zeros((slices, 16, 16))), {b"content-type": NPY.encode(), b"accept": accept.encode()})
    assert accept not in TASK.prepare(TASK.read(request, limits), manifest, limits).media_types


@pytest.mark.parametrize("shape", [(), (16,), (1, 1, 16, 16), (15, 16), (16, 1025), (0, 16, 16)])
def test_an_array_of_another_shape_is_refused(lane: Here, shape: tuple[int, ...]) -> None:
    response = ask(lane, npy(np.zeros(shape)), NPY)
    assert_refused(response, 422, "invalid_shape", "slices" if len(shape) in (2, 3) else None)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e300])
def test_a_value_that_is_not_finite_is_refused(lane: Here, wrong: float) -> None:
    hu = np.zeros((16, 16))
    hu[3, 3] = wrong
    assert_refused(ask(lane, npy(hu), NPY), 422, "invalid_value")


def test_more_pixels_than_the_limit_are_refused(lane: Here) -> None:
    assert_refused(ask(lane, npy(np.zeros((2, 1024, 1024), np.uint8)), NPY), 413, "too_many_pixels", "slices")


def test_more_slices_than_the_limit_are_refused(lane: Here) -> None:
    assert_refused(ask(lane, npy(np.zeros((33, 16, 16), np.uint8)), NPY), 422, "too_many_rows", "slices")


@pytest.mark.parametrize(
    ("document", "code", "field"),
    [
        ({}, "invalid_value", "slices"),
        ({"slices": [[1], [1, 2]]}, "invalid_shape", "slices"),
        ({"slices": "x"}, "invalid_value", "slices"),
    ],
)
def test_a_wrong_document_is_refused(lane: Here, document: Any, code: str, field: str) -> None:
    assert_refused(lane("POST", PATH, json=document), 422, code, field)


def test_another_media_type_is_refused(lane: Here) -> None:
    assert_refused(ask(lane, b"x", "image/png"), 415, "unsupported_media", "content-type")

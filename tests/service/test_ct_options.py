"""What a client may wish of denoising: strength, noise, windows, views; and the size of a pixel."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.bundle import CtDenoising
from service.codecs.dicom import read_image
from service.errors import InvalidValue
from service.limits import Limits
from service.messages import DICOM, NPY, PNG
from service.tasks.denoised import windowed
from service.tasks.spacing import check_spacing, parse_spacing
from tests import toys
from tests.conftest import Here, assert_refused, lane_over, npy
from tests.service.conftest import loaded

LIMITS = Limits(max_rows=32, max_pixels=2**20)
PATH = "/v1/ct/denoise?model=toy-ct"
pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")


def ask(lane: Here, body: bytes, media: str, accept: str = "*/*") -> Any:
    return lane("POST", PATH, content=body, headers={"content-type": media, "accept": accept})


SLOPE = np.add.outer(np.arange(32.0), np.arange(24.0)).astype(np.float32)  # has no noise


def noisy(sigma: float, shape: tuple[int, ...] = (64, 64)) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(40, sigma, shape).astype(np.float32)


def get(response: Any) -> NDArray[Any]:
    assert response.status_code == 200, response.text
    return np.asarray(np.load(io.BytesIO(response.content)))


@pytest.mark.parametrize(("strength", "share"), [("0", 1), ("0.5", 0.75), ("1", 0.5)])
def test_strength_says_how_much_of_the_change_is_made(lane: Here, strength: str, share: float) -> None:
    response = lane("POST", f"{PATH}&strength={strength}", content=npy(SLOPE), headers={"content-type": NPY})
    np.testing.assert_allclose(get(response), share * SLOPE, rtol=1e-6)
    document = {"slices": [SLOPE.tolist()], "strength": float(strength)}
    np.testing.assert_allclose(lane("POST", PATH, json=document).json()["slices"][0], share * SLOPE, rtol=1e-6)


def test_the_noise_and_the_change_are_told(lane: Here) -> None:
    document = {"slices": [noisy(20).tolist(), noisy(10).tolist()]}
    response = lane("POST", PATH, json=document)
    answer = response.json()
    assert answer["noise_hu"]["before"] == pytest.approx([20, 10], rel=0.15)
    assert answer["noise_hu"]["after"] == pytest.approx([10, 5], rel=0.15)
    assert answer["change_hu"] == pytest.approx([np.sqrt(np.mean((noisy(s) / 2) ** 2)) for s in (20, 10)])
    told = [float(response.headers[name]) for name in ("x-noise-before-hu", "x-noise-after-hu", "x-change-hu")]
    every = (answer["noise_hu"]["before"], answer["noise_hu"]["after"], answer["change_hu"])
    assert told == pytest.approx([np.sqrt(np.mean(np.square(one))) for one in every], abs=0.01)


@pytest.mark.parametrize(
    ("window", "bounds"),
    [("lung", (-1350, 150)), ("soft-tissue", (-160, 240)), ("Soft tissue", (-160, 240)), ("brain", (0, 80)),
     ("bone", (-500, 1300)), ("50/350", (-125, 225)), (" -600 / 1500 ", (-1350, 150))],
)  # fmt: skip
def test_a_window_is_a_name_or_a_centre_and_a_width(
    lane: Here, ct_slice: bytes, window: str, bounds: tuple[float, float]
) -> None:
    headers = {"content-type": DICOM, "accept": PNG}
    response = lane("POST", PATH, params={"window": window, "model": "toy-ct"}, content=ct_slice, headers=headers)
    preview = np.asarray(Image.open(io.BytesIO(response.content)))
    np.testing.assert_array_equal(preview, windowed(read_image(ct_slice, LIMITS).hu[0] / 2, bounds))


def test_before_and_after_stand_side_by_side(lane: Here, ct_slice: bytes) -> None:
    response = lane("POST", f"{PATH}&view=compare", content=ct_slice, headers={"content-type": DICOM})
    hu = read_image(ct_slice, LIMITS).hu[0]
    expected = np.hstack([windowed(hu, (-160, 240)), windowed(hu / 2, (-160, 240))])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(response.content))), expected)


def test_the_difference_is_grey_where_nothing_was_changed(lane: Here) -> None:
    hu = np.zeros((16, 16), np.float32)
    hu[3, 4], hu[5, 6] = 100, -1000
    shown = {}
    for query in ("", "&window=40/40"):
        response = lane("POST", f"{PATH}&view=difference{query}", content=npy(hu), headers={"content-type": NPY})
        shown[query] = np.asarray(Image.open(io.BytesIO(response.content)))
    assert [int(shown[""][at]) for at in ((0, 0), (3, 4), (5, 6))] == [128, 64, 255]
    assert [int(shown["&window=40/40"][at]) for at in ((0, 0), (3, 4), (5, 6))] == [0, 0, 255]


def test_a_view_is_a_picture_of_one_slice(lane: Here) -> None:
    path = f"{PATH}&view=compare"
    one, two = npy(np.zeros((16, 16))), npy(np.zeros((2, 16, 16)))
    response = lane("POST", path, content=one, headers={"content-type": NPY, "accept": NPY})
    assert_refused(response, 406, "not_acceptable", "accept")
    assert_refused(lane("POST", path, content=two, headers={"content-type": NPY}), 422, "invalid_value", "view")


@pytest.mark.parametrize(
    "query",
    ["strength=1.01", "strength=-0.1", "strength=nan", "strength=", "strength=much", "window=", "window=liver",
     "window=40/0", "window=40/-1", "window=40", "window=1/2/3", "window=inf/40", "view=", "view=side", "noise=-1",
     "noise=1e9", "noise=x"],
)  # fmt: skip
def test_a_wrong_option_is_refused_by_its_name(lane: Here, query: str) -> None:
    response = lane("POST", f"{PATH}&{query}", content=npy(np.zeros((16, 16))), headers={"content-type": NPY})
    assert_refused(response, 422, "invalid_value", query.partition("=")[0])


def test_a_model_that_finds_the_noise_itself_cannot_be_told(lane: Here) -> None:
    response = lane("POST", f"{PATH}&noise=12", content=npy(np.zeros((16, 16))), headers={"content-type": NPY})
    assert_refused(response, 422, "invalid_value", "noise")
    assert "toy-ct finds the noise by itself" in response.json()["detail"]


def test_a_model_is_told_the_noise_or_what_is_found_of_it(tmp_path: Path) -> None:
    toys.told_ct(tmp_path)
    lane, hu = lane_over(loaded(tmp_path)), noisy(20)
    path, headers = "/v1/ct/denoise", {"content-type": NPY}
    np.testing.assert_allclose(get(lane("POST", f"{path}?noise=12.5", content=npy(hu), headers=headers)), hu - 12.5)
    found = hu - get(lane("POST", path, content=npy(hu), headers=headers))
    np.testing.assert_allclose(found, 20, rtol=0.15)


def test_padding_stays_as_it_came(lane: Here, ct_slice: bytes) -> None:
    dataset, buffer = pydicom.dcmread(io.BytesIO(ct_slice)), io.BytesIO()
    stored = dataset.pixel_array.copy()
    stored[:10] = -2000
    stored[20:22] = -1999
    dataset.PixelData = stored.tobytes()
    dataset.add_new("PixelPaddingValue", "SS", -2000)
    dataset.save_as(buffer)
    hu = stored + float(dataset.RescaleIntercept)
    expected = np.where(stored == -2000, hu, hu / 2)
    np.testing.assert_array_equal(get(ask(lane, buffer.getvalue(), DICOM, NPY))[0], expected)
    derived = pydicom.dcmread(io.BytesIO(ask(lane, buffer.getvalue(), DICOM).content))
    assert (derived.pixel_array[:10] == -2000).all()
    dataset.add_new("PixelPaddingRangeLimit", "SS", -1999)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    expected[20:22] = hu[20:22]
    np.testing.assert_array_equal(get(ask(lane, buffer.getvalue(), DICOM, NPY))[0], expected)


HELPED = CtDenoising(window=(-160, 240), spacing_mm=(0.4, 0.75))


@pytest.mark.parametrize("spacing", [None, (0.98, 0.98), (0.6, 0.98), (0.3, 0.6)])
def test_pixels_of_a_size_at_which_nothing_is_gained_are_refused(spacing: Any) -> None:
    with pytest.raises(InvalidValue, match="PixelSpacing of 0.4 to 0.75 mm"):
        check_spacing(spacing, HELPED)
    check_spacing((0.6, 0.75), HELPED)


@pytest.mark.parametrize(("said", "spacing"), [("0.6", (0.6, 0.6)), ("0.6,0.7", (0.6, 0.7)), (0.5, (0.5, 0.5))])
def test_a_spacing_is_one_number_or_two(said: Any, spacing: Any) -> None:
    assert parse_spacing(said) == spacing


@pytest.mark.parametrize("said", ["", "0", "-1", "nan", "inf", "0.5,", "1,2,3", True, 0])
def test_anything_else_is_no_spacing(said: Any) -> None:
    with pytest.raises(InvalidValue):
        parse_spacing(said)

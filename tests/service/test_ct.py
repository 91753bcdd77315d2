"""CT denoising: slices come back in the form they came in, or the one that `accept` names. The toy halves them."""

import asyncio
import io
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.bundle import CtDenoising
from service.codecs.archives import read_archive, write_archive
from service.codecs.dicom import read_image
from service.codecs.forms import write_form
from service.codecs.related import read_related, write_related
from service.engine.repository import Repository
from service.errors import InvalidValue
from service.limits import Limits
from service.messages import DICOM, JSON, NPY, PNG, RELATED, ZIP, Request
from service.tasks.ct import TASK
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


def test_parts_are_denoised_together(lane: Here, ct_slice: bytes) -> None:
    parts = [("dicom", (f"{i}.dcm", ct_slice)) for i in range(3)]
    response = lane("POST", PATH, files=parts, headers={"accept": NPY})
    assert np.load(io.BytesIO(response.content)).shape == (3, 128, 128)


def test_one_part_is_answered_as_dicom(lane: Here, ct_slice: bytes) -> None:
    response = lane("POST", PATH, files={"dicom": ("0.dcm", ct_slice)})
    assert pydicom.dcmread(io.BytesIO(response.content)).Modality == "CT"


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", NPY),
        ("application/*", NPY),
        (f"{DICOM}, {NPY};q=0.5", NPY),
        (f"{PNG}, {JSON};q=0.5", JSON),
        (f"{NPY};q=0.5, {JSON}", JSON),
    ],
)
def test_several_parts_are_answered_in_a_form_that_holds_them(
    lane: Here, ct_slice: bytes, accept: str, media: str
) -> None:
    response = lane("POST", PATH, files=[("dicom", ct_slice)] * 2, headers={"accept": accept})
    assert (response.status_code, response.headers["content-type"]) == (200, media), response.text


def series(ct_slice: bytes, count: int = 3) -> list[bytes]:
    """Slices of one series, each brighter by 100 HU than the one before, the last first."""
    files = []
    for number in range(count):
        dataset, buffer = pydicom.dcmread(io.BytesIO(ct_slice)), io.BytesIO()
        dataset.PixelData = (dataset.pixel_array + 100 * number).astype("<i2").tobytes()
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
        dataset.ImagePositionPatient = [0, 0, -5.0 * number]
        dataset.save_as(buffer)
        files.append(buffer.getvalue())
    return files


BODIES = {
    "related": lambda files: write_related(files, DICOM),
    "zip": lambda files: (write_archive(files, "dcm"), ZIP),
    "form": lambda files: write_form("dicom", files),
}


@pytest.mark.parametrize("form", BODIES)
@pytest.mark.parametrize("accept", [RELATED, ZIP, f'{RELATED}; type="{DICOM}"; transfer-syntax=*'])
def test_a_series_is_answered_in_its_order_as_one_new_series(
    lane: Here, ct_slice: bytes, form: str, accept: str
) -> None:
    files = series(ct_slice)
    body, media = BODIES[form](files)
    response = lane("POST", PATH, content=body, headers={"content-type": media, "accept": accept})
    kind = response.headers["content-type"]
    assert kind.split(";")[0] == accept.split(";")[0]
    answered = Request(response.content, {b"content-type": kind.encode()})
    derived = read_related(answered, DICOM) if RELATED in kind else read_archive(response.content, LIMITS, 2**24)
    images = [pydicom.dcmread(io.BytesIO(one)) for one in derived]
    hu = [read_image(one, LIMITS).hu / 2 for one in files]
    np.testing.assert_allclose([read_image(one, LIMITS).hu for one in derived], hu, atol=0.5)
    origins = [image.SourceImageSequence[0].ReferencedSOPInstanceUID for image in images]
    assert origins == [pydicom.dcmread(io.BytesIO(one)).SOPInstanceUID for one in files]
    assert len({image.SeriesInstanceUID for image in images}) == 1
    assert len({image.SOPInstanceUID for image in images}) == len(files)


@pytest.mark.parametrize(("form", "media"), [("related", RELATED), ("zip", ZIP), ("form", NPY)])
def test_a_series_is_answered_in_the_form_it_came_in(lane: Here, ct_slice: bytes, form: str, media: str) -> None:
    for count in (1, 2) if form != "form" else (2,):
        body, kind = BODIES[form](series(ct_slice, count))
        response = lane("POST", PATH, content=body, headers={"content-type": kind})
        assert response.headers["content-type"].split(";")[0] == media


def test_a_damaged_file_of_a_series_is_refused_by_its_number(lane: Here, ct_slice: bytes) -> None:
    for form, field in (("related", "parts[1]"), ("zip", "zip[1]"), ("form", "dicom[1]")):
        body, media = BODIES[form]([ct_slice, ct_slice[:20_000]])
        assert_refused(lane("POST", PATH, content=body, headers={"content-type": media}), 400, "malformed_body", field)


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


def test_slices_of_different_sizes_are_refused(lane: Here, ct_slice: bytes) -> None:
    dataset, buffer = pydicom.dcmread(io.BytesIO(ct_slice)), io.BytesIO()
    dataset.PixelData, dataset.Rows = dataset.PixelData[: 64 * 128 * 2], 64
    dataset.save_as(buffer)
    parts = [("dicom", ("0.dcm", ct_slice)), ("dicom", ("1.dcm", buffer.getvalue()))]
    assert_refused(lane("POST", PATH, files=parts), 422, "invalid_shape", "dicom")


def test_a_damaged_part_is_refused_by_its_number(lane: Here, ct_slice: bytes) -> None:
    parts = [("dicom", ("0.dcm", ct_slice)), ("dicom", ("1.dcm", b"damaged"))]
    assert_refused(lane("POST", PATH, files=parts), 400, "malformed_body", "dicom[1]")


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


def in_pieces(repository: Repository, files: list[bytes], accept: str, wait_s: float = 0, **headers: str) -> Any:
    """The messages of an answer, and how many slices the graph had seen when each came; the first is read slowly."""
    model, body, media = repository.models["toy-ct"], *write_related(files, DICOM)
    sent: list[tuple[dict[str, Any], float]] = []
    given = {"host": "x", "content-type": media, "accept": accept} | headers
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/ct/denoise",
        "query_string": b"model=toy-ct",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append((message, model.metrics.rows.values()[-1] - before))
        if len(sent) == 2:
            await asyncio.sleep(wait_s)

    before = model.metrics.rows.values()[-1]
    asyncio.run(lane_over(repository, max_body_bytes=2**24).app(scope, receive, send))
    return sent


@pytest.mark.parametrize("accept", [RELATED, ZIP])
def test_a_slice_is_sent_before_the_next_is_looked_at(repository: Repository, ct_slice: bytes, accept: str) -> None:
    sent = in_pieces(repository, series(ct_slice, 4), accept)
    (start, _), *pieces = sent
    assert b"content-length" not in dict(start["headers"])
    assert [seen for message, seen in pieces if message.get("more_body")] == [1, 2, 3, 4, 4]
    whole = b"".join(message["body"] for message, _ in pieces)
    media = dict(start["headers"])[b"content-type"]
    request = Request(whole, {b"content-type": media})
    assert len(read_related(request, DICOM) if accept == RELATED else read_archive(whole, LIMITS, 2**24)) == 4


def test_each_part_says_what_was_found_and_done_in_it(repository: Repository, ct_slice: bytes) -> None:
    sent = in_pieces(repository, series(ct_slice, 2), RELATED)
    for message, _ in sent[1:3]:
        head = message["body"].partition(b"\r\n\r\n")[0]
        assert all(b"\r\nx-%s-hu: " % name in head for name in (b"noise-before", b"noise-after", b"change"))


def test_what_fails_in_the_middle_ends_without_an_end(repository: Repository, ct_slice: bytes) -> None:
    sent = in_pieces(repository, series(ct_slice, 3), RELATED, wait_s=2.5, **{"x-timeout-ms": "2500"})
    assert [message.get("status") for message, _ in sent] == [200, None]
    assert sent[-1][0]["more_body"]


def test_a_client_that_knows_no_chunks_gets_all_at_once(lane: Here, ct_slice: bytes) -> None:
    async def old(scope: Any, receive: Any, send: Any) -> None:
        await lane.app({**scope, "http_version": "1.0"}, receive, send)

    body, media = write_related(series(ct_slice, 2), DICOM)
    headers = {"content-type": media, "accept-encoding": "identity"}
    response = Here(old)("POST", PATH, content=body, headers=headers)
    assert int(response.headers["content-length"]) == len(response.content)
    assert response.content.endswith(b"--\r\n")

"""Several slices: parts, archives and series are denoised together, and answered in their order, piece by piece."""

import asyncio
import io
from typing import Any

import numpy as np
import pydicom
import pytest

from service.codecs.archives import read_archive, write_archive
from service.codecs.dicom import read_image
from service.codecs.forms import write_form
from service.codecs.related import read_related, write_related
from service.engine.repository import Repository
from service.limits import Limits
from service.messages import DICOM, JSON, NPY, PNG, RELATED, ZIP, Request
from tests.conftest import Here, assert_refused, lane_over

LIMITS = Limits(max_rows=32, max_pixels=2**20)
PATH = "/v1/ct/denoise?model=toy-ct"
pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")


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


def test_slices_of_different_sizes_are_refused(lane: Here, ct_slice: bytes) -> None:
    dataset, buffer = pydicom.dcmread(io.BytesIO(ct_slice)), io.BytesIO()
    dataset.PixelData, dataset.Rows = dataset.PixelData[: 64 * 128 * 2], 64
    dataset.save_as(buffer)
    parts = [("dicom", ("0.dcm", ct_slice)), ("dicom", ("1.dcm", buffer.getvalue()))]
    assert_refused(lane("POST", PATH, files=parts), 422, "invalid_shape", "dicom")


def test_a_damaged_part_is_refused_by_its_number(lane: Here, ct_slice: bytes) -> None:
    parts = [("dicom", ("0.dcm", ct_slice)), ("dicom", ("1.dcm", b"damaged"))]
    assert_refused(lane("POST", PATH, files=parts), 400, "malformed_body", "dicom[1]")


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

"""Bad input is answered with a clear problem and a stable code, and nothing of it reaches the log."""

import base64
import io
import json
import socket
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from service.codecs.pictures import write_png
from service.settings import Settings
from service.tasks import TASKS
from tests.conftest import Running, assert_refused, npy
from training.data.german import ATTRIBUTES

SECRET = "Doe^Jane-0815"
DIGITS, CREDIT, CT, SAMPLES = "/v1/digits/classify", "/v1/credit/score", "/v1/ct/denoise", "/v1/samples/generate"
PREDICT = "/v1/models/convnet/predict"
PATHS = [one.path.format(name="convnet") for one in TASKS]
NPY, DICOM, JSON = "application/x-npy", "application/dicom", "application/json"
PIXEL = base64.b64encode(write_png(np.zeros((28, 28), np.uint8))).decode()
PERSON: dict[str, Any] = {one.name: one.values[0] if one.values else one.range[0] for one in ATTRIBUTES}


def bomb() -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )


def dicom(**changes: Any) -> bytes:
    """CT_small.dcm with other elements; None removes one."""
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    dataset.PatientName = SECRET
    for name, value in changes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def video() -> bytes:
    dataset = pydicom.dcmread(io.BytesIO(dicom()))
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    dataset.PixelData = pydicom.encaps.encapsulate([bytes(100)])
    dataset["PixelData"].is_undefined_length = True
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def people(**changes: Any) -> bytes:
    return json.dumps({"applicants": [PERSON, PERSON | changes]}).encode()


def without(name: str) -> bytes:
    return json.dumps({"applicants": [{key: value for key, value in PERSON.items() if key != name}]}).encode()


def images(*pictures: Any) -> bytes:
    return json.dumps({"images": pictures}).encode()


NOISE_PNG = write_png(np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8))
NAN = np.zeros((2, 28, 28), np.float32)
NAN[1, 3, 3] = np.nan
BOMB_TEXT = base64.b64encode(bomb()).decode()
FORM = "multipart/form-data; boundary=x"
OTHER_TENSOR = json.dumps({"inputs": {SECRET: [1]}}).encode()
OTHER_PART = f'--x\r\ncontent-disposition: form-data; name="{SECRET}"\r\n\r\n1\r\n--x--\r\n'.encode()
OTHER_MODEL = json.dumps({"images": [PIXEL], "model": SECRET}).encode()
OTHER_FIELD = json.dumps({"images": [PIXEL], SECRET: 1}).encode()
LIMIT = Settings().max_rows

CASES: dict[str, tuple[str, str, bytes, int, str, str | None]] = {
    "unknown attribute": (CREDIT, JSON, people(**{SECRET: 1}), 422, "invalid_value", f"applicants[1].{SECRET}"),
    "unknown value": (CREDIT, JSON, people(job=SECRET), 422, "invalid_value", "applicants[1].job"),
    "missing attribute": (CREDIT, JSON, without("age_years"), 422, "invalid_value", "applicants[0].age_years"),
    "number out of range": (CREDIT, JSON, people(age_years=815), 422, "invalid_value", "applicants[1].age_years"),
    "text for a number": (CREDIT, JSON, people(age_years=SECRET), 422, "invalid_value", "applicants[1].age_years"),
    "NaN in JSON": (CREDIT, JSON, people(age_years=float("nan")), 400, "malformed_body", None),
    "csv of uneven rows": (CREDIT, "text/csv", b"a,b\n1\n", 400, "malformed_body", "applicants[0]"),
    "csv without rows": (CREDIT, "text/csv", b"a,b\n", 400, "empty_body", None),
    "truncated JSON": (CREDIT, JSON, people(job=SECRET)[:-9], 400, "malformed_body", None),
    "NaN in an array": (DIGITS, NPY, npy(NAN), 422, "invalid_value", "images"),
    "pixel out of range": (DIGITS, NPY, npy(np.full((28, 28), 815)), 422, "invalid_value", "images"),
    "wrong shape": (DIGITS, NPY, npy(np.zeros((3, 27, 28))), 422, "invalid_shape", "images"),
    "wrong dtype": (DIGITS, NPY, npy(np.array([SECRET])), 422, "invalid_shape", None),
    "truncated array": (DIGITS, NPY, npy(np.zeros((28, 28)))[:-1], 400, "malformed_body", None),
    "ragged rows": (DIGITS, JSON, images([[0] * 28] * 27 + [[0]]), 422, "invalid_shape", "images"),
    "not an image": (DIGITS, "image/png", SECRET.encode(), 400, "malformed_body", None),
    "truncated image": (DIGITS, "image/png", NOISE_PNG[:400], 400, "malformed_body", None),
    "not base64": (DIGITS, JSON, images(PIXEL, SECRET), 400, "malformed_body", "images[1]"),
    "decompression bomb": (DIGITS, "image/png", bomb(), 413, "too_many_pixels", None),
    "bomb in base64": (DIGITS, JSON, images(PIXEL, BOMB_TEXT), 413, "too_many_pixels", "images[1]"),
    "batch over the limit": (DIGITS, NPY, npy(np.zeros((LIMIT + 1, 28, 28), "u1")), 422, "too_many_rows", "images"),
    "broken form": (DIGITS, FORM, b"--x\r\n" + SECRET.encode(), 400, "malformed_body", None),
    "unsupported media": (DIGITS, "text/plain", SECRET.encode(), 415, "unsupported_media", "content-type"),
    "unknown model": (DIGITS, JSON, OTHER_MODEL, 404, "unknown_model", "model"),
    "unknown version": (f"{DIGITS}?version=0815", JSON, images(PIXEL), 404, "unknown_version", "version"),
    "unknown field": (DIGITS, JSON, OTHER_FIELD, 422, "invalid_value", SECRET),
    "not CT": (CT, DICOM, dicom(Modality="MR"), 422, "invalid_value", None),
    "no pixel data": (CT, DICOM, dicom(PixelData=None), 422, "invalid_value", None),
    "unsupported compression": (CT, DICOM, video(), 415, "unsupported_media", None),
    "no DICOM": (CT, DICOM, SECRET.encode(), 400, "malformed_body", None),
    "truncated DICOM": (CT, DICOM, dicom()[:20_000], 400, "malformed_body", None),
    "slope of zero": (CT, DICOM, dicom(RescaleSlope="0"), 422, "invalid_value", None),
    "unknown spacing": (CT, NPY, npy(np.zeros((64, 64))), 422, "invalid_value", "spacing_mm"),
    "pixels too large": (f"{CT}?spacing_mm=1.6", NPY, npy(np.zeros((64, 64))), 422, "invalid_value", "spacing_mm"),
    "infinite HU": (f"{CT}?spacing_mm=0.6", NPY, npy(np.full((64, 64), np.inf)), 422, "invalid_value", None),
    "slice too small": (CT, NPY, npy(np.zeros((1, 1))), 422, "invalid_shape", "slices"),
    "count over the limit": (SAMPLES, JSON, b'{"count": 100000}', 422, "too_many_rows", "count"),
    "unknown label": (SAMPLES, JSON, json.dumps({"label": SECRET}).encode(), 422, "invalid_value", "label"),
    "unknown wish": (SAMPLES, JSON, json.dumps({SECRET: 1}).encode(), 422, "invalid_value", SECRET),
    "unknown tensor": (PREDICT, JSON, OTHER_TENSOR, 422, "invalid_value", f"inputs.{SECRET}"),
    "unknown part": (DIGITS, FORM, OTHER_PART, 422, "invalid_value", "image"),
    "negative seed": (SAMPLES, JSON, b'{"seed": -1}', 422, "invalid_value", "seed"),
    "generator of another task": (f"{SAMPLES}?model=convnet", JSON, b"{}", 404, "unknown_model", "model"),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def quiet(server: Running) -> Iterator[None]:
    """What was sent in this file is not in the log afterwards."""
    yield
    assert SECRET not in server.log
    assert "Traceback" not in server.log


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_refused(client: httpx.Client, name: str) -> None:
    path, media, body, status, code, field = CASES[name]
    assert_refused(client.post(path, content=body, headers={"content-type": media}), status, code, field)


@pytest.mark.parametrize("path", PATHS)
def test_an_empty_body_is_refused_everywhere(client: httpx.Client, path: str) -> None:
    assert_refused(client.post(path), 400, "empty_body")


@pytest.mark.parametrize("path", PATHS)
def test_media_that_no_endpoint_takes_are_refused_everywhere(client: httpx.Client, path: str) -> None:
    response = client.post(path, content=SECRET, headers={"content-type": "application/x-secret"})
    assert_refused(response, 415, "unsupported_media", "content-type")


def test_a_body_over_the_limit_is_refused_before_it_is_sent(server: Running) -> None:
    size = Settings().max_body_bytes + 1
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(f"POST {DIGITS} HTTP/1.1\r\nhost: here\r\ncontent-length: {size}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(2**16), b""))
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"body_too_large" in answer


def test_a_form_that_cannot_be_answered_is_refused(client: httpx.Client) -> None:
    response = client.post(SAMPLES, json={}, headers={"accept": "video/mp4"})
    assert_refused(response, 406, "not_acceptable", "accept")


def test_a_request_id_of_the_client_comes_back_in_the_problem(client: httpx.Client) -> None:
    response = client.post(DIGITS, headers={"x-request-id": "order-7"})
    assert response.json()["request_id"] == "order-7"


def test_a_value_that_breaks_dicom_is_not_quoted_in_the_log(client: httpx.Client) -> None:
    """pydicom warns of values that break the standard, by quoting them."""
    body = dicom().replace(b"CompressedSamples^CT1", SECRET.encode().ljust(21, b"~"))
    body = body.replace(b"ORIGINAL\\PRIMARY\\AXIAL", f"original\\{SECRET}!".encode().ljust(22, b" "))
    client.post(CT, content=body, headers={"content-type": DICOM})

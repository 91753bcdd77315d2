"""The CT denoiser in the bench: slices of a clinical size as arrays and as DICOM, the bare model, and FastAPI."""

import io
from functools import partial

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import generate_uid

from load_tests.bench.contender import Contender, close
from load_tests.bench.raw import RawModel
from load_tests.bench.work import work
from load_tests.bodies import DICOM, SLICE_MM, Body, as_npy, slice_dicom, slice_hu
from load_tests.servers import Server
from service.codecs.dicom import read_image
from service.codecs.related import read_related, write_related
from service.limits import Limits
from service.messages import RELATED, Request

SIDE = 512  # pixels
ROUNDED_HU = 0.51  # to whole HU
LIMITS = Limits(max_rows=64, max_pixels=2**26)


def slices(count: int) -> NDArray[np.int16]:
    """[N, 512, 512] in HU: a slice of 128x128 pixels mirrored to the size of a clinical one, in four orientations."""
    own = slice_hu()
    hu = np.pad(own, (0, SIDE - len(own)), mode="symmetric")
    turned = [hu, hu[::-1], hu[:, ::-1], hu[::-1, ::-1]]
    return np.stack([turned[number % len(turned)] for number in range(count)])


def as_dicom(hu: NDArray[np.int16]) -> bytes:
    dataset, buffer = dcmread(io.BytesIO(slice_dicom().content)), io.BytesIO()
    dataset.Rows, dataset.Columns = hu.shape
    dataset.PixelData = (hu - int(dataset.RescaleIntercept)).astype("<i2").tobytes()
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.save_as(buffer)
    return buffer.getvalue()


def contenders(ours: str, echo: str, fastapi: Server | None, raw: RawModel, hu: NDArray[np.int16]) -> list[Contender]:
    """FastAPI takes arrays only: it has no reader of DICOM."""
    expected = raw.outputs()["denoised"]
    in_npy, in_dicom = as_npy(hu), _dicom_body(hu)
    counted = partial(work, ours, raw.name)
    address = f"{ours}/v1/ct/denoise?model={raw.name}"
    arrays, objects = (partial(right, expected=expected) for right in (is_array, are_objects))
    found = [
        Contender("ours", "npy", f"{address}&spacing_mm={SLICE_MM}", in_npy, arrays, "echo, npy", counted),
        Contender("ours", "DICOM", address, in_dicom, objects, "echo, DICOM", counted),
    ]
    if fastapi:
        url = f"{fastapi.url}/denoise"
        found.append(Contender("FastAPI", "npy", url, in_npy, arrays, "echo, npy", awake=fastapi.awake))
    bodies = {"npy": in_npy, "DICOM": in_dicom}
    return [*found, *(Contender("echo", form, echo, body, body.content.__eq__) for form, body in bodies.items())]


def _dicom_body(hu: NDArray[np.int16]) -> Body:
    """One object, or several in `multipart/related`."""
    files = [as_dicom(one) for one in hu]
    return Body(files[0], DICOM) if len(files) == 1 else Body(*write_related(files, DICOM))


def is_array(answer: bytes, expected: NDArray[np.float32]) -> bool:
    return close(np.load(io.BytesIO(answer), allow_pickle=False), expected, atol=0.5)


def are_objects(answer: bytes, expected: NDArray[np.float32]) -> bool:
    files = [answer]
    if len(expected) > 1:
        boundary = answer[2 : answer.index(b"\r\n")].decode()
        media_type = f'{RELATED}; type="{DICOM}"; boundary={boundary}'
        files = read_related(Request(answer, {b"content-type": media_type.encode()}), DICOM)
    return close(np.concatenate([read_image(file, LIMITS).hu for file in files]), expected, atol=0.5 + ROUNDED_HU)

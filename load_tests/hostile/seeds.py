"""Right requests to every endpoint in every form it takes, made from real payloads: what hostile ones begin with."""

import base64
import io
import json
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from load_tests.bodies import (
    DICOM,
    JSON,
    NPY,
    PNG,
    applicants,
    as_json,
    as_npy,
    digit,
    digit_png,
    digits_json,
    slice_dicom,
    slice_hu,
)
from service.endpoints import ENDPOINTS, OF_A_MODEL

CLASSIFY, SCORE, DENOISE, GENERATE = "/v1/digits/classify", "/v1/credit/score", "/v1/ct/denoise", "/v1/samples/generate"
IMAGES, ACTIVATIONS = "/v1/images/classify", "/v1/models/digits/activations"
PREDICT, INFER = "/v1/models/toy-tensors/predict", "/v2/models/toy-tensors/infer"
ASKED = {"predict_tensors": "toy-tensors", "show_activations": "digits"}  # where the path names the model
# Every path that takes JSON, and the fields of it.
FIELDS: dict[str, tuple[str, ...]] = {
    one.path.format(name=ASKED.get(one.name)): tuple(one.request_form.model_fields)
    for one in (*ENDPOINTS, *OF_A_MODEL.values())
} | {INFER: ("inputs", "outputs", "parameters", "id")}
FORM, CSV = "multipart/form-data; boundary=edge", "text/csv"


class Seed(NamedTuple):
    path: str
    headers: dict[bytes, bytes]
    body: bytes
    query: bytes = b""


def seeds() -> list[Seed]:
    return [*_digits(), *_reasons(), *_credit(), *_ct(), *_samples(), *_tensors()]


def _digits() -> list[Seed]:
    png = digit_png(7).content
    return [
        _seed(CLASSIFY, png, PNG),
        _seed(CLASSIFY, *digits_json(7)),
        _seed(CLASSIFY, *as_json({"images": [base64.b64encode(png).decode()], "model": "digits", "version": "1"})),
        _seed(CLASSIFY, *as_npy(digit(7))),
        _seed(CLASSIFY, form("image", png, png), FORM),
        *(
            _seed(CLASSIFY, _picture(digit(7), kind), f"image/{kind.lower()}")
            for kind in ("JPEG", "WEBP", "BMP", "TIFF")
        ),
    ]


def _reasons() -> list[Seed]:
    """Several digits in a page, refusals, explanations and activations."""
    page = _picture(np.concatenate([digit(label) for label in (4, 2)], axis=1), "PNG")
    asked = {"images": [base64.b64encode(page).decode()], "many": True, "explain": True}
    return [
        _seed(CLASSIFY, *as_json(asked)),
        _seed(CLASSIFY, *as_npy(digit(0) // 9), query=b"explain=true"),
        _seed(CLASSIFY, form("image", page), FORM, query=b"many=true"),
        _seed(IMAGES, *as_json({"images": [base64.b64encode(page).decode()]})),
        _seed(IMAGES, *as_npy(digit(7))),
        _seed(ACTIVATIONS, page, PNG, query=b"many=true"),
        _seed(ACTIVATIONS, *digits_json(7), accept=PNG),
    ]


def _picture(grey: NDArray[np.uint8], kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, kind)
    return buffer.getvalue()


def _credit() -> list[Seed]:
    rows = [{name: str(value) for name, value in row.items()} for row in applicants()[:2]]
    table = "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)])
    return [_seed(SCORE, *as_json({"applicants": applicants()[:1]})), _seed(SCORE, table.encode(), CSV)]


def _ct() -> list[Seed]:
    dicom, hu = slice_dicom().content, slice_hu()[:32, :32]
    return [
        *(_seed(DENOISE, dicom, DICOM, accept) for accept in (DICOM, PNG, NPY)),
        _seed(DENOISE, form("dicom", dicom), FORM, NPY),
        _seed(DENOISE, *as_npy(hu)),
        _seed(DENOISE, *as_json({"slices": [hu[:16, :16].tolist()]})),
    ]


def _samples() -> list[Seed]:
    wish = {"count": 2, "seed": 7, "labels": [1, "2"]}
    return [
        _seed(GENERATE, *as_json(wish), JSON),
        _seed(GENERATE, *as_json({"latents": [[0.5] * 4], "label": 3}), NPY),
        _seed(GENERATE, *as_json({"model": "cvae", "count": 3}), PNG),
    ]


def _tensors() -> list[Seed]:
    raw = np.zeros((2, 3), np.float32).tobytes() + np.zeros(2, np.int64).tobytes()
    names = (("x", "FP32", [2, 3]), ("k", "INT64", [2]))
    bare = [{"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in names]
    plain = [bare[0] | {"data": [1, 2, 3, 4, 5, 6]}, bare[1] | {"data": [1, 2]}]
    sized = [tensor | {"parameters": {"binary_data_size": size}} for tensor, size in zip(bare, (24, 16), strict=True)]
    document = json.dumps({"id": "7", "inputs": sized, "parameters": {"binary_data_output": True}}).encode()
    length = {b"inference-header-content-length": str(len(document)).encode()}
    return [
        _seed(PREDICT, *as_json({"inputs": {"x": [[1, 2, 3]], "k": [4]}})),
        _seed(INFER, *as_json({"id": "7", "inputs": plain, "outputs": [{"name": "y"}]})),
        Seed(INFER, {b"content-type": b"application/octet-stream", **length}, document + raw),
        _seed("/v2/repository/index", b'{"ready": true}', JSON),
    ]


def _seed(path: str, body: bytes, media_type: str, accept: str = "*/*", query: bytes = b"") -> Seed:
    return Seed(path, {b"content-type": media_type.encode(), b"accept": accept.encode()}, body, query)


def form(name: str, *files: bytes) -> bytes:
    """A multipart body with the boundary of FORM."""
    head = f'--edge\r\ncontent-disposition: form-data; name="{name}"; filename="f"\r\n\r\n'.encode()
    return b"".join(head + file + b"\r\n" for file in files) + b"--edge--\r\n"

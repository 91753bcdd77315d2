"""Right requests to every endpoint in every form it takes, made from real payloads: what hostile ones begin with."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from load_tests.bodies import JSON, as_json
from load_tests.examples import requests_of
from service.codecs.forms import BOUNDARY, write_form
from service.messages import CSV as CSV
from service.tasks import TASKS, activations, credit, ct, digits, images, samples
from tests import toys

CLASSIFY, SCORE, DENOISE, GENERATE = digits.TASK.path, credit.TASK.path, ct.TASK.path, samples.TASK.path
IMAGES, ACTIVATIONS = images.TASK.path, activations.TASK.path.format(name="digits")
PREDICT, INFER = "/v1/models/toy-tensors/predict", "/v2/models/toy-tensors/infer"
ASKED = {"predict_tensors": "toy-tensors", "show_activations": "digits"}  # where the path names the model
# Every path that takes JSON, and the fields of it.
FIELDS: dict[str, tuple[str, ...]] = {
    one.path.format(name=ASKED.get(one.name)): tuple(one.request_form.model_fields) for one in TASKS
} | {INFER: ("inputs", "outputs", "parameters", "id")}
FORM = f"multipart/form-data; boundary={BOUNDARY.decode()}"


class Seed(NamedTuple):
    path: str
    headers: dict[bytes, bytes]
    body: bytes
    query: bytes = b""


@cache
def seeds() -> list[Seed]:
    """The examples of every task, over the toys, and requests in the forms of the protocol."""
    with tempfile.TemporaryDirectory() as folder:
        put_toys(Path(folder))
        examples = [
            _seed(asked.path, asked.example.body, asked.example.media_type, asked.example.accept, asked.query.encode())
            for asked in requests_of(Path(folder))
        ]
    return [*examples, *_protocol()]


def put_toys(models: Path) -> None:
    """Every toy, of digits the one that explains itself, under the name of the committed model."""
    toys.wary(models, "digits")
    for toy in toys.ALL:
        if toy not in (toys.digits, toys.wary):
            toy(models)


def _protocol() -> list[Seed]:
    raw = np.zeros((2, 3), np.float32).tobytes() + np.zeros(2, np.int64).tobytes()
    names = (("x", "FP32", [2, 3]), ("k", "INT64", [2]))
    bare = [{"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in names]
    plain = [bare[0] | {"data": [1, 2, 3, 4, 5, 6]}, bare[1] | {"data": [1, 2]}]
    sized = [tensor | {"parameters": {"binary_data_size": size}} for tensor, size in zip(bare, (24, 16), strict=True)]
    document = json.dumps({"id": "7", "inputs": sized, "parameters": {"binary_data_output": True}}).encode()
    length = {b"inference-header-content-length": str(len(document)).encode()}
    return [
        _seed(INFER, *as_json({"id": "7", "inputs": plain, "outputs": [{"name": "y"}]})),
        Seed(INFER, {b"content-type": b"application/octet-stream", **length}, document + raw),
        _seed("/v2/repository/index", b'{"ready": true}', JSON),
    ]


def _seed(path: str, body: bytes, media_type: str, accept: str = "*/*", query: bytes = b"") -> Seed:
    return Seed(path, {b"content-type": media_type.encode(), b"accept": accept.encode()}, body, query)


def form(name: str, *files: bytes) -> bytes:
    """A multipart body of the media type FORM."""
    return write_form(name, files)[0]

"""The digit endpoints of the competitors: the same pixels, in the forms that each of them reads."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from load_tests.bench.contender import Contender, close
from load_tests.bodies import JSON, Body, as_json
from load_tests.servers import Server

OCTETS = "application/octet-stream"
INFER = "/v2/models/digits/infer"
Images = NDArray[np.uint8]


class Request(NamedTuple):
    body: Body
    headers: dict[str, str]


class Form(NamedTuple):
    """A path, the request that it reads, and how to read the probabilities [N, 10] of its answer."""

    name: str
    path: str
    request: Callable[[Images], Request]
    read: Callable[[bytes], ArrayLike]


def rivals(servers: Mapping[str, Server], images: Images, expected: ArrayLike) -> Iterator[Contender]:
    """For servers by product."""
    for product, server in servers.items():
        for form in FORMS[product]:
            body, headers = form.request(images)
            url, right = server.url + form.path, answers(form, expected)
            echo = "echo, JSON" if body.media_type == JSON else ""
            yield Contender(product, form.name, url, body, right, echo, headers=headers, awake=server.awake)


def answers(form: Form, expected: ArrayLike) -> Callable[[bytes], bool]:
    return lambda answer: close(form.read(answer), expected)


def nested(field: str) -> Callable[[Images], Request]:
    return lambda images: Request(as_json({field: images.tolist()}), {})


def flat(images: Images) -> Request:
    """The protocol's tensor in JSON."""
    return Request(as_json({"inputs": [_tensor(images) | {"data": images.ravel().tolist()}]}), {})


def binary(images: Images) -> Request:
    """The protocol's tensor in its binary extension."""
    raw = images.astype("<f4").tobytes()
    tensor = _tensor(images) | {"parameters": {"binary_data_size": len(raw)}}
    document = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return Request(Body(document + raw, OCTETS), {"inference-header-content-length": str(len(document))})


def _tensor(images: Images) -> dict[str, Any]:
    return {"name": "image", "datatype": "FP32", "shape": list(images.shape)}


def read_field(field: str) -> Callable[[bytes], ArrayLike]:
    def read(answer: bytes) -> ArrayLike:
        probabilities: ArrayLike = json.loads(answer)[field]
        return probabilities

    return read


def read_flat(answer: bytes) -> ArrayLike:
    (output,) = json.loads(answer)["outputs"]
    return np.reshape(output["data"], output["shape"])


def read_binary(answer: bytes) -> ArrayLike:
    """The tensor is the end of the answer."""
    return np.frombuffer(answer[-40:], "<f4")[None]


V2_JSON = Form("V2 JSON", INFER, flat, read_flat)
V2_BINARY = Form("V2 binary", INFER, binary, read_binary)
FASTAPI = Form("JSON", "/classify", nested("images"), read_field("probabilities"))
FORMS = {
    "FastAPI": (FASTAPI,),
    "FastAPI, logging": (FASTAPI,),
    "LitServe": (Form("JSON", "/predict", nested("images"), read_field("probabilities")),),
    "KServe": (Form("V1 JSON", "/v1/models/digits:predict", nested("instances"), read_field("predictions")), V2_BINARY),
    "MLServer": (V2_JSON,),  # reads no binary tensors over HTTP
    "PyTriton": (V2_JSON, V2_BINARY),
}

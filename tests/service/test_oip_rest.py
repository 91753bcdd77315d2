"""The Open Inference Protocol over HTTP: bodies of JSON, of raw bytes, and of both."""

import gzip
import json
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from service.engine.repository import Repository
from tests.bundle_writer import DTYPES
from tests.conftest import Here
from tests.service.conftest import BY_DTYPE

ECHO, TENSORS = "/v2/models/toy-echo/infer", "/v2/models/toy-tensors/infer"
LENGTH = "inference-header-content-length"
X, K = np.array([[1, 2, 3], [4, 5, 6.5]], np.float32), np.array([1, 2])
Y = [3, 5, 7, 10, 12, 15]


def tensor(name: str, array: NDArray[Any], *, binary: bool = False, **changes: Any) -> dict[str, Any]:
    form = {"parameters": {"binary_data_size": array.nbytes}} if binary else {"data": array.ravel().tolist()}
    return {"name": name, "shape": list(array.shape), "datatype": BY_DTYPE[array.dtype.name], **form, **changes}


def xk(**changes: Any) -> dict[str, Any]:
    return {"inputs": [tensor("x", X), tensor("k", K)], **changes}


def ask(lane: Here, path: str, document: object, *raw: NDArray[Any], **headers: str) -> httpx.Response:
    head = json.dumps(document).encode()
    length = {LENGTH: str(len(head))} if raw else {}
    body = head + b"".join(array.tobytes() for array in raw)
    return lane(
        "POST", path, content=body, headers=length | {name.replace("_", "-"): one for name, one in headers.items()}
    )


def read(response: httpx.Response) -> dict[str, NDArray[Any]]:
    """The outputs of an answer, each from the form that it came in."""
    assert response.status_code == 200, response.text
    end = int(response.headers.get(LENGTH, len(response.content)))
    tail = response.content[end:]
    arrays = {}
    for output in json.loads(response.content[:end])["outputs"]:
        dtype = {name: dtype for dtype, name in BY_DTYPE.items()}[output["datatype"]]
        if "data" in output:
            flat = np.array(output["data"], dtype)
        else:
            size = output["parameters"]["binary_data_size"]
            flat, tail = np.frombuffer(tail[:size], dtype), tail[size:]
        arrays[output["name"]] = flat.reshape(output["shape"])
    assert not tail
    return arrays


def test_a_json_request_gets_a_json_answer(protocol: Here) -> None:
    response = ask(protocol, TENSORS, xk(id="seven"))
    assert response.json() == {
        "model_name": "toy-tensors",
        "model_version": "1",
        "id": "seven",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 3], "data": Y}],
    }
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    assert {part.partition(";")[0] for part in response.headers["server-timing"].split(", ")} == {
        "decode",
        "queue",
        "infer",
        "encode",
    }


def test_the_answer_is_that_of_the_predict_route_to_the_last_bit(protocol: Here) -> None:
    inputs = {"x": X.tolist(), "k": K.tolist()}
    predicted = protocol("POST", "/v1/models/toy-tensors/predict", json={"inputs": inputs}).json()
    assert (
        np.array(predicted["outputs"]["y"], np.float32).tobytes() == read(ask(protocol, TENSORS, xk()))["y"].tobytes()
    )


def test_nested_data_and_flat_data_are_the_same(protocol: Here) -> None:
    nested = xk(inputs=[tensor("x", X, data=X.tolist()), tensor("k", K)])
    assert read(ask(protocol, TENSORS, nested))["y"].ravel().tolist() == Y


def test_raw_bytes_and_json_mix_tensor_by_tensor(protocol: Here) -> None:
    document = {"inputs": [tensor("k", K), tensor("x", X, binary=True)], "parameters": {"binary_data_output": True}}
    response = ask(protocol, TENSORS, document, X)
    assert response.headers["content-type"] == "application/octet-stream"
    assert read(response)["y"].ravel().tolist() == Y


def test_an_output_is_binary_where_it_asks_to_be(protocol: Here, echoing: Repository) -> None:
    arrays = [np.array([[0, 1, 1]]).astype(dtype) for dtype in DTYPES]
    inputs = [tensor(f"in_{dtype}", array) for dtype, array in zip(DTYPES, arrays, strict=True)]
    outputs = [
        {"name": "out_bool"},
        {"name": "out_int64", "parameters": {"binary_data": True}},
        {"name": "out_uint8", "parameters": {"binary_data": False}},
    ]
    for everything, expected in ((True, ["out_bool", "out_int64"]), (False, ["out_int64"])):
        document = {"inputs": inputs, "outputs": outputs, "parameters": {"binary_data_output": everything}}
        response = ask(protocol, ECHO, document)
        assert list(read(response)) == ["out_bool", "out_int64", "out_uint8"]
        described = json.loads(response.content[: int(response.headers[LENGTH])])["outputs"]
        assert [one["name"] for one in described if "data" not in one] == expected


@given(st.data())
def test_any_tensor_travels_as_json_and_as_raw_bytes_alike(protocol: Here, data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 9))
    elements = {
        "float32": {"allow_nan": False, "allow_infinity": False},
        "float64": {"allow_nan": False, "allow_infinity": False},
    }
    arrays = {
        dtype: data.draw(hnp.arrays(np.dtype(dtype), (rows, 3), elements=elements.get(dtype))) for dtype in DTYPES
    }
    binary = {dtype: data.draw(st.booleans()) for dtype in DTYPES}
    document = {
        "inputs": [tensor(f"in_{dtype}", array, binary=binary[dtype]) for dtype, array in arrays.items()],
        "outputs": [
            {"name": f"out_{dtype}", "parameters": {"binary_data": data.draw(st.booleans())}} for dtype in DTYPES
        ],
    }
    echoed = read(ask(protocol, ECHO, document, *(arrays[dtype] for dtype in DTYPES if binary[dtype])))
    for dtype, array in arrays.items():
        assert echoed[f"out_{dtype}"].dtype == array.dtype
        assert echoed[f"out_{dtype}"].tobytes() == array.tobytes()


def test_another_datatype_is_taken_where_every_number_fits(protocol: Here) -> None:
    k = tensor("k", K, datatype="UINT8")
    half = tensor("x", X.astype(np.float64), binary=True, datatype="FP16", parameters={"binary_data_size": 12})
    response = ask(protocol, TENSORS, {"inputs": [half, k]}, X.astype(np.float16))
    assert read(response)["y"].ravel().tolist() == Y


def test_unknown_parameters_and_fields_are_ignored(protocol: Here) -> None:
    document = xk(parameters={"sequence_id": 3, "anything": "goes"}, extra=[1])
    assert ask(protocol, TENSORS, document).status_code == 200


def test_a_compressed_body_is_understood_and_a_long_answer_is_compressed_when_asked_for(protocol: Here) -> None:
    arrays = {dtype: np.ones((32, 3), dtype) for dtype in DTYPES}
    document = {"inputs": [tensor(f"in_{dtype}", array) for dtype, array in arrays.items()]}
    packed = gzip.compress(json.dumps(document).encode())
    response = protocol(
        "POST", ECHO, content=packed, headers={"content-encoding": "gzip", "accept-encoding": "deflate"}
    )
    assert response.headers["content-encoding"] == "deflate"
    assert read(response).keys() == {f"out_{dtype}" for dtype in DTYPES}


REFUSED: dict[str, tuple[Mapping[str, Any] | list[int], int, str]] = {
    "no object": ([1], 422, "The body must be an object."),
    "no inputs": ({}, 422, "inputs: Must be an array of objects."),
    "an input that is none": (xk(inputs=[1]), 422, "inputs: Every element must be an object."),
    "no name": (xk(inputs=[{"shape": [1]}]), 422, "inputs: The name must be a string."),
    "an unknown input": (xk(inputs=[tensor("z", X)]), 422, "inputs.k: Missing."),
    "a missing input": (xk(inputs=[tensor("x", X)]), 422, "inputs.k: Missing."),
    "an input twice": (xk(inputs=[tensor("x", X)] * 2), 422, "inputs.x: Given twice."),
    "strings": (
        xk(inputs=[tensor("x", X, datatype="BYTES")]),
        422,
        "inputs.x: Every element of data must be a string.",
    ),
    "too many inputs": (xk(inputs=[{}] * 257), 422, "inputs: More than 256 tensors."),
    "too many sides": (xk(inputs=[tensor("x", X, shape=[1] * 33)]), 422, "inputs.x: The shape must be up to 32"),
    "no shape": (xk(inputs=[tensor("x", X, shape=None)]), 422, "inputs.x: The shape must be an array."),
    "a negative side": (xk(inputs=[tensor("x", X, shape=[-2, 3])]), 422, "inputs.x: The shape must be up to 32"),
    "a shape of fractions": (xk(inputs=[tensor("x", X, shape=[2.5])]), 422, "inputs.x: The shape must be up to 32"),
    "a side of true": (xk(inputs=[tensor("x", X, shape=[True])]), 422, "inputs.x: The shape must be up to 32"),
    "an empty tensor": (xk(inputs=[tensor("x", X, shape=[0, 3])]), 422, "inputs.x: There is nothing in it."),
    "too little data": (xk(inputs=[tensor("x", X, data=[1])]), 422, "inputs.x: The shape [2, 3] takes 6 elements"),
    "data nested otherwise": (
        xk(inputs=[tensor("x", X, data=X.T.tolist())]),
        422,
        "inputs.x: The data is nested, and not in the shape [2, 3].",
    ),
    "more of a shape than of data": (
        xk(inputs=[tensor("x", X, shape=[2**39], data=[[1]])]),
        422,
        "inputs.x: The shape [549755813888] takes 549755813888 elements",
    ),
    "a number without a side": (xk(inputs=[tensor("x", X), tensor("k", K, shape=[], data=[1])]), 422, "inputs.k: Must"),
    "no data": (xk(inputs=[tensor("x", X, data=None)]), 422, "inputs.x: Needs data, an array."),
    "text as data": (
        xk(inputs=[tensor("x", X, data=["1"] * 6)]),
        422,
        "inputs.x: Every element of data must be a FP32",
    ),
    "fractions as whole numbers": (
        xk(inputs=[tensor("k", K, data=[1.5, 2])]),
        422,
        "inputs.k: Every element of data must be a INT64.",
    ),
    "a number too wide for its type": (
        xk(inputs=[tensor("k", K, datatype="INT8", data=[1, 200])]),
        422,
        "inputs.k: Every element must be a INT8.",
    ),
    "a number out of range": (
        xk(inputs=[tensor("x", X + 1000), tensor("k", K)]),
        422,
        "inputs.x: Every number must lie between -100 and 100.",
    ),
    "rows that differ": (
        xk(inputs=[tensor("x", X), tensor("k", K[:1])]),
        422,
        "inputs: All tensors must have the same",
    ),
    "too many rows": (
        xk(inputs=[tensor("x", np.ones((40, 3), np.float32)), tensor("k", np.ones(40, np.int64))]),
        422,
        "inputs: More than 32 samples in one request",
    ),
    "an output twice": (xk(outputs=[{"name": "y"}] * 2), 422, "outputs.y: Given twice."),
    "an unknown output": (xk(outputs=[{"name": "z"}]), 422, "outputs.z: Unknown. Outputs of toy-tensors: y."),
    "shared memory": (
        xk(inputs=[tensor("x", X, parameters={"shared_memory_region": "r"})]),
        422,
        "inputs.x: Shared memory is not supported",
    ),
    "classification": (
        xk(outputs=[{"name": "y", "parameters": {"classification": 2}}]),
        422,
        "outputs.y: The classification extension is not supported.",
    ),
    "parameters of another form": (xk(parameters=[]), 422, "parameters: The parameters must be an object."),
    "a flag of another type": (
        xk(parameters={"binary_data_output": 1}),
        422,
        "parameters.binary_data_output: Must be true or false.",
    ),
    "a time-out of another type": (xk(parameters={"timeout": "1"}), 422, "parameters.timeout: Must be a whole number"),
    "an id of another type": (xk(id=7), 422, "id: The id must be a string."),
    "bytes that are not there": (
        xk(inputs=[tensor("x", X, binary=True)]),
        400,
        "inputs.x: The body ends 24 bytes before this tensor does.",
    ),
    "data in both forms": (
        xk(inputs=[tensor("x", X, parameters={"binary_data_size": 0})]),
        422,
        "inputs.x: Has both data and binary_data_size.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_with_a_request_is_said_in_the_form_of_the_protocol(protocol: Here, case: str) -> None:
    document, status, says = REFUSED[case]
    response = ask(protocol, TENSORS, document)
    assert response.status_code == status
    assert list(response.json()) == ["error"]
    assert response.json()["error"].startswith(says)


def test_a_version_is_asked_for_in_the_path_or_the_header(protocol: Here) -> None:
    pinned = TENSORS.replace("/infer", "/versions/1/infer")
    for path, version, status in ((TENSORS, "1", 200), (TENSORS, "2", 404), (pinned, "1", 200), (pinned, "2", 422)):
        assert ask(protocol, path, xk(), x_model_version=version).status_code == status


def test_raw_bytes_must_have_the_size_of_their_shape(protocol: Here) -> None:
    inputs = [tensor("x", X, binary=True, shape=[1, 3]), tensor("k", K)]
    response = ask(protocol, TENSORS, {"inputs": inputs}, X)
    assert response.json() == {"error": "inputs.x: FP32 of the shape [1, 3] takes 12 bytes, got 24."}


def test_bytes_that_belong_to_no_tensor_are_refused(protocol: Here) -> None:
    response = ask(protocol, TENSORS, xk(), X)
    assert (response.status_code, response.json()) == (400, {"error": "24 bytes of the body belong to no tensor."})


def test_a_bool_that_is_neither_0_nor_1_is_refused(protocol: Here) -> None:
    inputs = [tensor("in_bool", np.zeros((1, 3), np.bool_), binary=True)]
    response = ask(protocol, ECHO, {"inputs": inputs}, np.array([0, 1, 2], np.uint8))
    assert response.json() == {"error": "inputs.in_bool: The bytes of a BOOL must be 0 or 1."}


@pytest.mark.parametrize("length", ["x", "-1", "999999999", "1" * 40, ""])
def test_a_wrong_length_of_the_json_is_refused(protocol: Here, length: str) -> None:
    response = protocol("POST", TENSORS, json=xk(), headers={LENGTH: length})
    assert (response.status_code, response.json()["error"][:31]) == (422, LENGTH)


@given(st.binary(max_size=300), st.none() | st.integers(0, 400))
def test_whatever_bytes_come_the_answer_is_a_4xx(protocol: Here, body: bytes, length: int | None) -> None:
    headers = {} if length is None else {LENGTH: str(length)}
    response = protocol("POST", TENSORS, content=body, headers=headers)
    assert 400 <= response.status_code < 500
    assert isinstance(response.json()["error"], str)


SMALL = (
    st.none()
    | st.booleans()
    | st.integers(-3, 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
KNOWN = ("inputs", "outputs", "id", "parameters", "name", "shape", "datatype", "data", "binary_data_size", "timeout")
WORDS = st.sampled_from((*KNOWN, "x", "k", "y", "FP32", "BOOL", "INT64"))
DOCUMENTS = st.recursive(
    SMALL | WORDS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=5), max_leaves=25
)


@given(st.dictionaries(WORDS, DOCUMENTS, max_size=5), st.binary(max_size=40))
def test_whatever_document_comes_the_answer_is_a_4xx(protocol: Here, document: dict[str, Any], tail: bytes) -> None:
    assert 400 <= ask(protocol, TENSORS, document, np.frombuffer(tail, np.uint8)).status_code < 500


@pytest.mark.parametrize("deep", [40, 500, 1000])
def test_data_nested_too_deep_is_refused(protocol: Here, deep: int) -> None:
    for datatype in ("FP32", "BOOL"):
        data = "[" * deep + "1" + "]" * deep
        body = '{"inputs":[{"name":"x","shape":[1],"datatype":"%s","data":%s}]}' % (datatype, data)  # noqa: UP031
        assert protocol("POST", TENSORS, content=body).status_code in (400, 422)

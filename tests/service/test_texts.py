"""Texts in and out: in JSON, and as BYTES of the Open Inference Protocol in each of its forms."""

import json
import struct

import numpy as np
import pytest

from service.codecs.arrays import MAX_TEXTS
from service.engine.repository import Repository
from service.errors import InvalidShape
from service.oip import grpc_form
from service.oip.datatypes import from_bytes
from service.oip.grpc_messages import ModelInferRequest
from tests.conftest import Here, assert_refused, lane_over

WORDS = ["yes", "größer", ""]
INFER = "/v2/models/toy-texts/infer"


def test_texts_are_predicted_on_in_json(lane: Here) -> None:
    answer = lane("POST", "/v1/models/toy-texts/predict", json={"inputs": {"text": WORDS}})
    assert answer.json()["outputs"] == {"same": WORDS, "agrees": [True, False, False]}


def test_the_protocol_calls_them_bytes(lane: Here) -> None:
    described = lane("GET", "/v2/models/toy-texts").json()
    assert described["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    body = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [3], "data": WORDS}]}
    outputs = lane("POST", INFER, json=body).json()["outputs"]
    assert outputs[0] == {"name": "same", "datatype": "BYTES", "shape": [3], "data": WORDS}


def test_raw_bytes_come_after_their_lengths(lane: Here) -> None:
    raw = b"".join(struct.pack("<I", len(word.encode())) + word.encode() for word in WORDS)
    tensor = {"name": "text", "datatype": "BYTES", "shape": [3], "parameters": {"binary_data_size": len(raw)}}
    outputs = [{"name": "same", "parameters": {"binary_data": True}}]
    head = json.dumps({"inputs": [tensor], "outputs": outputs}).encode()
    answer = lane("POST", INFER, content=head + raw, headers={"inference-header-content-length": str(len(head))})
    assert answer.content[int(answer.headers["inference-header-content-length"]) :] == raw


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (struct.pack("<I", 9) + b"yes", "ends after the tensor does"),
        (b"\1\0", "ends after the tensor does"),
        (struct.pack("<I", 1) + b"\xff", "UTF-8"),
        (struct.pack("<I", 1) + b"a" + struct.pack("<I", 1) + b"b", "takes 1 elements, got 2"),
    ],
)
def test_damaged_bytes_are_refused(lane: Here, raw: bytes, says: str) -> None:
    tensor = {"name": "text", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    answer = lane("POST", INFER, content=head + raw, headers={"inference-header-content-length": str(len(head))})
    assert answer.status_code == 422
    assert says in answer.json()["error"]


def test_no_more_texts_are_taken_apart_than_one_too_many() -> None:
    """What comes behind them is not even looked at: here it is damaged."""
    with pytest.raises(InvalidShape, match=f"More than {MAX_TEXTS} texts"):
        from_bytes(struct.pack("<I", 0) * (MAX_TEXTS + 1) + b"\1", np.dtype(object), (1,), "text")


def test_messages_hold_them_as_contents_or_raw() -> None:
    head = {"name": "text", "datatype": "BYTES", "shape": [3]}
    encoded = [word.encode() for word in WORDS]
    raw = b"".join(struct.pack("<I", len(word)) + word for word in encoded)
    typed = ModelInferRequest(inputs=[head | {"contents": {"bytes_contents": encoded}}])
    for message in (typed, ModelInferRequest(inputs=[head], raw_input_contents=[raw])):
        assert grpc_form.decode(message).inputs["text"].tolist() == WORDS
    assert np.array(WORDS, object).shape == (3,)


@pytest.mark.parametrize(
    ("inputs", "code", "field"),
    [
        ({"text": ["a", 1]}, "invalid_value", "inputs.text"),
        ({"text": ["a", ["b"]]}, "invalid_value", "inputs.text"),
        ({"text": [["a"]]}, "invalid_shape", "inputs.text"),
        ({"text": [1, 2]}, "invalid_value", "inputs.text"),
        ({"text": []}, "invalid_value", "inputs.text"),
        ({"text": "a"}, "invalid_value", "inputs.text"),
    ],
)
def test_anything_else_is_refused(lane: Here, inputs: object, code: str, field: str) -> None:
    answer = lane("POST", "/v1/models/toy-texts/predict", json={"inputs": inputs})
    assert answer.status_code == 422
    assert answer.json()["field"] == field


def test_texts_where_numbers_are_wanted_are_refused(lane: Here) -> None:
    answer = lane("POST", "/v1/models/toy-tensors/predict", json={"inputs": {"x": [["a", "b", "c"]], "k": [1]}})
    assert_refused(answer, 422, "invalid_value", "inputs.x")


def test_a_long_text_counts_in_memory(repository: Repository) -> None:
    tight = lane_over(repository, memory_budget=100_000)
    answer = tight("POST", "/v1/models/toy-texts/predict", json={"inputs": {"text": ["a" * 20_000]}})
    assert_refused(answer, 413, "body_too_large")

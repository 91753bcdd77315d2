"""Tensor prediction: any model answers by its signature. The toy computes y = 2 x + k."""

from typing import Any

import pytest

from tests.bundle_writer import DTYPES
from tests.conftest import Here, assert_refused

PATH = "/v1/models/toy-tensors/predict"
X = [[1, 2, 3], [4, 5, 6.5]]


def test_outputs_follow_the_signature(lane: Here) -> None:
    answer = lane("POST", PATH, json={"inputs": {"x": X, "k": [1, 10]}}).json()
    assert answer == {
        "model": {"name": "toy-tensors", "version": "1"},
        "outputs": {"y": [[3, 5, 7], [18, 20, 23]]},
    }


@pytest.mark.parametrize(
    ("inputs", "code", "field"),
    [
        ({"x": X}, "invalid_value", "inputs.k"),
        ({"x": X, "k": [1, 2], "z": [1]}, "invalid_value", "inputs.z"),
        ({"x": X, "k": [1]}, "invalid_shape", "inputs"),
        ({"x": [[1, 2]], "k": [1]}, "invalid_shape", "inputs.x"),
        ({"x": [1, 2, 3], "k": [1]}, "invalid_shape", "inputs.x"),
        ({"x": [[1, 2, 3], [4]], "k": [1, 2]}, "invalid_shape", "inputs.x"),
        ({"x": [], "k": []}, "invalid_shape", "inputs.x"),
        ({"x": [[1, 2, 101]], "k": [1]}, "invalid_value", "inputs.x"),
        ({"x": [["1", 2, 3]], "k": [1]}, "invalid_value", "inputs.x"),
        ({"x": "text", "k": [1]}, "invalid_value", "inputs.x"),
        ({"x": X, "k": [1.5, 2]}, "invalid_value", "inputs.k"),
        ({"x": X, "k": [1e30, 2]}, "invalid_value", "inputs.k"),
        ({"x": [[0, 0, 0]] * 33, "k": [0] * 33}, "too_many_rows", "inputs"),
        ([], "invalid_value", "inputs"),
        (None, "invalid_value", "inputs"),
    ],
)
def test_wrong_inputs_are_refused_at_their_tensor(lane: Here, inputs: Any, code: str, field: str) -> None:
    assert_refused(lane("POST", PATH, json={"inputs": inputs}), 422, code, field)


def test_a_version_can_be_named_in_the_body(lane: Here) -> None:
    inputs = {"x": X, "k": [1, 2]}
    assert lane("POST", PATH, json={"inputs": inputs, "version": "1"}).status_code == 200
    assert_refused(lane("POST", PATH, json={"inputs": inputs, "version": "2"}), 404, "unknown_version", "version")


def test_any_task_answers_over_raw_tensors(lane: Here) -> None:
    answer = lane("POST", "/v1/models/toy-samples/predict", json={"inputs": {"latent": [[0] * 4], "label": [3]}}).json()
    assert answer["outputs"]["image"] == [[[130.0] * 8] * 8]


def test_another_media_type_is_refused(lane: Here) -> None:
    response = lane("POST", PATH, content=b"x", headers={"content-type": "text/csv"})
    assert_refused(response, 415, "unsupported_media", "content-type")


def test_an_answer_that_is_no_number_is_refused_on_every_route(lane: Here) -> None:
    huge = [[3e38] * 4]
    body = {"inputs": {"latent": huge, "label": [3]}}
    assert_refused(lane("POST", "/v1/models/toy-samples/predict", json=body), 422, "not_finite")
    tensors = [
        {"name": "latent", "datatype": "FP32", "shape": [1, 4], "data": huge},
        {"name": "label", "datatype": "INT64", "shape": [1], "data": [3]},
    ]
    response = lane("POST", "/v2/models/toy-samples/infer", json={"id": None, "inputs": tensors, "outputs": None})
    assert response.status_code == 422
    assert "finite" in response.json()["error"]


def test_slices_over_raw_tensors_have_the_bounds_of_slices(lane: Here) -> None:
    body = {"inputs": {"hu": [[[0.0] * 8] * 8]}}
    assert_refused(lane("POST", "/v1/models/toy-ct/predict", json=body), 422, "invalid_shape", "inputs.hu")


def test_whole_numbers_are_taken_to_the_last_digit(protocol: Here) -> None:
    """Float64 has no 2**53 + 1."""
    inputs: dict[str, Any] = {f"in_{dtype}": [[1, 0, 1]] for dtype in DTYPES}
    inputs["in_int64"] = [[2**53 + 1, 2**63 - 1, -(2**63)]]
    answer = protocol("POST", "/v1/models/toy-echo/predict", json={"inputs": inputs})
    assert answer.json()["outputs"]["out_int64"] == inputs["in_int64"]


def test_a_spacing_for_a_model_of_anything_else_is_refused(lane: Here) -> None:
    body = {"inputs": {"x": [[1, 2, 3]], "k": [1]}}
    answer = lane("POST", "/v1/models/toy-tensors/predict?spacing_mm=0.6", json=body)
    assert_refused(answer, 422, "invalid_value", "spacing_mm")

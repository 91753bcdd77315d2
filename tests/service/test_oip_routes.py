"""The routes of the Open Inference Protocol beside `infer`, and what happens around all of them."""

from pathlib import Path

import pytest

import service
from service.bundle import write_current
from service.engine.repository import Repository
from service.http.keys import new_key
from service.release import Release
from tests import toys
from tests.conftest import Here, lane_over
from tests.service.conftest import TOKEN, loaded
from tests.service.test_oip_rest import TENSORS, ask, xk

ADMIN = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def shelf(tmp_path: Path) -> Repository:
    """Two models that a test may unload."""
    toys.tensors(tmp_path)
    toys.ct(tmp_path)
    return loaded(tmp_path, admin_token=TOKEN)


def test_the_server_says_what_it_is(protocol: Here) -> None:
    for path in ("/v2", "/v2/"):
        assert protocol("GET", path).json() == {
            "name": "quartet",
            "version": service.__version__,
            "extensions": ["binary_tensor_data", "model_repository"],
        }


def test_health_follows_the_repository(protocol: Here, tmp_path: Path, shelf: Repository) -> None:
    assert protocol("GET", "/v2/health/live").json() == {"live": True}
    assert protocol("GET", "/v2/health/ready").json() == {"ready": True}
    shelf.draining = True
    response = lane_over(shelf)("GET", "/v2/health/ready")
    assert (response.status_code, response.json()) == (503, {"error": "The service is going down."})


@pytest.mark.parametrize("path", ["/v2/models/toy-tensors", "/v2/models/toy-tensors/versions/1"])
def test_a_model_is_described_with_minus_1_for_its_dynamic_axes(protocol: Here, path: str) -> None:
    assert protocol("GET", path).json() == {
        "name": "toy-tensors",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [-1, 3]},
            {"name": "k", "datatype": "INT64", "shape": [-1]},
        ],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 3]}],
    }


def test_a_model_is_ready_when_it_is_served(protocol: Here) -> None:
    assert protocol("GET", "/v2/models/toy-echo/ready").json() == {"name": "toy-echo", "ready": True}
    response = protocol("GET", "/v2/models/nobody/ready")
    assert (response.status_code, response.json()) == (404, {"error": "model: Served here: toy-echo, toy-tensors."})


def test_a_version_is_that_of_the_path(protocol: Here) -> None:
    assert ask(protocol, "/v2/models/toy-tensors/versions/1/infer", xk()).status_code == 200
    response = ask(protocol, "/v2/models/toy-tensors/versions/2/infer", xk())
    assert (response.status_code, response.json()) == (404, {"error": "version: Served of toy-tensors: 1."})


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("GET", TENSORS, "POST"), ("POST", "/v2", "GET, HEAD"), ("GET", "/v2/repository/index", "POST")],
)
def test_another_method_is_refused(protocol: Here, method: str, path: str, allowed: str) -> None:
    response = protocol(method, path)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    assert response.json() == {"error": f"Allowed here: {allowed}."}


@pytest.mark.parametrize("path", ["/v2/models/toy-tensors/config", "/v2/models", "/v2/nothing"])
def test_a_route_that_is_not_here_is_refused_in_the_form_of_the_protocol(protocol: Here, path: str) -> None:
    response = protocol("GET", path)
    assert (response.status_code, list(response.json())) == (404, ["error"])


def test_errors_and_answers_are_counted(echoing: Repository, protocol: Here) -> None:
    metrics = echoing.metrics
    counted, ok = metrics.errors["open_inference", "unknown_model"], metrics.model("toy-tensors", "1").outcomes["ok"]
    ask(protocol, "/v2/models/nobody/infer", xk())
    ask(protocol, TENSORS, xk())
    assert metrics.errors["open_inference", "unknown_model"] == counted + 1
    assert metrics.model("toy-tensors", "1").outcomes["ok"] == ok + 1
    assert metrics.in_flight == 0


def test_a_request_keeps_the_id_that_it_brings(protocol: Here) -> None:
    assert ask(protocol, TENSORS, xk(), x_request_id="mine").headers["x-request-id"] == "mine"
    assert protocol("GET", "/v2/nothing", headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"


def test_the_shortest_time_out_counts(protocol: Here) -> None:
    for response in (
        ask(protocol, TENSORS, xk(parameters={"timeout": 1})),  # microseconds
        ask(protocol, TENSORS, xk(parameters={"timeout": 1}), x_timeout_ms="1000"),
    ):
        assert (response.status_code, list(response.json())) == (504, ["error"])
    assert ask(protocol, TENSORS, xk(parameters={"timeout": 10_000_000, "priority": 2})).status_code == 200


def test_a_body_over_the_limit_is_refused(protocol: Here) -> None:
    response = protocol("POST", TENSORS, content=bytes(2**20 + 1))
    assert (response.status_code, response.json()) == (413, {"error": "The body has more than 1048576 bytes."})


def test_an_empty_body_is_refused(protocol: Here) -> None:
    assert protocol("POST", TENSORS).json() == {"error": "The request has no body."}


def test_the_index_lists_what_is_served_and_what_is_not(shelf: Repository) -> None:
    lane = lane_over(shelf)
    assert lane("POST", "/v2/repository/models/toy-ct/unload", headers=ADMIN).status_code == 200
    served = {"name": "toy-tensors", "version": "1", "state": "READY", "reason": ""}
    unloaded = {"name": "toy-ct", "version": "", "state": "UNAVAILABLE", "reason": "unloaded"}
    assert lane("POST", "/v2/repository/index").json() == [unloaded, served]
    assert lane("POST", "/v2/repository/index", json={"ready": True}).json() == [served]


def test_an_unloaded_model_is_not_served_until_it_is_loaded_again(shelf: Repository) -> None:
    lane = lane_over(shelf)
    assert lane("POST", "/v2/repository/models/toy-tensors/unload", headers=ADMIN).json() == {}
    assert ask(lane, TENSORS, xk()).status_code == 404
    assert lane("POST", "/v2/repository/models/toy-tensors/load", headers=ADMIN).json() == {}
    assert ask(lane, TENSORS, xk()).status_code == 200


def test_who_loads_a_model_must_have_the_token(shelf: Repository) -> None:
    lane = lane_over(shelf)
    for headers in ({}, {"authorization": "Bearer another"}, {"authorization": f"Basic {TOKEN}"}):
        response = lane("POST", "/v2/repository/models/toy-ct/unload", headers=headers)
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert len(shelf.models) == 2


def test_without_a_token_of_the_operator_nobody_loads_a_model(protocol: Here) -> None:
    response = protocol("POST", "/v2/repository/models/toy-echo/unload", headers=ADMIN)
    assert response.status_code == 403
    assert "QUARTET_ADMIN_TOKEN" in response.json()["error"]


@pytest.fixture
def kept(tmp_path: Path) -> Repository:
    """Version 1 of a model is served, and 2 is kept beside it."""
    for version in ("1", "2"):
        toys.digits(tmp_path, version=version)
    write_current(tmp_path, "toy-digits", "1")
    return loaded(tmp_path, admin_token=TOKEN)


def test_a_load_promotes_the_version_that_it_names(kept: Repository, tmp_path: Path) -> None:
    lane, path = lane_over(kept), "/v2/repository/models/toy-digits/load"
    refused = lane("POST", path, json={"parameters": {"version": "2"}}, headers=ADMIN)
    assert refused.status_code == 409
    assert "there is no verdict on it" in refused.json()["error"]
    assert lane("POST", path, json={"parameters": {"version": "3"}}, headers=ADMIN).status_code == 409
    forced = {"version": "2", "force": True, "reason": "a test"}
    assert lane("POST", path, json={"parameters": forced}).status_code == 401
    assert kept.models["toy-digits"].manifest.version == "1"
    for _ in range(2):  # a load may be repeated
        assert lane("POST", path, json={"parameters": forced}, headers=ADMIN).json() == {}
        assert kept.models["toy-digits"].manifest.version == "2"
    assert [entry.action for entry in Release(tmp_path, "toy-digits").history] == ["forced promote"]


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("nobody", b"", 404),
        ("nobody", b'{"parameters":{"version":"1"}}', 404),
        ("toy-ct", b"{", 400),
        ("toy-ct", b'{"parameters":{"a":1}}', 422),
        ("toy-ct", b'{"parameters":["version"]}', 422),
        ("toy-ct", b'{"parameters":{"version":1}}', 422),
        ("toy-ct", b'{"parameters":{"reason":"x"}}', 422),
    ],
)
def test_a_load_that_cannot_be_is_refused(shelf: Repository, name: str, body: bytes, status: int) -> None:
    response = lane_over(shelf)("POST", f"/v2/repository/models/{name}/load", content=body, headers=ADMIN)
    assert (response.status_code, list(response.json())) == (status, ["error"])


def test_api_keys_hold_here_too_except_where_the_token_does(shelf: Repository, tmp_path: Path) -> None:
    key, line = new_key("somebody")
    (tmp_path / "keys").write_text(line)
    lane = lane_over(shelf, api_keys=tmp_path / "keys")
    refused = ask(lane, TENSORS, xk())
    assert (refused.status_code, list(refused.json())) == (401, ["error"])
    assert ask(lane, TENSORS, xk(), x_api_key=key).status_code == 200
    assert lane("GET", "/v2/health/ready").status_code == 200
    assert lane("POST", "/v2/repository/models/toy-ct/unload", headers=ADMIN).status_code == 200

"""The lane: routes, request ids, methods, limits; what is not its own goes on to the app behind it."""

import asyncio
import gzip
import re
from typing import Any

import numpy as np
import orjson
import pytest

from load_tests.in_process import scope_of
from service.engine.repository import Repository
from tests.conftest import Here, assert_refused, in_memory, lane_over, npy

PATH = "/v1/digits/classify?model=toy-digits"
NPY = {"content-type": "application/x-npy"}
ONE = {"content": npy(np.zeros((28, 28))), "headers": NPY}


def test_an_answer_carries_a_request_id_and_its_stages(lane: Here) -> None:
    first, second = (lane("POST", PATH, **ONE) for _ in range(2))
    assert first.status_code == 200
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    number = r"\d+\.\d{3}"
    stages = ", ".join(f"{stage};dur={number}" for stage in ("decode", "queue", "infer", "encode"))
    assert re.fullmatch(stages, first.headers["server-timing"])


def test_the_clients_request_id_is_kept_when_it_is_printable(lane: Here) -> None:
    headers = NPY | {"x-request-id": "order-7"}
    assert lane("POST", PATH, content=ONE["content"], headers=headers).headers["x-request-id"] == "order-7"
    for wrong in ("a b", "x" * 129, "\xe9"):
        headers = NPY | {"x-request-id": wrong.encode("latin-1")}
        assert lane("POST", PATH, content=ONE["content"], headers=headers).headers["x-request-id"] != wrong


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
def test_inference_is_asked_by_post(lane: Here, method: str) -> None:
    response = lane(method, PATH)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"


def test_pages_are_asked_by_get(lane: Here) -> None:
    assert_refused(lane("POST", "/v1/models"), 405, "method_not_allowed")
    head = lane("HEAD", "/v1/models")
    assert (head.status_code, head.content) == (200, b"")


def test_what_is_not_the_lanes_goes_on(lane: Here) -> None:
    assert lane("GET", "/schema.json").content == b"inner"


def test_what_nobody_knows_is_a_problem_like_any_other(lane: Here) -> None:
    assert_refused(lane("GET", "/something/else"), 404, "unknown_route")
    assert_refused(lane("POST", "/v1/models/Not_A_Name/predict"), 404, "unknown_route")


def test_an_empty_name_of_a_model_is_no_request_for_the_default(lane: Here) -> None:
    asked = lane("POST", "/v1/samples/generate?model=", json={"count": 1})
    assert_refused(asked, 404, "unknown_model", "model")


def test_an_empty_body_is_refused(lane: Here) -> None:
    assert_refused(lane("POST", PATH, headers=NPY), 400, "empty_body")


def test_a_body_over_the_limit_is_refused(lane: Here) -> None:
    assert_refused(lane("POST", PATH, content=bytes(4 * 2**20 + 1), headers=NPY), 413, "body_too_large")


def test_a_body_over_the_limit_is_refused_also_in_chunks(lane: Here) -> None:
    async def chunks() -> Any:
        for _ in range(5):
            yield bytes(2**20)

    assert_refused(lane("POST", PATH, content=chunks(), headers=NPY), 413, "body_too_large")


def test_a_body_in_chunks_is_put_together(lane: Here) -> None:
    async def chunks() -> Any:
        for start in range(0, len(ONE["content"]), 1000):
            yield ONE["content"][start : start + 1000]

    assert lane("POST", PATH, content=chunks(), headers=NPY).json() == lane("POST", PATH, **ONE).json()


def test_a_body_that_does_not_arrive_in_time_is_refused(repository: Repository) -> None:
    async def slow() -> Any:
        yield b"\x93NUMPY"
        await asyncio.sleep(5)
        yield b""

    response = lane_over(repository, body_timeout_s=0.05)("POST", PATH, content=slow(), headers=NPY)
    assert_refused(response, 408, "body_timeout")


def test_a_request_that_the_server_gives_up_is_told(lane: Here) -> None:
    async def scene() -> list[Any]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        request = asyncio.create_task(
            lane.app(scope_of("POST", "/v1/digits/classify", {}, b"{}"), asyncio.Event().wait, send)
        )
        await asyncio.sleep(0)
        request.cancel()
        await request
        return sent

    head, body = asyncio.run(scene())
    assert (head["status"], orjson.loads(body["body"])["code"]) == (503, "draining")


def test_a_header_that_comes_in_several_lines_is_one_list(lane: Here) -> None:
    lines = [*NPY.items(), ("accept", "application/json"), ("accept", "image/png")]
    assert lane("POST", PATH, content=ONE["content"], headers=lines).status_code == 200


def test_a_compressed_body_is_decompressed(lane: Here) -> None:
    packed = gzip.compress(ONE["content"])
    response = lane("POST", PATH, content=packed, headers=NPY | {"content-encoding": "gzip"})
    assert response.json() == lane("POST", PATH, **ONE).json()


@pytest.mark.parametrize(
    ("body", "encoding", "status", "code", "field"),
    [
        (b"damaged", "gzip", 400, "malformed_body", "content-encoding"),
        (gzip.compress(ONE["content"])[:-9], "gzip", 400, "malformed_body", "content-encoding"),
        (gzip.compress(bytes(2**26)), "gzip", 413, "body_too_large", None),
        (b"x", "compress", 415, "unsupported_media", "content-encoding"),
    ],
)
def test_a_compressed_body_that_cannot_be_read_is_refused(
    lane: Here, body: bytes, encoding: str, status: int, code: str, field: str | None
) -> None:
    headers = NPY | {"content-encoding": encoding}
    assert_refused(lane("POST", PATH, content=body, headers=headers), status, code, field)


def test_a_model_that_is_not_here_is_refused(lane: Here) -> None:
    for path in ("/v1/digits/classify?model=nobody", "/v1/digits/classify?model=toy-ct", "/v1/digits/classify"):
        assert_refused(lane("POST", path, **ONE), 404, "unknown_model", "model")
    assert_refused(lane("GET", "/v1/models/nobody"), 404, "unknown_model", "model")
    assert_refused(lane("POST", "/v1/models/nobody/predict", json={"inputs": {}}), 404, "unknown_model", "model")


def test_a_version_is_named_in_the_query_the_header_or_the_body(lane: Here) -> None:
    body = {"images": [[[0] * 28] * 28]}
    for version, status in (("1", 200), ("2", 404)):
        assert lane("POST", f"{PATH}&version={version}", json=body).status_code == status
        assert lane("POST", PATH, json=body, headers={"x-model-version": version}).status_code == status
        assert lane("POST", PATH, json=body | {"version": version}).status_code == status


def test_a_model_named_twice_must_be_the_same(lane: Here) -> None:
    body = {"images": [[[0] * 28] * 28], "model": "toy-digits"}
    assert lane("POST", PATH, json=body).status_code == 200
    assert_refused(lane("POST", "/v1/digits/classify?model=other", json=body), 422, "invalid_value", "model")


@pytest.mark.parametrize("wrong", ["0", "-1", "1.5", "soon", "", "\xb2", "9" * 5000])
def test_a_time_out_that_is_no_number_is_refused(lane: Here, wrong: str) -> None:
    headers = NPY | {"x-timeout-ms": wrong.encode("latin-1")}
    response = lane("POST", PATH, content=ONE["content"], headers=headers)
    assert_refused(response, 422, "invalid_value", "x-timeout-ms")


def test_a_time_out_that_is_long_enough_is_accepted(lane: Here) -> None:
    assert lane("POST", PATH, content=ONE["content"], headers=NPY | {"x-timeout-ms": "60000"}).status_code == 200


def test_a_fault_is_answered_without_its_cause(
    repository: Repository, lane: Here, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The graph itself fails: a session whose file promises more than it can do."""
    model = in_memory(repository, "toy-digits")

    def explode(inputs: Any) -> Any:
        raise RuntimeError("secret")

    monkeypatch.setattr(model.batcher, "_run", explode)
    response = lane("POST", PATH, **ONE)
    assert_refused(response, 500, "inference_failed")
    assert "secret" not in response.text


@pytest.mark.parametrize(
    ("path", "allowed"),
    [(PATH, "POST"), ("/v1/models/toy-digits/predict", "POST"), ("/metrics", "GET, HEAD"), ("/v2", "GET, HEAD")],
)
def test_options_tells_what_may_be_asked(lane: Here, path: str, allowed: str) -> None:
    response = lane("OPTIONS", path)
    assert (response.status_code, response.headers["allow"], response.content) == (204, allowed, b"")


def test_an_endpoint_with_a_limit_of_its_own_refuses_what_others_take(repository: Repository) -> None:
    narrow = lane_over(repository, body_limits={"classify_digits": 100})
    assert narrow("POST", PATH, **ONE).json()["code"] == "body_too_large"
    assert narrow("POST", "/v1/models/toy-digits/predict", **ONE).json()["code"] != "body_too_large"


@pytest.mark.parametrize(
    ("version", "hosts", "status"),
    [("1.1", 0, 400), ("1.1", 2, 400), ("1.1", 1, 200), ("1.0", 0, 200), ("1.0", 1, 200)],
)
def test_http_1_1_wants_one_host(lane: Here, version: str, hosts: int, status: int) -> None:
    async def by_hand(scope: Any, receive: Any, send: Any) -> None:
        headers = [pair for pair in scope["headers"] if pair[0] != b"host"] + [(b"host", b"here")] * hosts
        await lane.app({**scope, "http_version": version, "headers": headers}, receive, send)

    response = Here(by_hand)("GET", "/livez")
    assert response.status_code == status
    if status == 400:
        assert_refused(response, 400, "malformed_request")

"""The access log has a line per request, and nothing in it that the client sent but the request id."""

import asyncio
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from service.engine.repository import Repository
from service.metrics import Metrics
from service.settings import Settings
from tests.conftest import lane_over, npy
from tests.service.calls import serving

ONE = npy(np.zeros((28, 28)))
PATH = "/v1/digits/classify?model=toy-digits"
HEADERS = {"content-type": "application/x-npy", "x-request-id": "order-7"}


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    return [json.loads(record.message) for record in caplog.records if record.name == "service.access"]


@pytest.mark.parametrize(("level", "expected"), [("off", []), ("errors", [422]), ("all", [200, 422])])
def test_the_level_says_which_requests_are_logged(
    repository: Repository, caplog: pytest.LogCaptureFixture, level: str, expected: list[int]
) -> None:
    caplog.set_level(logging.INFO)
    lane = lane_over(repository, access_log=level)
    lane("POST", PATH, content=ONE, headers=HEADERS)
    lane("POST", PATH, json={"secret": "secret"}, headers={"x-request-id": "order-7"})
    logged = lines(caplog)
    assert [line["status"] for line in logged] == expected
    assert all(line["request_id"] == "order-7" for line in logged)
    assert "secret" not in caplog.text


def test_an_answer_is_logged_with_its_stages(repository: Repository, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    response = lane_over(repository, access_log="all")("POST", PATH, content=ONE, headers=HEADERS)
    (line,) = lines(caplog)
    assert line["endpoint"] == "classify_digits"
    assert set(line["ms"]) == {"decode", "queue", "infer", "encode"}
    assert line["bytes"] == len(response.content)


def test_a_refusal_is_counted_and_logged_alike_over_http_and_grpc(
    repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    lane_over(repository, access_log="errors")("GET", "/v2/models/nobody", headers={"x-request-id": "order-7"})

    async def call() -> None:
        async with serving(repository, access_log="errors") as address, InferenceServerClient(address) as client:
            with pytest.raises(InferenceServerException):
                await client.get_model_metadata("nobody", headers={"x-request-id": "order-7"})

    asyncio.run(call())
    over_http, over_grpc = lines(caplog)
    assert over_http.keys() == over_grpc.keys()
    assert [(line["request_id"], line["status"], line["code"]) for line in (over_http, over_grpc)] == [
        ("order-7", 404, "unknown_model")
    ] * 2
    counted = repository.metrics.errors
    assert counted["open_inference", "unknown_model"] == counted["open_inference_grpc", "unknown_model"] == 1


def test_a_line_says_which_model_answered_at_which_route_in_which_trace(
    repository: Repository, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    traced = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-00"}
    lane_over(repository, access_log="all")("POST", PATH, content=ONE, headers=HEADERS | traced)
    (line,) = lines(caplog)
    told = {name: line[name] for name in ("path", "model", "version", "trace_id")}
    assert told == {"path": "/v1/digits/classify", "model": "toy-digits", "version": "1", "trace_id": "a" * 32}


def test_a_refused_request_says_its_trace(repository: Repository) -> None:
    traced = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-00"}
    assert lane_over(repository)("POST", PATH, headers=traced).json()["trace_id"] == "a" * 32


@pytest.mark.parametrize("path", ["/readyz", "/v2/health/ready"])
def test_a_probe_before_the_models_are_there_is_no_error(
    toy_models: Path, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    caplog.set_level(logging.INFO)
    metrics = Metrics()
    lane = lane_over(Repository(Settings(models_dir=toy_models), metrics), access_log="all")
    assert lane("GET", path).status_code == 503
    assert lines(caplog) == []
    assert not metrics.errors

"""The access log has a line per request, and nothing in it that the client sent but the request id."""

import asyncio
import json
import logging

import numpy as np
import pytest
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from service.engine.repository import Repository
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

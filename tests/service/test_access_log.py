"""The access log has a line per request, and nothing in it that the client sent but the request id."""

import json
import logging

import numpy as np
import pytest

from service.engine.repository import Repository
from tests.conftest import lane_over, npy

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

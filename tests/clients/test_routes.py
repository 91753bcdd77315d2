"""Every route of the service can be asked by the Python client: a new one fails here until it has a method."""

import inspect
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_args, get_type_hints

import httpx
import pytest
from quartet_client import Client, QuartetError

from service.oip import openapi_paths as protocol
from service.task import Task
from service.tasks import TASKS
from service.tasks.samples import GenerateRequest
from tests.conftest import PROJECT, Here

EXAMPLES = PROJECT / "docs" / "examples"
SEVEN, PENGUIN, SLICE = (EXAMPLES / name for name in ("seven.png", "penguin.webp", "slice.dcm"))
SERIES = [112, 118, 132, 129]
ASKED: dict[str, Callable[[Client], Any]] = {
    "post /v1/clips/classify": lambda client: client.clips.classify(PENGUIN),
    "post /v1/credit/score": lambda client: client.credit.score({}),
    "post /v1/ct/denoise": lambda client: client.ct.denoise(SLICE),
    "post /v1/digits/classify": lambda client: client.digits.classify(SEVEN),
    "post /v1/images/classify": lambda client: client.images.classify(SEVEN),
    "post /v1/images/transform": lambda client: client.images.transform(SEVEN),
    "post /v1/sales/forecast": lambda client: client.sales.forecast({}),
    "post /v1/samples/encode": lambda client: client.samples.encode(SEVEN),
    "post /v1/samples/generate": lambda client: client.samples.generate(),
    "post /v1/samples/reconstruct": lambda client: client.samples.reconstruct(SEVEN),
    "post /v1/samples/translate": lambda client: client.samples.translate(SEVEN),
    "post /v1/series/forecast": lambda client: client.series.forecast(SERIES),
    "post /v1/tables/predict": lambda client: client.tables.predict({}),
    "post /v1/texts/classify": lambda client: client.texts.classify("a text"),
    "post /v1/models/{name}/activations": lambda client: client.model("m").activations(SEVEN),
    "post /v1/models/{name}/predict": lambda client: client.model("m").predict({"x": [1]}),
    "get /v1/models": lambda client: client.models(),
    "get /v1/models/{name}": lambda client: client.model("m").describe(),
    "get /v1/models/{name}/drift": lambda client: client.model("m").drift(),
    "get /v1/models/{name}/card/{picture}": lambda client: client.model("m").picture("curve.png"),
    "post /v1/feedback": lambda client: client.feedback.tell({"id": "k", "outcome": "7"}),
    "delete /v1/feedback/{key}": lambda client: client.feedback.forget("k/1"),
    "get /v1/releases": lambda client: client.releases.list(),
    "get /v1/releases/{name}": lambda client: client.releases.show("m"),
    "post /v1/releases/{name}/start": lambda client: client.releases.start("m", "2"),
    "post /v1/releases/{name}/promote": lambda client: client.releases.promote("m", "2"),
    "post /v1/releases/{name}/rollback": lambda client: client.releases.rollback("m"),
    "post /v1/releases/{name}/prune": lambda client: client.releases.prune("m"),
    "get /readyz": lambda client: client.ready(),
}
OTHERS = {"get /livez", "get /metrics"}  # are for probes and for Prometheus
NOT_HERE = {"stream"}  # answers rows while others are sent, where the client sends all at once


@pytest.fixture(scope="module")
def operations(lane: Here) -> set[str]:
    """Method and path of all that the service describes, but for the protocol that has clients of its own."""
    paths = lane("GET", "/openapi.json").json()["paths"]
    every = ((f"{method} {path}", one) for path, item in paths.items() for method, one in item.items())
    return {name for name, one in every if protocol.TAG not in one["tags"]}


def test_every_route_has_a_method(operations: set[str]) -> None:
    assert operations == ASKED.keys() | OTHERS


@pytest.mark.parametrize("route", ASKED)
def test_a_method_asks_its_route(route: str) -> None:
    got: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        got.append(f"{request.method.lower()} {request.url.raw_path.decode().partition('?')[0]}")
        return httpx.Response(200, json={})

    with Client(transport=httpx.MockTransport(answer)) as client, suppress(QuartetError):
        ASKED[route](client)
    assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), *got)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_a_method_takes_every_option_of_its_task(task: Task) -> None:
    *_, product, verb = task.path.split("/")
    with Client() as client:
        methods = [getattr(client.model("m") if product == "{name}" else getattr(client, product), verb)]
        methods += [client.ct.preview] if product == "ct" else []
    wanted = {one.name for one in task.options}
    if task.request_form is GenerateRequest:
        wanted |= GenerateRequest.model_fields.keys() - {"labels"}  # for which `label` may be a list
    assert wanted - set().union(*map(parameters, methods)) <= NOT_HERE


def parameters(method: Callable[..., Any]) -> set[str]:
    """The names that it takes, those of its options included."""
    found = inspect.signature(method).parameters
    rest = (get_args(one.annotation)[0] for one in found.values() if one.kind is inspect.Parameter.VAR_KEYWORD)
    return found.keys() | {name for options in rest for name in get_type_hints(options)}

"""The service is an ordinary BentoML service too: its own app, its client and its builds give the same answers."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import bentoml
import httpx
import pytest

from load_tests.examples import requests_to
from service.bundle import current, defaults_of
from service.tasks import TASKS
from tests.conftest import PROJECT, Running


def bodies() -> dict[str, dict[str, Any]]:
    """A request to each task, for the models that answer where none is named."""
    models = PROJECT / "models"
    return {
        asked.task.name: json.loads(asked.example.body)
        for name in defaults_of(models).values()
        for asked in requests_to(current(models, name))
        if asked.task.kind and asked.example.media_type == "application/json"
    }


@contextlib.asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    to_app: asyncio.Queue[Any] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    running = asyncio.ensure_future(app({"type": "lifespan", "state": {}}, to_app.get, from_app.put))
    for stage in ("startup", "shutdown"):
        await to_app.put({"type": f"lifespan.{stage}"})
        assert (await from_app.get())["type"] == f"lifespan.{stage}.complete"
        if stage == "startup":
            yield
    await running


@pytest.fixture
def sigterm() -> Iterator[None]:
    """The service sets a handler of its own."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.filterwarnings("ignore")  # BentoML's
def test_the_lane_and_bentomls_own_app_give_the_same_answers(sigterm: None) -> None:
    from service.app import service, worker

    async def both() -> None:
        behind = bentoml.Service.to_asgi(service)
        lane = worker.asgi(behind)
        async with lifespan(lane), client(lane) as before, client(behind) as after:
            while (await before.get("/readyz")).status_code != 200:
                await asyncio.sleep(0.05)
            for name, body in bodies().items():
                endpoint = next(task for task in TASKS if task.name == name)
                one, other = [await app.post(endpoint.path, json=body) for app in (before, after)]
                assert one.status_code == other.status_code == 200, (one.text, other.text)
                assert one.json() == other.json()
                assert "server-timing" in one.headers
                assert "server-timing" not in other.headers  # so it was not the lane that answered
                wrong = [await app.post(endpoint.path, json=body | {"model": "nobody"}) for app in (before, after)]
                assert [answer.status_code for answer in wrong] == [404, 404]

    asyncio.run(both())


def client(app: Any) -> httpx.AsyncClient:
    headers = {"accept": "application/json"}
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here", headers=headers, timeout=60)


@pytest.mark.filterwarnings("ignore")  # BentoML's
def test_bentomls_client_gets_the_answers_of_plain_http(server: Running) -> None:
    with bentoml.SyncHTTPClient(server.url) as remote:
        for name, body in bodies().items():
            endpoint = next(task for task in TASKS if task.name == name)
            plain = httpx.post(f"{server.url}{endpoint.path}", json=body, headers={"accept": "application/json"})
            call: Callable[..., Any] = getattr(remote, endpoint.name)
            answer = call(**body)
            assert (answer if isinstance(answer, dict) else answer.model_dump()) == plain.json()
        remote._temp_dir.cleanup()  # the client leaves it to the garbage collector, which warns


def test_a_bento_is_built_and_serves(tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    built = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "--output", "tag"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    tag = built.stdout.strip().removeprefix("__tag__:")
    source = home / "bentos" / tag.replace(":", "/") / "src"
    assert {"service", "models"} <= {path.name for path in source.iterdir()}
    assert not list(source.rglob("*.py[co]"))
    assert not list((source / "training").rglob("*.py"))
    running = Running(tmp_path, bento=tag, cwd=tmp_path).wait_until_ready()
    assert httpx.get(f"{running.url}/v1/models").json()["models"]
    assert running.stop() == 0, running.log

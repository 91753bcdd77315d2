"""What several tests need: toy bundles and the lane over them, a running server, real pictures, rows and slices."""

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from service.bundle import Bundle, current, names
from service.engine.loaded_model import LoadedModel
from service.engine.repository import Repository
from service.http.keys import Keys
from service.lane import App, Lane
from service.metrics import Metrics
from service.pages import Pages
from service.pipeline import Pipeline
from service.settings import Settings
from tests import toys
from training.data import german_credit, mnist
from training.data.images import Images

with warnings.catch_warnings():  # the import of a library that BentoML uses calls a deprecated one
    warnings.simplefilter("ignore")
    import bentoml.validators  # noqa: F401

PROJECT = Path(__file__).resolve().parent.parent
PROVIDER: Any = os.environ.get("QUARTET_PROVIDER") or "cpu"  # servers of their own processes read it, too

settings.register_profile("quartet", deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
settings.load_profile("quartet")


class Here:
    """An ASGI app in this process, asked one request at a time."""

    def __init__(self, app: App) -> None:
        self.app = app

    def __call__(self, method: str, path: str, **request: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                return await client.request(method, path, **request)

        return asyncio.run(ask())


class Running:
    """The service in processes of its own. `log` is all that they have written."""

    def __init__(
        self, folder: Path, *, bento: str | None = None, cwd: Path = PROJECT, python: str = sys.executable, **env: str
    ) -> None:
        """`folder` is for the log and for what BentoML keeps at home. A `bento` is served by BentoML."""
        folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "server.log"
        environment = os.environ | {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "True"} | env
        server = ["bentoml", "serve", bento] if bento else ["service", "serve"]
        command = [python, "-m", *server, "--host", "127.0.0.1", "--port", str(self.port)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=log, stderr=subprocess.STDOUT)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_until_ready(self, seconds: float = 180) -> "Running":
        """Until every worker is, which answer as chance has it."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if all(httpx.get(f"{self.url}/readyz").status_code == 200 for _ in range(SEVERAL)):
                    return self
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        self.process.kill()
        pytest.fail(f"the server did not become ready:\n{self.log}")

    def stop(self, seconds: float = 40) -> int:
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        finally:
            self.process.kill()


SEVERAL = 20  # connections, of which no worker misses all


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def toy_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A models folder with one toy of every task."""
    return toys.all_of_them(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def repository(toy_models: Path) -> Repository:
    """The toys, loaded."""
    loaded = Repository(Settings(models_dir=toy_models, threads=1, provider=PROVIDER), Metrics())
    asyncio.run(loaded.load())
    return loaded


def in_memory(repository: Repository, name: str) -> LoadedModel:
    """The model, loaded if nobody has asked it yet."""
    return asyncio.run(repository.residents.bring(repository.pick(name, None)))


def keys_of(config: Settings) -> Keys | None:
    return Keys(config.api_keys, config.api_keys.parent) if config.api_keys else None


def lane_over(repository: Repository, **changes: Any) -> Here:
    """The lane over `repository`, with nothing but a 404 behind it."""
    config = repository.settings.model_copy(update=changes)
    pipeline = Pipeline(repository, config)
    pages = Pages(repository, repository.metrics)
    return Here(Lane(nothing, pipeline, pages, repository.metrics, config, keys_of(config)))


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An inner app that knows one path."""
    known = scope["path"] == "/schema.json"
    await send({"type": "http.response.start", "status": 200 if known else 404, "headers": []})
    await send({"type": "http.response.body", "body": b"inner"})


@pytest.fixture(scope="session")
def lane(repository: Repository) -> Here:
    return lane_over(repository, max_body_bytes=4 * 2**20, max_pixels=2**20, max_rows=32)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The service as `make serve` starts it, with the committed bundles. It must end well when told to."""
    running = Running(tmp_path_factory.mktemp("server")).wait_until_ready()
    yield running
    assert running.stop() == 0, running.log


@pytest.fixture(scope="session")
def bundles() -> dict[str, Bundle]:
    """What the server serves, read from disk."""
    folder = Settings.from_environment().models_dir
    return {name: current(folder, name) for name in names(folder)}


@pytest.fixture(scope="session")
def client(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as session:
        yield session


@pytest.fixture(scope="session")
def digits() -> Images:
    """The 10,000 test digits of MNIST."""
    return mnist().test


@pytest.fixture(scope="session")
def applicants() -> list[dict[str, str]]:
    """The 1,000 rows of the Statlog German credit data, without the outcome."""
    return [{name: value for name, value in row.items() if name != "risk"} for row in german_credit()]


@pytest.fixture(scope="session")
def ct_slice() -> bytes:
    """A real CT slice of 128x128, as a DICOM file: pydicom's CT_small.dcm."""
    return Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()


def npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def assert_refused(response: httpx.Response, status: int, code: str, field: str | None = None) -> None:
    """An RFC 9457 answer with this code, at this field, under the request id of its header."""
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    assert body.get("field") == field, response.text

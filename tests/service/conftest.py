"""What the tests of the Open Inference Protocol need."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from uvicorn.config import HTTP_PROTOCOLS

from service.engine.repository import Repository
from service.metrics import Metrics
from service.settings import Settings
from tests import toys
from tests.conftest import PROVIDER, Here, lane_over

TOKEN = "a token of an admin"
BY_DTYPE = {"float32": "FP32", "float64": "FP64", "int64": "INT64", "int32": "INT32", "uint8": "UINT8", "bool": "BOOL"}


@pytest.fixture(scope="session")
def echoing(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """The toy that gives back what it gets, in every dtype, and the one that computes y = 2 x + k."""
    models = tmp_path_factory.mktemp("echo")
    toys.echo(models)
    toys.tensors(models)
    return loaded(models)


def loaded(folder: Path, **settings: Any) -> Repository:
    repository = Repository(Settings(models_dir=folder, threads=1, provider=PROVIDER, **settings), Metrics())
    asyncio.run(repository.load())
    return repository


@pytest.fixture(scope="session")
def protocol(echoing: Repository) -> Here:
    return lane_over(echoing, max_body_bytes=2**20, max_rows=32)


@pytest.fixture(autouse=True)
def _protocol_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HTTP_PROTOCOLS, "auto", HTTP_PROTOCOLS["auto"])


@pytest.fixture(scope="module")
def executor() -> Iterator[ThreadPoolExecutor]:
    """A thread for batches."""
    with ThreadPoolExecutor(1) as pool:
        yield pool

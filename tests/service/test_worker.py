"""When a worker process begins to accept requests."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.settings import Settings
from service.worker import Worker


@pytest.fixture
def sigterm() -> Iterator[None]:
    """The worker sets a handler of its own."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.mark.parametrize("others_answer", [False, True])
def test_a_worker_accepts_at_once_unless_others_answer_while_it_loads(
    others_answer: bool, toy_models: Path, sigterm: None
) -> None:
    """A server accepts once the app has started. Alone it would not even say that it is alive before that."""

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(len(worker.repository.models))
        await receive()

    async def start() -> Any:
        to_app: asyncio.Queue[Any] = asyncio.Queue()
        from_app: asyncio.Queue[Any] = asyncio.Queue()
        for stage in ("startup", "shutdown"):
            to_app.put_nowait({"type": f"lifespan.{stage}"})
        await worker.asgi(inner)({"type": "lifespan", "state": {}}, to_app.get, from_app.put)
        return from_app.get_nowait()

    worker = Worker(Settings(models_dir=toy_models))
    worker.others_answer = others_answer
    assert bool(asyncio.run(start())) is others_answer

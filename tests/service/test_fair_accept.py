"""Which connections a process steps aside for. How evenly processes then share them is for `make bench` to show."""

import asyncio
from collections import Counter
from typing import Any

import pytest
import uvicorn
from uvicorn.config import HTTP_PROTOCOLS

from service.http import fair_accept
from service.http.fair_accept import FairAccept
from service.settings import Settings


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FairAccept, "most", 1)
    monkeypatch.setitem(HTTP_PROTOCOLS, "auto", HTTP_PROTOCOLS["auto"])


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def most_after(*numbers: int) -> list[int]:
    """What `most` is after there have been, one after the other, so many connections at once."""
    FairAccept.install(Settings(), Counter())
    config = uvicorn.Config(app, port=0, lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    most = []
    for number in numbers:
        while len(streams) > number:
            streams.pop()[1].close()
        while len(server.server_state.connections) > number:
            await asyncio.sleep(0.01)
        while len(streams) < number:
            streams.append(await asyncio.open_connection("127.0.0.1", port))
        while len(server.server_state.connections) < number:
            await asyncio.sleep(0.01)
        most.append(FairAccept.most)
    for _, writer in streams:
        writer.close()
    server.should_exit = True
    await serving
    return most


def stepped_aside(monkeypatch: pytest.MonkeyPatch, *numbers: int) -> tuple[list[int], int]:
    """`most`, and how often the process stepped aside."""
    times = 0

    def count(seconds: float) -> None:
        nonlocal times
        times += 1

    monkeypatch.setattr(fair_accept.time, "sleep", count)
    return asyncio.run(most_after(*numbers)), times


def test_a_process_steps_aside_for_connections_that_it_did_not_have_before(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stepped_aside(monkeypatch, 1, 8) == ([1, 8], 7)


def test_connections_that_replace_others_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stepped_aside(monkeypatch, 8, 5, 8, 5, 8) == ([8, 8, 8, 8, 8], 7)


def test_a_lull_is_followed_by_sharing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stepped_aside(monkeypatch, 8, 3, 4, 8) == ([8, 8, 4, 8], 7 + 4)

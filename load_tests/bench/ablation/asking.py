"""A lane in this process that answers one request again and again, without sockets."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from load_tests.bodies import Body
from load_tests.in_process import exchange, not_found, scope_of
from service.lane import App
from service.settings import Settings
from service.worker import Worker

TOGETHER, REQUESTS = 16, 128


class WrongAnswer(Exception):
    """The lane does not answer as it should."""


class Asking:
    """Its own worker, with one model and one thread; `run` asks for as many answers as it returns."""

    def __init__(
        self, model: str, path: str, body: Body, headers: dict[bytes, bytes] | None = None, **settings: Any
    ) -> None:
        self._loop = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.worker = Worker(Settings(models=(model,), threads=1, provider="cpu", **settings))
        self._loop.run(self.worker.repository.load())
        self._lane: App = self.worker.asgi(not_found)
        self._body = body.content
        described = {b"content-type": body.media_type.encode(), **(headers or {})}
        self._scope = scope_of("POST", path, described, self._body, b"model=" + model.encode())
        self._loop.run(self._ask(1))

    def run(self) -> int:
        self._loop.run(self._all())
        return REQUESTS

    def fetch(self, page: Callable[[], Awaitable[bytes]]) -> int:
        """The page for several who ask at once."""
        self._loop.run(_together(page))
        return TOGETHER

    async def _all(self) -> None:
        await asyncio.gather(*(self._ask(REQUESTS // TOGETHER) for _ in range(TOGETHER)))

    async def _ask(self, times: int) -> None:
        for _ in range(times):
            start, *rest = await exchange(self._lane, dict(self._scope), [self._body])
            if start["status"] != 200:
                raise WrongAnswer(f"{start['status']}: {rest[0]['body'][:300]!r}")


async def _together(page: Callable[[], Awaitable[bytes]]) -> None:
    await asyncio.gather(*(page() for _ in range(TOGETHER)))

"""The service in this process, without an HTTP server: its ASGI app over the toy models of the tests."""

import asyncio
import gc
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from load_tests.hostile.cost import Cost, Meter
from load_tests.hostile.seeds import put_toys
from load_tests.hostile.shot import Shot
from load_tests.in_process import exchange, not_found, scope_of
from load_tests.wire import Reply
from service.settings import Settings
from service.worker import Worker

TIGHT: dict[str, Any] = {"max_body_bytes": 2**20, "max_pixels": 2**18, "max_rows": 16}


class Inside:
    """Of each kind there is one model, which answers when a request names none."""

    def __init__(self, folder: Path, **limits: Any) -> None:
        """`limits` are settings; by default those of the service."""
        put_toys(folder)
        settings = {"models_dir": folder, "access_log": "off", "threads": 1} | limits
        self.worker = Worker(Settings.model_validate(settings))
        self._app = self.worker.asgi(not_found)

    @property
    def max_pixels(self) -> int:
        return self.worker.settings.max_pixels

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """For clients that bring a loop of their own: the models are loaded already, whatever their lifespan says."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        while (message := (await receive())["type"]) != "lifespan.shutdown":
            await send({"type": f"{message}.complete"})
        await send({"type": f"{message}.complete"})

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        self._runner.run(self.worker.repository.load())
        gc.collect()
        gc.freeze()  # as the service does: what this process holds besides is not for each collection to walk through
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._runner.close()
        gc.unfreeze()

    def ask(
        self, method: str, path: str, headers: dict[bytes, bytes], body: bytes = b"", query: bytes = b""
    ) -> Reply | None:
        """The answer; None when the app ends without one."""
        return self.measured(Shot(method, path, query, headers, body))[0]

    def measured(self, shot: Shot) -> tuple[Reply | None, Cost]:
        """The answer and what it cost."""
        return self._runner.run(self._measured(shot))

    async def _measured(self, shot: Shot) -> tuple[Reply | None, Cost]:
        async with Meter() as meter:
            reply = await self._ask(shot)
        return reply, meter.cost

    async def _ask(self, shot: Shot) -> Reply | None:
        method, path, query, headers, body = shot
        middle = len(body) // 2
        sent = await exchange(self._app, scope_of(method, path, headers, body, query), (body[:middle], body[middle:]))
        if len(sent) < 2:
            return None
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return Reply(sent[0]["status"], named, b"".join(message["body"] for message in sent[1:]))

"""The service without HTTP: its lane in this process, with the model and no server around it."""

import asyncio
from collections.abc import Iterator
from statistics import median
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

import uvloop

from load_tests.bench.contender import Contender, WrongAnswer
from load_tests.in_process import exchange, not_found, scope_of
from service.lane import App
from service.settings import Settings
from service.worker import Worker

REQUESTS, ROUNDS = 1024, 5
TOGETHER = 1, 64


def alone(model: str, contenders: list[Contender]) -> Iterator[dict[str, Any]]:
    """How long a request of each contender takes, asked one at a time and many at a time. Raises WrongAnswer."""
    provider = Settings.from_environment().provider
    worker = Worker(Settings(models=(model,), threads=1, provider=provider))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(worker.repository.load())
        lane = worker.asgi(not_found)
        for contender in contenders:
            for together in TOGETHER:
                rounds = [runner.run(_seconds(lane, contender, together)) for _ in range(ROUNDS)]
                yield {
                    "model": model,
                    "request": contender.form,
                    "at a time": together,
                    "µs/request": 1e6 * median(rounds) / REQUESTS,
                }


async def _seconds(lane: App, contender: Contender, together: int) -> float:
    started = perf_counter()
    await asyncio.gather(*(_ask(lane, contender, REQUESTS // together) for _ in range(together)))
    return perf_counter() - started


async def _ask(lane: App, contender: Contender, times: int) -> None:
    url, body = urlsplit(contender.url), contender.body
    headers = {b"content-type": body.media_type.encode()}
    scope = scope_of("POST", url.path, headers, body.content, url.query.encode())
    for _ in range(times):
        start, *rest = await exchange(lane, dict(scope), [body.content])
        if start["status"] != 200:
            raise WrongAnswer(f"the lane answered {contender.form} with {start['status']}: {rest[0]['body'][:300]!r}")

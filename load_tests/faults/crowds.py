"""Clients in numbers: more of them than the service can answer, and those that hang up."""

import asyncio
import json
import random
from itertools import count, cycle, islice
from time import perf_counter
from typing import NamedTuple

from load_tests.model_folder import MILL, SIDE, SMALL, TURNS
from load_tests.wire import Broken, Reply, Wire, request

JSON = "application/json"


class Question(NamedTuple):
    """A request to the slow model, and what it must answer."""

    request: bytes
    right: list[list[float]]

    @classmethod
    def about(cls, row: list[float]) -> "Question":
        body = json.dumps({"inputs": {"x": [row]}}).encode()
        turned = row[-TURNS % SIDE :] + row[: -TURNS % SIDE]
        return cls(request("POST", f"/v1/models/{MILL}/predict", body, content_type=JSON), [turned])


class Shot(NamedTuple):
    """What became of one request of an open loop, and the seconds from when it was due to its answer."""

    status: int
    seconds: float
    retry_after: str | None
    right: bool


QUESTIONS = [Question.about([float(random.randrange(100)) for _ in range(SIDE)]) for _ in range(16)]


async def capacity(port: int, seconds: float) -> float:
    """Requests/s that the slow model answers to eight clients that wait for their turn."""
    until, started, answered = perf_counter() + seconds, perf_counter(), count()

    async def client() -> None:
        wire = Wire(port)
        questions = cycle(QUESTIONS)
        while perf_counter() < until:
            await wire.ask(next(questions).request)
            next(answered)
        wire.close()

    await asyncio.gather(*(client() for _ in range(8)))
    return next(answered) / (perf_counter() - started)


async def flood(port: int, rate: float, seconds: float) -> list[Shot]:
    """Requests that come `rate` a second whether or not the earlier ones are answered."""
    idle: list[Wire] = []
    started = perf_counter()

    async def shoot(question: Question, due: float) -> Shot:
        wire = idle.pop() if idle else Wire(port)
        try:
            try:
                reply = await wire.ask(question.request)
            except Broken:  # a server may close a connection that has been idle for long
                reply = await wire.ask(question.request)
        except Broken:
            return Shot(0, perf_counter() - due, None, False)
        idle.append(wire)
        return Shot(reply.status, perf_counter() - due, reply.headers.get("retry-after"), _is_right(reply, question))

    shots = []
    for i, question in enumerate(islice(cycle(QUESTIONS), int(rate * seconds))):
        due = started + i / rate
        await asyncio.sleep(max(0.0, due - perf_counter()))
        shots.append(asyncio.create_task(shoot(question, perf_counter())))
    done = await asyncio.gather(*shots)
    for wire in idle:
        wire.close()
    return done


def _is_right(reply: Reply, question: Question) -> bool:
    return reply.status != 200 or json.loads(reply.body)["outputs"]["y"] == question.right


async def hang_up(port: int, times: int) -> None:
    """Clients that go away: before, within and after their request, with a goodbye or without."""
    crowd = asyncio.Semaphore(32)
    requests = cycle([SMALL, QUESTIONS[0].request, SMALL])

    async def client(whole: bytes) -> None:
        async with crowd:
            wire = Wire(port)
            try:
                await wire.send(whole[: random.choice([0, 20, len(whole) // 2, len(whole) - 1, len(whole)])])
                await asyncio.sleep(random.choice([0, 0, 0.01]))
            except Broken:
                pass
            wire.close(abruptly=random.random() < 0.5)

    await asyncio.gather(*(client(whole) for whole in islice(requests, times)))


class Unfinished:
    """Clients who have sent all of a request but its last byte."""

    def __init__(self, port: int, clients: int) -> None:
        self._wires = [Wire(port) for _ in range(clients)]

    async def begin(self) -> None:
        for wire in self._wires:
            await wire.send(SMALL[:-1])

    async def finish(self) -> list[Reply]:
        """Raises Broken."""
        for wire in self._wires:
            await wire.send(SMALL[-1:])
        replies = [await wire.answer() for wire in self._wires]
        for wire in self._wires:
            wire.close()
        return replies

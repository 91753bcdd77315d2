"""Constant load by clients that try again, verify every answer and write down what must not happen."""

import asyncio
import itertools
import json
import random
import secrets
from collections.abc import Callable
from threading import Thread
from time import monotonic, perf_counter, sleep
from types import TracebackType
from typing import Self

from load_tests.model_folder import STEP
from load_tests.wire import Broken, Reply, Wire, request

PATH = f"/v1/models/{STEP}/predict"
GIVE_UP_S = 90


class Verifier:
    """`clients` closed loops in a thread of their own, asking for the model `step`.

    Only a 503 and a connection that breaks are tried again; all else is written to `violations`. Versions from `barred`
    must never answer, and none older than one that has answered already.
    """

    def __init__(self, port: int, *, clients: int = 8) -> None:
        self.port = port
        self.newest = 0
        self.barred: set[str] = set()
        self.violations: list[str] = []
        self.latencies_s: list[float] = []
        self.answered_ids: set[str] = set()
        self.asked_ids: set[str] = set()
        self.refused = self.cut_off = 0
        self.broken_ports: list[int | None] = []  # None: no connection at all
        self._clients, self._stop = clients, False
        self._prefix, self._numbers = secrets.token_hex(4), itertools.count()
        self._thread = Thread(target=lambda: asyncio.run(self._load()), name="verifier")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop = True
        self._thread.join()

    @property
    def answered(self) -> int:
        return len(self.latencies_s)

    def expect(self, condition: bool, violation: str) -> None:
        if not condition:
            self.violations.append(violation)

    def see(self, condition: Callable[[], bool], violation: str, seconds: float = 60) -> None:
        """Wait for something that must happen."""
        until = monotonic() + seconds
        while not condition():
            if monotonic() > until:
                self.violations.append(f"{violation} within {seconds:g} s")
                return
            sleep(0.005)

    def see_answers(self, count: int) -> None:
        """Wait for so many more answers."""
        target = self.answered + count
        self.see(lambda: self.answered >= target, f"no {count} answers")

    def see_version(self, version: int) -> None:
        """Wait for an answer from it."""
        self.see(lambda: self.newest == version, f"version {version} does not answer")

    async def _load(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(self._clients)))

    async def _client(self) -> None:
        wire = Wire(self.port)
        while not self._stop:
            numbers = [float(random.randrange(1000)) for _ in range(3)]
            await self._ask_until_answered(wire, numbers)
        wire.close()

    async def _ask_until_answered(self, wire: Wire, numbers: list[float]) -> None:
        body = json.dumps({"inputs": {"x": [numbers]}}).encode()
        since = perf_counter()
        while perf_counter() - since < GIVE_UP_S:
            name, floor, started = f"{self._prefix}-{next(self._numbers)}", self.newest, perf_counter()
            self.asked_ids.add(name)
            try:
                reply = await wire.ask(request("POST", PATH, body, content_type="application/json", x_request_id=name))
            except Broken as broken:
                self._note(broken)
            else:
                if reply.status != 503:
                    self.latencies_s.append(perf_counter() - started)
                    self.answered_ids.add(name)
                    self._verify(reply, numbers, floor)
                    return
                self.refused += 1
            await asyncio.sleep(0.02)
        self.violations.append(f"a request was not answered in {GIVE_UP_S} s")

    def _note(self, broken: Broken) -> None:
        self.cut_off += broken.received > 0
        self.broken_ports.append(broken.port)

    def _verify(self, reply: Reply, numbers: list[float], floor: int) -> None:
        if reply.status != 200:
            self.violations.append(f"status {reply.status}")
            return
        answer = json.loads(reply.body)
        version = answer["model"]["version"]
        self.expect(version not in self.barred, f"the broken version {version} answered")
        self.expect(int(version) >= floor, f"version {version} answered after version {floor} had")
        right = [[number + int(version) for number in numbers]]
        self.expect(answer["outputs"]["y"] == right, f"version {version} answered {answer['outputs']}, not {right}")
        self.newest = max(self.newest, int(version))

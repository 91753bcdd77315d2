"""A release under load, on a service of two workers: a shadow, a canary, and a bad candidate that has to go.

    python -m load_tests.releases [--seconds N] [--output build/releases.md]

Every answer is compared with what its version must say. Writes a report, and ends with status 1 where an answer was
lost or wrong, a share was not the one that was asked for, a shadow cost too much, or the bad candidate stayed longer
than a second.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable
from itertools import pairwise
from math import sqrt
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import orjson

from load_tests.report import table
from load_tests.serving import Serving
from load_tests.wire import Broken, Wire, request
from service.bundle import write_current
from service.release import Release
from service.release.rollout import Mode, Step
from tests import toys

NAME, CLIENTS, PAUSE_S = "toy-digits", 8, 0.004
SHARE, STOP_S, SHADOW_COST = 0.05, 1.0, 1.1
SETTLE_S = 3.0  # in which all workers have found what was started
ROUNDS = 5
NORMAL_99 = 2.576
IMAGES = np.random.default_rng(1).integers(0, 256, (16, 28, 28)).astype(np.float32)
INKS = {"1": toys.INK, "2": toys.INK * np.float32(1.01), "3": -toys.INK}


class Shot(NamedTuple):
    """One request: when it was answered, how long it took, by which version; "" where the answer was lost or wrong."""

    at: float
    seconds: float
    version: str


class Check(NamedTuple):
    name: str
    passed: bool
    measured: str
    wanted: str


class Load:
    """Clients that ask one after the other, and check what they are told."""

    def __init__(self, port: int) -> None:
        self.shots: list[Shot] = []
        self._port, self._ended = port, False
        self._right = {version: toys.probabilities(IMAGES, ink).argmax(1).tolist() for version, ink in INKS.items()}
        bodies = [orjson.dumps({"images": [image.tolist()]}) for image in IMAGES]
        self._requests = [
            request("POST", "/v1/digits/classify", body, content_type="application/json") for body in bodies
        ]

    async def during(self, scene: Awaitable[None]) -> None:
        clients = [asyncio.create_task(self._client(number)) for number in range(CLIENTS)]
        try:
            await scene
        finally:
            self._ended = True
            await asyncio.gather(*clients)

    def since(self, start: float, end: float | None = None) -> list[Shot]:
        return [shot for shot in self.shots if shot.at >= start and (end is None or shot.at < end)]

    async def _client(self, number: int) -> None:
        wire, turn = Wire(self._port), number
        while not self._ended:
            turn = (turn + 1) % len(IMAGES)
            started = time.time()
            version = await self._version(wire, turn)
            self.shots.append(Shot(time.time(), time.time() - started, version))
            await asyncio.sleep(PAUSE_S)
        wire.close()

    async def _version(self, wire: Wire, turn: int) -> str:
        try:
            reply = await wire.ask(self._requests[turn])
        except Broken:
            return ""
        if reply.status != 200:
            return ""
        answer = orjson.loads(reply.body)
        version = str(answer["model"]["version"])
        return version if answer["predictions"][0]["digit"] == self._right[version][turn] else ""


class Story:
    def __init__(self, release: Release, load: Load, seconds: float) -> None:
        self._release, self._load, self._seconds = release, load, seconds
        self.checks: list[Check] = []

    async def run(self) -> None:
        await self._shadow()
        await self._canary()
        await self._bad()

    async def _shadow(self) -> None:
        """By turns with and without, so that whatever else the machine does falls on both.

        Where it moves the p99 without a shadow by more than one may cost, from one turn to the next, nothing is told.
        """
        without, behind = [], []
        for _ in range(ROUNDS):
            without.append(await self._p99())
            self._start("2", "shadow", 0.1)
            await asyncio.sleep(SETTLE_S)
            behind.append(await self._p99())
            self._release.stop("the demo", "measured")
            await asyncio.sleep(SETTLE_S)
        ratio = median(b / a for a, b in zip(without, behind, strict=True))
        noise = 1 + median(abs(after / before - 1) for before, after in pairwise(without))
        told = f"{median(without) * 1e3:.2f} ms without, {median(behind) * 1e3:.2f} ms with, {100 * (ratio - 1):+.1f} %"
        busy = noise > SHADOW_COST
        told += f"; not to be told here: without one it moves by {100 * (noise - 1):.0f} %" if busy else ""
        self._check("a shadow of 10 % costs the served p99", busy or ratio < SHADOW_COST, told, "less than 10 %")

    async def _canary(self) -> None:
        self._start("2", "canary", SHARE)
        await asyncio.sleep(SETTLE_S)
        start = time.time()
        await asyncio.sleep(self._seconds)
        shots = self._load.since(start)
        hits, total = sum(shot.version == "2" for shot in shots), len(shots)
        margin = NORMAL_99 * sqrt(SHARE * (1 - SHARE) / total)
        told = f"{100 * hits / total:.2f} % of {total}"
        wanted = f"{100 * (SHARE - margin):.2f} to {100 * (SHARE + margin):.2f} %"
        self._check("a canary of 5 % answers", abs(hits / total - SHARE) <= margin, told, wanted)
        self._release.stop("the demo", "measured")
        await asyncio.sleep(SETTLE_S)

    async def _bad(self) -> None:
        self._start("3", "canary", SHARE)
        start = time.time()
        stopped = await self._until_stopped()
        await asyncio.sleep(SETTLE_S)
        late = [shot.at - stopped for shot in self._load.since(start) if shot.version == "3"]
        given, last = len(late), max(late, default=0.0)
        rollout = self._release.rollout
        why = rollout.stop.why if rollout and rollout.stop else "nothing ended it"
        told = f"{given} answers, the last one {max(0.0, last):.2f} s after the breach was found: {why}"
        passed = bool(rollout and rollout.stop) and last < STOP_S
        self._check("a bad candidate is gone from all workers", passed, told, f"within {STOP_S:g} s")

    async def _until_stopped(self) -> float:
        until = time.time() + 60
        while time.time() < until and self._release.running is not None:
            await asyncio.sleep(0.01)
        return time.time()

    async def _p99(self) -> float:
        start = time.time()
        await asyncio.sleep(self._seconds / 2)
        return float(np.quantile([shot.seconds for shot in self._load.since(start)], 0.99))

    def _start(self, version: str, mode: Mode, share: float) -> None:
        self._release.start(
            version, mode, (Step(share=share),), "the demo", "a demo", force=True, check=lambda folder: None
        )

    def _check(self, name: str, passed: bool, measured: str, wanted: str) -> None:
        self.checks.append(Check(name, passed, measured, wanted))


def play(folder: Path, seconds: float) -> list[Check]:
    models = folder / "models"
    for version, ink in INKS.items():
        toys.digits(models, version=version, ink=ink)
    write_current(models, NAME, "1")
    serving = Serving(folder, models_dir=models, workers=2, threads=1).start()
    try:
        load = Load(serving.port)
        story = Story(Release(models, NAME), load, seconds)
        asyncio.run(load.during(story.run()))
    finally:
        serving.terminate()
        serving.ended()
    lost = sum(not shot.version for shot in load.shots)
    return [Check("answers that were lost or wrong", lost == 0, f"{lost} of {len(load.shots)}", "0"), *story.checks]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m load_tests.releases")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a scene")
    parser.add_argument("--output", type=Path, default=Path("build/releases.md"), help="the report")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checks = play(Path(folder), given.seconds)
    rows = [
        {"what": one.name, "": "ok" if one.passed else "BAD", "measured": one.measured, "wanted": one.wanted}
        for one in checks
    ]
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(f"# A release under load\n\n{table(rows)}\n")
    print(table(rows))
    sys.exit(0 if all(one.passed for one in checks) else 1)


if __name__ == "__main__":
    main()

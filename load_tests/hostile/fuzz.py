"""Damaged requests without end, given to the service in this process."""

import faulthandler
import gc
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import psutil

from load_tests.hostile.inside import Inside
from load_tests.hostile.mutations import ENCODERS, mutated
from load_tests.hostile.seeds import Seed, seeds
from load_tests.hostile.verdict import objections

HANG_S = 60
MOST_BYTES = 2**20 + 1
METHODS = ("POST",) * 20 + ("GET", "HEAD", "PUT", "OPTIONS")
QUERIES = (b"",) * 8 + (
    b"model=",
    b"model=convnet",
    b"version=1",
    b"many=true&explain=true",
    b"explain=1&explain=true",
    b"model=%00%ff",
    b"version=" + b"9" * 10_000,
    b"&=;=%",
)
HEADERS = (
    b"content-type",
    b"accept",
    b"accept-encoding",
    b"content-encoding",
    b"x-timeout-ms",
    b"x-priority",
    b"x-request-id",
    b"x-model-version",
    b"traceparent",
    b"inference-header-content-length",
)
VALUES = (
    b"",
    b"*/*",
    b"application/json",
    b"application/x-npy",
    b"text/csv",
    b"image/tiff",
    b"image/*;q=0.5, */*;q=nan",
    b"multipart/form-data",
    b"\xff",
    b";" * 500,
    b"a=b;" * 99,
    b"application/json; a*0=b; a*=c",
    b"application/json;q*=utf-8''1",
    b"99999",
    b"-1",
    b"9" * 30,
    b"gzip",
    b"deflate",
)


class Shot(NamedTuple):
    """A hostile request."""

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes


class Finding(NamedTuple):
    """A request, and what is wrong with its answer."""

    shot: Shot
    objection: str

    def write(self, folder: Path, number: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in self.shot.headers.items()}
        query = self.shot.query.decode("latin-1")
        head = self.shot._asdict() | {"headers": headers, "query": query, "body": None, "objection": self.objection}
        (folder / f"{number}.json").write_text(json.dumps(head, indent=1))
        (folder / f"{number}.body").write_bytes(self.shot.body)


class Fuzz:
    """What came of it: statuses, what was wrong, and by how much memory grew once caches were full."""

    def __init__(self, inside: Inside, seed: int) -> None:
        self._inside, self._shots = inside, shots(random.Random(seed))
        self.statuses: Counter[int] = Counter()
        self.findings: list[Finding] = []

    def run(self, requests: int) -> None:
        for _ in range(requests):
            self.fire(next(self._shots))

    def fire(self, shot: Shot) -> None:
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        started = perf_counter()
        reply = self._inside.ask(shot.method, shot.path, shot.headers, shot.body, shot.query)
        seconds = perf_counter() - started
        faulthandler.cancel_dump_traceback_later()
        self.statuses[reply.status if reply else 0] += 1
        if shot.method != "HEAD":
            self.findings += [Finding(shot, objection) for objection in objections(shot.path, reply, seconds)]


def shots(chance: random.Random) -> Iterator[Shot]:
    whole = seeds()
    bodies = [seed.body for seed in whole]
    while True:
        seed = chance.choice(whole)
        yield _shot(seed, mutated(seed.body, chance, bodies) if chance.random() < 0.95 else seed.body, chance)


def _shot(seed: Seed, body: bytes, chance: random.Random) -> Shot:
    headers = dict(seed.headers)
    if chance.random() < 0.2:
        headers[chance.choice(HEADERS)] = chance.choice(VALUES)
    if chance.random() < 0.1:
        coding = chance.choice(list(ENCODERS))
        headers[b"content-encoding"], body = coding, ENCODERS[coding](body)
    query = seed.query if chance.random() < 0.5 else chance.choice(QUERIES)
    return Shot(chance.choice(METHODS), seed.path, query, headers, body[:MOST_BYTES])


def resident_mb() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 2**20

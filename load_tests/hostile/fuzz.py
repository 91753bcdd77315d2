"""Hostile requests without end, given to the service in this process: damaged ones, and bombs."""

import faulthandler
import random
from collections import Counter
from collections.abc import Iterator, Sequence

from load_tests.hostile.bombs import BOMBS
from load_tests.hostile.cost import MEMORY, Excess
from load_tests.hostile.inside import Inside
from load_tests.hostile.mutations import ENCODERS, mutated
from load_tests.hostile.seeds import Seed, seeds
from load_tests.hostile.shot import Finding, Shot
from load_tests.hostile.verdict import objections
from load_tests.wire import Reply

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


class Fuzz:
    """What came of it: statuses, and what was wrong with answers or costs."""

    def __init__(self, inside: Inside, shots: Iterator[Shot]) -> None:
        self._inside, self._shots = inside, shots
        self.statuses: Counter[int] = Counter()
        self.findings: list[Finding] = []

    def run(self, requests: int) -> None:
        for _ in range(requests):
            self.fire(next(self._shots))

    def fire(self, shot: Shot) -> None:
        reply, excesses = self._fire(shot)
        self.statuses[reply.status if reply else 0] += 1
        if excesses:  # something else may have come between; what takes too long does so again
            again = {MEMORY, *(one.kind for one in self._fire(shot)[1])}
            excesses = [excess for excess in excesses if excess.kind in again]
        found = [str(excess) for excess in excesses]
        if shot.method != "HEAD":
            found += objections(shot.path, reply)
        self.findings += [Finding(shot, objection) for objection in found]

    def _fire(self, shot: Shot) -> tuple[Reply | None, list[Excess]]:
        faulthandler.dump_traceback_later(HANG_S, exit=True)
        reply, cost = self._inside.measured(shot)
        faulthandler.cancel_dump_traceback_later()
        return reply, list(cost.excesses(len(shot.body), self._inside.max_pixels))


def bombs(chance: random.Random, names: Sequence[str] = ()) -> Iterator[Shot]:
    """`names` of some of BOMBS."""
    chosen = [BOMBS[name] for name in names or BOMBS]
    while True:
        yield chance.choice(chosen)(chance)


def damaged(chance: random.Random) -> Iterator[Shot]:
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

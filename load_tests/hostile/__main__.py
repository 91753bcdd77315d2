"""Hostile requests: whatever comes in, no fault, no hang, no leak, no cost beyond its bounds, nothing undocumented.

    python -m load_tests.hostile [--seconds N] [--requests N] [--seed N] [--bombs NAME ...] [--examples N]
                                 [--keep FOLDER] [--replay FILE ...]

Real payloads are damaged at random and given to the service in this process; so are requests that want to cost much
(load_tests/hostile/bombs), under limits that are tight and under the default ones. Each has its peak of memory, the
longest stall of the event loop and its time looked at. Then come requests made from the OpenAPI document, and attacks
below HTTP and gRPC on a server. A request that cost too much or got an answer that no service may give is kept in
FOLDER; `--replay` sends such files again, and nothing else. Ends with status 1 on any finding.
"""

import argparse
import logging
import random
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple
from uuid import uuid4

from load_tests.hostile.bombs import BOMBS, forget
from load_tests.hostile.conformance import departures
from load_tests.hostile.cost import resident_mb
from load_tests.hostile.fuzz import Fuzz, bombs, damaged
from load_tests.hostile.inside import TIGHT, Inside
from load_tests.hostile.shot import Shot
from load_tests.hostile.siege import siege
from service.allocator import give_back_early

GROWTH_MB = 32
RARE = 20  # one bomb among so many damaged requests, where the limits are tight


def mixed(chance: random.Random) -> Iterator[Shot]:
    """Damaged requests, with bombs among them."""
    streams = damaged(chance), bombs(chance)
    while True:
        yield next(streams[chance.randrange(RARE) == 0])


class Stage(NamedTuple):
    """A stream of requests to a service under some limits."""

    name: str
    limits: dict[str, Any]
    shots: Callable[[random.Random], Iterator[Shot]]
    settled: int  # requests after which caches are full and memory must not grow any more

    def findings(self, folder: Path, given: argparse.Namespace) -> Iterator[str]:
        """Until both its seconds and its requests are over."""
        with Inside(folder / self.name, **self.limits) as inside:
            fuzz = Fuzz(inside, self.shots(random.Random(given.seed)))
            fuzz.run(self.settled)
            forget()
            until, settled = monotonic() + given.seconds, resident_mb()
            while monotonic() < until or fuzz.statuses.total() < given.requests:
                fuzz.run(20)
            forget()
            grown = resident_mb() - settled
        print(f"{self.name}: {fuzz.statuses.total()} requests, by status: {dict(sorted(fuzz.statuses.items()))}")
        print(f"{self.name}: memory {grown:+.1f} MB since request {self.settled}", flush=True)
        yield from kept(fuzz, given.keep / self.name)
        if grown > GROWTH_MB:
            yield f"{self.name}: memory has grown by {grown:.0f} MB, limit {GROWTH_MB}"


def kept(fuzz: Fuzz, folder: Path) -> Iterator[str]:
    for number, finding in enumerate(fuzz.findings):
        finding.write(folder, number)
        yield f"{finding.shot.path[:80]}: {finding.objection} ({folder / str(number)}.json, .body)"


def replayed(files: list[Path], folder: Path) -> Iterator[str]:
    """What is wrong with requests of earlier runs, under the limits that their folder's name says."""
    for file in files:
        with Inside(folder / str(uuid4()), **(TIGHT if file.parent.name == "damaged" else {})) as inside:
            fuzz = Fuzz(inside, iter(()))
            fuzz.fire(Shot.read(file))
            yield from (f"{file}: {finding.objection}" for finding in fuzz.findings)


def everything(folder: Path, given: argparse.Namespace) -> Iterator[str]:
    dear = partial(bombs, names=given.bombs)
    for stage in (Stage("damaged", TIGHT, mixed, 4000), Stage("bombs", {}, dear, 200)):
        yield from stage.findings(folder, given)
    with Inside(folder / "documented", **TIGHT) as inside:
        yield from departures(inside, given.examples)
    yield from siege(folder / "siege")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30, help="of damaged requests, and of bombs; default: 30")
    parser.add_argument("--requests", type=int, default=0, help="of each, at least; default: as many as there is time")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--bombs", nargs="*", default=[], choices=BOMBS, metavar="NAME", help=f"of {', '.join(BOMBS)}")
    parser.add_argument("--examples", type=int, default=200, help="from the document, per operation; default: 200")
    parser.add_argument("--keep", type=Path, default=Path("hostile"), metavar="FOLDER", help="default: ./hostile")
    parser.add_argument("--replay", nargs="+", type=Path, metavar="FILE", help="NUMBER.json of an earlier run")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    give_back_early()  # as the served process does
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped then, too
    with tempfile.TemporaryDirectory() as folder:
        found = replayed(given.replay, Path(folder)) if given.replay else everything(Path(folder), given)
        findings = list(found)
    print("\n".join(findings) or "nothing found")
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()

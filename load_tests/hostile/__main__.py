"""Hostile requests: whatever comes in, no fault, no hang, no leak, and nothing that the OpenAPI document does not say.

    python -m load_tests.hostile [--seconds N] [--seed N] [--examples N] [--keep FOLDER]

Real payloads are damaged at random, for N seconds, and given to the service in this process; then it gets requests
made from its OpenAPI document; then a server is attacked below HTTP. A damaged request that got an answer that no
service may give is kept in FOLDER. Ends with status 1 on any finding.
"""

import argparse
import logging
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

from load_tests.hostile.conformance import departures
from load_tests.hostile.fuzz import Fuzz, resident_mb
from load_tests.hostile.inside import Inside
from load_tests.hostile.siege import siege

SETTLED = 4000  # requests after which caches are full and memory must not grow any more
GROWTH_MB = 32


def fuzz(inside: Inside, seconds: float, seed: int, keep: Path) -> Iterator[str]:
    fuzzer = Fuzz(inside, seed)
    fuzzer.run(SETTLED)
    until, settled = monotonic() + seconds, resident_mb()
    while monotonic() < until:
        fuzzer.run(1000)
    print(f"{fuzzer.statuses.total()} damaged requests, by status: {dict(sorted(fuzzer.statuses.items()))}")
    print(f"memory {resident_mb() - settled:+.1f} MB since request {SETTLED}")
    for number, finding in enumerate(fuzzer.findings):
        finding.write(keep, number)
        yield f"{finding.shot.path}: {finding.objection} ({keep / str(number)}.json, .body)"
    if resident_mb() - settled > GROWTH_MB:
        yield f"memory has grown by {resident_mb() - settled:.0f} MB, limit {GROWTH_MB}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="of damaged requests; default: 60")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--examples", type=int, default=200, help="from the document, per operation; default: 200")
    parser.add_argument("--keep", type=Path, default=Path("hostile"), metavar="FOLDER", help="default: ./hostile")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped then, too
    with tempfile.TemporaryDirectory() as folder, Inside(Path(folder) / "inside") as inside:
        findings = [
            *fuzz(inside, given.seconds, given.seed, given.keep),
            *departures(inside, given.examples),
            *siege(Path(folder) / "siege"),
        ]
    print("\n".join(findings) or "nothing found")
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()

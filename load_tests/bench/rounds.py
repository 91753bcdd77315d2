"""Contenders take turns in short rounds, so that a machine that is slow for a while is slow for all of them."""

import sys
from math import ceil
from typing import NamedTuple

from load_tests.bench import wrk
from load_tests.bench.contender import Contender, Part
from load_tests.bench.processor import busy_s, server
from load_tests.bench.wrk import Load

# A run lasts at least so many times as long as a request in its closed loop. wrk does not count what is under way when
# the time is up, half a request per connection: in two latencies a quarter of what was done.
LATENCIES = 32
BARE = 0.25  # of a run, for the bare model: it meets what the machine is up to, but not for a moment only


class Sample(NamedTuple):
    """One short run of one contender, with the processor time of its processes per request.

    Behind the service's own: rows per batch and the bare model's rows/s at it.
    """

    load: Load
    cpu_us: float
    batch: float | None = None
    model_rows_per_s: float | None = None


class Measured(NamedTuple):
    """Samples by connections and contender; the bare model's rows/s by rows per batch."""

    samples: dict[tuple[int, str], list[Sample]]
    raw: dict[int, list[float]]


def measure(part: Part, rounds: int, seconds: int) -> Measured:
    """Raises WrongAnswer, LoadError."""
    for contender in part.contenders:
        contender.check()
    pace = {contender.name: warm_up(contender, part) for contender in part.contenders}
    measured = Measured({}, {})
    for number in range(rounds):
        print(f"{part.title}, round {number + 1} of {rounds}", file=sys.stderr)
        for connections in part.connections:
            for contender in part.contenders:
                needed = ceil(LATENCIES * connections / pace[contender.name])
                sample = run(contender, part, connections, max(needed, seconds * part.stretch))
                measured.samples.setdefault((connections, contender.name), []).append(sample)
        for batch in part.batches:
            measured.raw.setdefault(batch, []).append(part.raw.rows_per_s(batch, BARE * seconds * part.stretch))
    return measured


def warm_up(contender: Contender, part: Part) -> float:
    """Requests/s of a few connections."""
    return _post(contender, min(16, max(part.connections)), 2 * part.stretch).requests_per_s


def run(contender: Contender, part: Part, connections: int, seconds: int) -> Sample:
    processes, before = server(contender.url), contender.work and contender.work()
    started = busy_s(processes)
    load = _post(contender, connections, seconds)
    cpu_us = 1e6 * (busy_s(processes) - started) / (load.requests_per_s * seconds)
    if contender.work is None or before is None:
        return Sample(load, cpu_us)
    after = contender.work()
    batch = (after.rows - before.rows) / (after.batches - before.batches)
    return Sample(load, cpu_us, batch, part.raw.rows_per_s(max(1, round(batch)), BARE * seconds))


def _post(contender: Contender, connections: int, seconds: int) -> Load:
    with contender.awake():
        return wrk.post(contender.url, contender.body, connections, seconds, contender.headers)

"""What a machine with a GPU makes of the service, in under six minutes: one report.

    python -m load_tests.gpu_check [--provider cuda] [--report FILE] [--without sharing|tests|bench]

Every bundle is loaded under the provider, compared with the CPU in batches of several sizes, and timed; the service is
started, and one, two and four processes share the device; then the tests of the engine and the bench of the digits run
under it. With `--provider cpu` it tries itself. It ends with 1 where
something is wrong.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from load_tests import sharing
from load_tests.bench import wrk
from load_tests.bench.machine import describe
from load_tests.report import table
from load_tests.servers import PROJECT
from service.bundle import MAIN, Arrays, Bundle, current, names, repeat_rows
from service.engine.fixed_shapes import Runnable, open_runnable
from service.engine.profile import Tuning
from service.engine.session import ProviderError, Session, provider_of
from service.gpus import gpus
from service.settings import Settings

SHARING = "sharing"
CLOSE = 2e-3  # of the largest number that the CPU gives
TIMED_S = 0.25
SIZES = 1, 3, 16  # rows
LIMIT_S = {"tests": 80, "bench": 100}
TESTS = "session", "fixed_shapes", "device", "loaded_model", "batcher", "lane"
COMMANDS = {
    "tests": ["-m", "pytest", "-q", *(f"tests/service/test_{name}.py" for name in TESTS)],
    "bench": ["-m", "load_tests.bench", "digits", "--rounds", "1", "--seconds", "1"],
}


class Ran(NamedTuple):
    """A command: how it ended, None where its time was up, and the last that it said."""

    name: str
    status: int | None
    seconds: float
    said: str


def compared(settings: Settings) -> Iterator[dict[str, Any]]:
    """A row per graph that answers: how far it is from the CPU's, and the rates of both in their largest batch."""
    for name in settings.models or names(settings.models_dir):
        bundle = current(settings.models_dir, name)
        cascade = bundle.manifest.cascade
        for graph in (MAIN, cascade.graph) if cascade else (MAIN,):
            yield _compared(settings, bundle, graph)


def _compared(settings: Settings, bundle: Bundle, graph: str) -> dict[str, Any]:
    started = perf_counter()
    tuning = Tuning(threads=1, max_batch=bundle.manifest.graphs[graph].max_batch)
    there = open_runnable(bundle, settings, tuning, graph)
    outputs = [there.run(batch) for batch in _batches(bundle, graph)]
    ready_s, here = perf_counter() - started, Session(bundle, "cpu", 1, graph)
    difference = max(map(_difference, outputs, map(here.run, _batches(bundle, graph))))
    rates = {one: _rows_per_s(runner, bundle, graph) for one, runner in (("rows/s", there), ("on the CPU", here))}
    right = bool(difference <= CLOSE)
    return {
        "model": bundle.manifest.name if graph == MAIN else f"{bundle.manifest.name} {graph}",
        "provider": there.provider,
        "s": ready_s,
        "difference": difference,
        "right": right,
        **rates,
    }


def _batches(bundle: Bundle, graph: str) -> list[Arrays]:
    inputs, _ = bundle.golden(graph)
    return [repeat_rows(inputs, rows) for rows in SIZES]


def _difference(there: Arrays, here: Arrays) -> float:
    """The largest of all outputs, as a share of the largest number; 1 for another text, label, shape or no number."""
    worst = 0.0
    for name, expected in here.items():
        if expected.shape != there[name].shape:
            return 1.0
        if expected.dtype.kind != "f":
            worst = max(worst, float((expected != there[name]).any()))
        elif expected.size:
            share = float(np.abs(there[name] - expected).max() / max(1.0, float(np.abs(expected).max())))
            worst = max(worst, share if isfinite(share) else 1.0)
    return worst


def _rows_per_s(runner: Runnable, bundle: Bundle, graph: str) -> float:
    rows = bundle.manifest.graphs[graph].max_batch
    batch, count = repeat_rows(bundle.golden(graph)[0], rows), 0
    runner.run(batch)
    started = perf_counter()
    while (took := perf_counter() - started) < TIMED_S:
        runner.run(batch)
        count += rows
    return count / took


def run(name: str, provider: str) -> Ran:
    """One of COMMANDS under the provider."""
    started = perf_counter()
    environment = {**os.environ, "QUARTET_PROVIDER": provider}
    try:
        done = subprocess.run(
            [sys.executable, *COMMANDS[name]],
            cwd=PROJECT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=LIMIT_S[name],
        )
    except subprocess.TimeoutExpired as late:
        said = late.output or b""
        return Ran(
            name, None, perf_counter() - started, said.decode(errors="replace") if isinstance(said, bytes) else said
        )
    return Ran(name, done.returncode, perf_counter() - started, done.stdout)


def shared_out(settings: Settings) -> str:
    """The tables of `load_tests.sharing`."""
    if not wrk.installed():
        return wrk.INSTALL
    tables = [list(one(settings)) for one in (sharing.starts, sharing.readings, sharing.shared)]
    return "\n\n".join(table(rows) for rows in tables if rows)


def markdown(provider: str, rows: list[dict[str, Any]], commands: list[Ran], shared: str = "") -> str:
    machine = [f"- {name}: {value}" for name, value in describe().items()]
    machine += [f"- GPU {one.name}: {one.used / 2**30:.1f} of {one.size / 2**30:.1f} GiB in use" for one in gpus()]
    chapters = [f"# The service under `{provider}`\n\n" + "\n".join(machine)]
    chapters.append(f"## Bundles, compared with the CPU\n\n{table(rows)}")
    if shared:
        chapters.append(f"## Starts, reading, and processes that share the device\n\n{shared}")
    for one in commands:
        how = "its time was up" if one.status is None else f"status {one.status}"
        chapters.append(
            f"## {one.name.capitalize()}: {how}, {one.seconds:.0f} s\n\n```\n{one.said.strip()[-8000:]}\n```"
        )
    return "\n\n".join(chapters) + "\n"


def check(settings: Settings, commands: list[str], report: Path, share: bool = False) -> bool:
    """Write the report; whether all is right. Raises ProviderError."""
    provider_of(settings.provider)
    rows = list(compared(settings))
    shared = shared_out(settings) if share else ""
    ran = [run(name, settings.provider) for name in commands]
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(markdown(settings.provider, rows, ran, shared))
    return all(row["right"] for row in rows) and all(one.status == 0 for one in ran)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--provider", default="cuda")
    parser.add_argument("--report", type=Path, default=PROJECT / "build" / "gpu-check.md", metavar="FILE")
    parser.add_argument("--without", action="append", choices=[SHARING, *COMMANDS], default=[])
    options = parser.parse_args()
    settings = Settings.from_environment({**os.environ, "QUARTET_PROVIDER": options.provider})
    try:
        commands = [name for name in COMMANDS if name not in options.without]
        right = check(settings, commands, options.report, SHARING not in options.without)
    except ProviderError as error:
        sys.exit(f"gpu-check: {error}")
    print(f"{options.report}: {'all is right' if right else 'something is wrong'}")
    sys.exit(not right)


if __name__ == "__main__":
    main()

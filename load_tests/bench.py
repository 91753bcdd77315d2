"""What the service costs beyond its models: rate and latency beside what bounds them, in one run.

    python -m load_tests.bench [digits] [credit] [ct] [--rounds N] [--seconds N] [--json FILE] [--markdown FILE]

Contenders take turns in short rounds and every figure is the median over the rounds, so that a machine that is slow
for a while is slow for all of them. Compare within a run, not between runs.
"""

import argparse
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from load_tests import servers, wrk
from load_tests.machine import describe
from load_tests.parts import PARTS, Contender, Part, Servers, WrongAnswer, threads
from load_tests.report import table
from load_tests.servers import ServerError
from load_tests.wrk import Load, LoadError
from service.bundle import Bundle, BundleError, current_version
from service.settings import Settings

LEGEND = """\
Every contender answers the same body, over and over, from a closed loop of connections.

- ours: the service under `bentoml serve`, default settings
- plain: the same model behind a batchable API of BentoML, default settings, as many threads
- echo: a bare ASGI app under uvicorn that returns the body
- ceiling: 1 / (1 / echo + 1 / model), what is left when the service adds nothing; `model` is the bare model below,
  in batches of the mean size that the service formed
"""


class Sample(NamedTuple):
    """One short run of one contender; behind the service's own, rows per batch and the bare model's rows/s at it."""

    load: Load
    batch: float | None = None
    model_rows_per_s: float | None = None


class Measured(NamedTuple):
    """Samples by connections and contender; the bare model's rows/s by rows per batch."""

    samples: dict[tuple[int, str], list[Sample]]
    raw: dict[int, list[float]]


def measure(part: Part, rounds: int, seconds: int) -> Measured:
    for contender in part.contenders:
        contender.check()
        wrk.post(contender.url, contender.body, max(part.connections), part.stretch)  # warm-up
    measured = Measured({}, {})
    for number in range(rounds):
        print(f"{part.title}, round {number + 1} of {rounds}", file=sys.stderr)
        for connections in part.connections:
            for contender in part.contenders:
                sample = run(contender, part, connections, seconds * part.stretch)
                measured.samples.setdefault((connections, contender.name), []).append(sample)
        for batch in part.batches:
            measured.raw.setdefault(batch, []).append(part.raw.rows_per_s(batch))
    return measured


def run(contender: Contender, part: Part, connections: int, seconds: int) -> Sample:
    if contender.work is None:
        return Sample(wrk.post(contender.url, contender.body, connections, seconds))
    before = contender.work()
    load = wrk.post(contender.url, contender.body, connections, seconds)
    after = contender.work()
    batch = (after.rows - before.rows) / (after.batches - before.batches)
    return Sample(load, batch, part.raw.rows_per_s(max(1, round(batch))))


def compare(part: Part, measured: Measured) -> Iterator[dict[str, Any]]:
    """One row per connections and contender: medians, and their ratios."""
    loads = {key: middle(sample.load for sample in samples) for key, samples in measured.samples.items()}
    contenders = {contender.name: contender for contender in part.contenders}
    for (connections, name), load in loads.items():
        echo = loads.get((connections, contenders[name].echo))
        plain = loads.get((connections, contenders[name].plain))
        batches = [sample.batch for sample in measured.samples[connections, name] if sample.batch]
        ceiling = ceiling_of(part, measured.samples[connections, name], echo)
        yield {
            "connections": connections,
            "contender": name,
            f"{part.unit}/s": load.requests_per_s * part.rows,
            "p50 ms": load.p50_ms,
            "p99 ms": load.p99_ms,
            "p99/p50": load.p99_ms / load.p50_ms,
            "p50/echo": echo and load.p50_ms / echo.p50_ms,
            "rows/batch": median(batches) if batches else None,
            "ceiling": ceiling and ceiling * part.rows,
            "of ceiling": ceiling and load.requests_per_s / ceiling,
            "x plain": plain and load.requests_per_s / plain.requests_per_s,
        }


def middle(loads: Iterator[Load]) -> Load:
    return Load(*(median(column) for column in zip(*loads, strict=True)))


def ceiling_of(part: Part, samples: list[Sample], echo: Load | None) -> float | None:
    """Requests/s that the host and the model leave."""
    rates = [sample.model_rows_per_s for sample in samples if sample.model_rows_per_s]
    if not rates:
        return None
    return 1 / (part.rows / median(rates) + (1 / echo.requests_per_s if echo else 0))


def bare(part: Part, measured: Measured) -> list[dict[str, Any]]:
    """ONNX Runtime without HTTP."""
    return [
        {"model": part.raw.name, "threads": part.raw.threads, "rows/batch": batch, "rows/s": median(rates)}
        for batch, rates in measured.raw.items()
    ]


def bench(names: list[str], rounds: int, seconds: int) -> dict[str, Any]:
    """Raises ServerError, LoadError, WrongAnswer, BundleError."""
    machine = describe()
    models = Settings.from_environment().models_dir
    bundles = {name: Bundle(models / PARTS[name][0] / current_version(models, PARTS[name][0])) for name in names}
    with ExitStack() as stack:
        ours = stack.enter_context(servers.bentoml("service.app:service"))
        echo = stack.enter_context(servers.uvicorn("load_tests.echo:app"))
        plain = ""
        if "digits" in names:
            environment = {
                "PLAIN_MODEL": str(bundles["digits"].graph),
                "PLAIN_THREADS": str(threads(ours, bundles["digits"].manifest.name)),
            }
            plain = stack.enter_context(servers.bentoml("load_tests.plain_bentoml:Plain", environment))
        results: dict[str, Any] = {"machine": machine, "rounds": rounds, "seconds": seconds, "parts": {}, "models": []}
        # All models are loaded before anything is measured: what cannot work fails in the first seconds.
        for part in [PARTS[name][1](Servers(ours, plain, echo), bundles[name]) for name in names]:
            measured = measure(part, rounds, seconds)
            results["parts"][part.title] = list(compare(part, measured))
            results["models"] += bare(part, measured)
    return results


def markdown(results: dict[str, Any]) -> str:
    machine = "\n".join(f"- {name}: {value}" for name, value in results["machine"].items())
    method = f"Median of {results['rounds']} rounds of {results['seconds']} s."
    chapters = [f"## {title}\n\n{table(rows)}" for title, rows in results["parts"].items()]
    chapters.append(f"## The models without HTTP\n\n{table(results['models'])}")
    return "\n\n".join([f"# Bench\n\n{machine}", f"{LEGEND}\n{method}", *chapters]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON, too")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write what is printed, too")
    options = parser.parse_args()
    if unknown := set(options.parts) - PARTS.keys():
        parser.error(f"unknown part {min(unknown)}: choose from {', '.join(PARTS)}")
    if not wrk.installed():
        print(wrk.INSTALL, file=sys.stderr)
        sys.exit(2)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped then, too
    try:
        results = bench(options.parts or list(PARTS), options.rounds, options.seconds)
    except (ServerError, LoadError, WrongAnswer, BundleError) as error:
        sys.exit(f"bench: {error}")
    print(markdown(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    if options.markdown:
        options.markdown.write_text(markdown(results))


if __name__ == "__main__":
    main()

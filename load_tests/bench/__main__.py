"""What the service costs beyond its models: rate and latency beside what bounds them and what others cost, in one run.

    python -m load_tests.bench [PART ...] [--rounds N] [--seconds N] [--json FILE] [--markdown FILE]

Contenders take turns in short rounds and every figure is the median over the rounds, so that a machine that is slow
for a while is slow for all of them. Compare within a run, not between runs.
"""

import argparse
import json
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from load_tests import servers
from load_tests.bench import wrk
from load_tests.bench.competitors import COMPETITORS, FASTAPI
from load_tests.bench.contender import WrongAnswer
from load_tests.bench.figures import OURS, bare, compare, multiples
from load_tests.bench.lane import alone
from load_tests.bench.machine import describe
from load_tests.bench.parts import PARTS, Servers
from load_tests.bench.rounds import measure
from load_tests.bench.work import threads
from load_tests.bench.wrk import LoadError
from load_tests.report import table
from load_tests.servers import Server, ServerError
from service.bundle import Bundle, BundleError, current
from service.settings import Settings

SLICES = "ct", "ct-8"  # parts of one model
LEGEND = """\
Every contender answers one body, over and over, from a closed loop of connections.

- ours: the service with the models that are measured, which is a process per core; also in one process. Its access log
  has errors only, as by default; `logging` is with a line for every request
- plain: the same model behind a batchable API of BentoML, default settings, as many threads in all
- echo: a bare ASGI app under uvicorn that returns the body
- FastAPI, LitServe, KServe, MLServer, PyTriton: the same model, as many threads, one worker, served as their
  documentation says (`load_tests/bench/competitors/`), no access log but where `logging` is said, batches of up to 64
  where they batch; JSON: the same body as ours; V1 JSON, V2 JSON and V2 binary: the same pixels in the form of the
  inference protocol
- ceiling: 1 / (1 / echo + 1 / model), what is left when the service adds nothing; `model` is the bare model below,
  in batches of the mean size that the service formed
- cpu µs: processor time of the contender's processes per request
"""


def nothing(rounds: int, seconds: int) -> dict[str, Any]:
    """The results before anything is measured."""
    results: dict[str, Any] = {"machine": describe(), "rounds": rounds, "seconds": seconds}
    return results | {"missing": [], "parts": {}, "multiples": {}, "models": [], "lane": []}


def bench(names: list[str], results: dict[str, Any]) -> None:
    """Add to the results, part by part. Raises ServerError, LoadError, WrongAnswer, BundleError."""
    models = Settings.from_environment().models_dir
    bundles = {name: current(models, PARTS[name][0]) for name in names}
    with ExitStack() as stack:
        named = {"QUARTET_MODELS": ",".join(bundle.manifest.name for bundle in bundles.values())}  # always in memory
        ours = stack.enter_context(servers.quartet(named))
        echo = stack.enter_context(servers.uvicorn("load_tests.bench.echo:app"))
        running = Servers(ours, echo)
        if "digits" in names:
            running = with_others(running, bundles["digits"], stack)
            results["missing"] = [one.product for one in COMPETITORS if one.product not in running.competitors]
        if slices := [bundles[name] for name in names if name in SLICES]:
            running = running._replace(slices=fastapi(running, slices[0], stack))
            results["missing"] += [] if running.slices or "digits" in names else [FASTAPI.product]
        # All parts are made before anything is measured: what cannot work fails in the first seconds.
        for part in [PARTS[name][1](running, bundles[name]) for name in names]:
            measured = measure(part, results["rounds"], results["seconds"])
            results["parts"][part.title] = list(compare(part, measured))
            results["multiples"][part.title] = list(multiples(part.contenders, measured))
            results["models"] += bare(part, measured)
            if part.stretch == part.rows == 1:  # nothing is to be learned of the lane by what is large
                served = [one for one in part.contenders if one.product == OURS and one.url.startswith(ours)]
                results["lane"] += alone(part.raw.name, served)


def with_others(running: Servers, bundle: Bundle, stack: ExitStack) -> Servers:
    """The service in one process, plain BentoML and the competitors that are installed, over the same model."""
    threads_ours = threads(running.ours, bundle.manifest.name).all
    model = {"MODEL_GRAPH": str(bundle.graph), "MODEL_THREADS": str(threads_ours)}
    named = {"QUARTET_MODELS": bundle.manifest.name}
    single = stack.enter_context(servers.quartet({"QUARTET_WORKERS": "1", **named}))
    logging = stack.enter_context(servers.quartet({"QUARTET_ACCESS_LOG": "all", **named}))
    plain = stack.enter_context(servers.bentoml("load_tests.bench.plain_bentoml:Plain", model))
    installed = [competitor for competitor in COMPETITORS if competitor.is_installed()]
    competitors = {one.product: stack.enter_context(one.serving(model)) for one in installed}
    return running._replace(single=single, logging=logging, plain=plain, competitors=competitors)


def fastapi(running: Servers, bundle: Bundle, stack: ExitStack) -> Server | None:
    """Over the same model, where it is installed."""
    model = {"MODEL_GRAPH": str(bundle.graph), "MODEL_THREADS": str(threads(running.ours, bundle.manifest.name).all)}
    return stack.enter_context(FASTAPI.serving(model)) if FASTAPI.is_installed() else None


def markdown(results: dict[str, Any]) -> str:
    machine = "\n".join(f"- {name}: {value}" for name, value in results["machine"].items())
    rounds = "One round" if results["rounds"] == 1 else f"Median of {results['rounds']} rounds"
    method = f"{rounds} of {results['seconds']} s, longer where answers take as long."
    if results["missing"]:
        method += f" Not installed: {', '.join(results['missing'])} (`make competitors`)."
    chapters = []
    for title, rows in results["parts"].items():
        chapters.append(f"## {title}\n\n{table(rows)}")
        if times := results["multiples"][title]:
            chapters.append(f"How many times their rate ours is, JSON to JSON, binary to binary:\n\n{table(times)}")
    if results["lane"]:
        chapters.append(f"## The service without HTTP\n\n{table(results['lane'])}")
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
    results, problem = nothing(options.rounds, options.seconds), None
    try:
        bench(options.parts or list(PARTS), results)
    except (ServerError, LoadError, WrongAnswer, BundleError) as error:
        problem = f"bench: {error}"
    if not results["parts"]:
        sys.exit(problem)
    print(markdown(results))  # also what was measured before a problem
    if options.json:
        options.json.write_text(json.dumps(results, indent=2) + "\n")
    if options.markdown:
        options.markdown.write_text(markdown(results))
    sys.exit(problem)


if __name__ == "__main__":
    main()

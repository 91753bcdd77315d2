"""How the service starts and what it holds with many models: python -m load_tests.start [--copies 48] [--workers 2]

Copies of the bundles under other names make up the number. Prints the time until every worker is ready, the processor
time of all processes until then, what they hold together, and the answers to the first request to each model that is
not in memory yet.
"""

import argparse
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import monotonic
from urllib.request import Request, urlopen

import orjson
import psutil

from load_tests.examples import ExampleRequest, requests_of
from load_tests.memory import held
from load_tests.report import table
from load_tests.servers import START_S
from load_tests.serving import Serving, within
from service import bundle
from service.settings import Settings

SEVERAL = 20  # connections, of which no worker misses all


def copy_bundles(source: Path, target: Path, number: int) -> None:
    """The bundles of `source`, over and over until there are `number` of them, and what `DEFAULTS` says of these."""
    names = bundle.names(source)
    for place in range(number):
        turn, name = place // len(names) + 1, names[place % len(names)]
        one = bundle.current(source, name)
        name = name if turn == 1 else f"{name}-{turn}"
        folder = target / name / one.manifest.version
        shutil.copytree(one.path, folder)
        bundle.write_manifest(folder, one.manifest.model_copy(update={"name": name}))
        bundle.write_current(target, name, one.manifest.version)
    kept = {kind: name for kind, name in bundle.defaults_of(source).items() if (target / name).is_dir()}
    (target / bundle.DEFAULTS).write_text("".join(f"{kind} {name}\n" for kind, name in kept.items()))


def first_requests(models: Path, port: int) -> Iterator[ExampleRequest]:
    """One to each model that is not in memory."""
    with urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=10) as answer:
        cold = {model["name"] for model in orjson.loads(answer.read())["models"] if not model["loaded"]}
    for request in requests_of(models):
        if request.model in cold:
            cold.remove(request.model)
            yield request


def seconds(port: int, request: ExampleRequest) -> float:
    """Until the right answer is there. Raises ValueError for a wrong one."""
    url = f"http://127.0.0.1:{port}{request.target}"
    started = monotonic()
    headers = {"content-type": request.example.media_type, "accept": request.example.accept}
    with urlopen(Request(url, request.example.body, headers), timeout=60) as given:
        body = given.read()
    took = monotonic() - started
    request.example.check(body)
    return took


def busy(processes: list[psutil.Process]) -> float:
    """Processor seconds of these, and of the children whose end they have seen."""
    return sum(sum(process.cpu_times()[:4]) for process in processes if process.is_running())


def measured(models: Path, folder: Path, workers: int) -> dict[str, float]:
    started = monotonic()
    serving = Serving(folder, models_dir=models, workers=workers).start()
    try:
        within(START_S, lambda: all(serving.is_ready() for _ in range(SEVERAL)))
        row = {"models": len(bundle.names(models)), "workers": workers, "s until ready": monotonic() - started}
        row |= {"cpu s until ready": busy(serving.processes()), "MB after the start": held(serving)}
        return row | first_answers(serving, list(first_requests(models, serving.port)))
    finally:
        serving.terminate()
        serving.ended()


def first_answers(serving: Serving, requests: list[ExampleRequest]) -> dict[str, float]:
    if not requests:  # all models are named, a default or alone of their kind
        return {"not in memory": 0}
    before = busy(serving.processes())
    took = [seconds(serving.port, request) for request in requests]
    each = (busy(serving.processes()) - before) / len(took)
    row = {"not in memory": len(took), "median ms of a first answer": 1e3 * median(took)}
    return row | {"slowest": 1e3 * max(took), "cpu ms": 1e3 * each, "MB after all": held(serving)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, metavar="N", help="models in all; default: those that are there")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    source = Settings.from_environment().models_dir
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder, "models")
        copy_bundles(source, models, options.copies or len(bundle.names(source)))
        row = measured(models, Path(folder), options.workers)
    print(table([row]))
    if not row["not in memory"]:
        print("\nAll models are in memory from the start: there is no first answer to time. Try more --copies.")


if __name__ == "__main__":
    main()

"""How many requests a service answers, and how fast: python -m load_tests.capacity profile.json MODEL [--check]

A formula fed by what `python -m service tune` measured of the graph, and by what a request costs beside it, which is
measured here: the processor time of one worker under wrk. docs/operate/capacity.md explains it; `--check` puts measured
runs beside it.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson

from load_tests.bench import wrk
from load_tests.bodies import JSON, Body
from load_tests.report import table
from load_tests.serving import Serving
from service.bundle import Bundle, current, repeat_rows
from service.engine.profile import Tuning, Tunings, read_profile
from service.engine.session import ProviderError, provider_of
from service.quota import cpu_quota
from service.settings import Settings, SettingsError

WORKERS = 1, 2, 4
IN_FLIGHT = 1, 8, 64  # requests, over all workers
CALIBRATION = 8  # connections to one worker
CHECKED = (1, 1), (1, 32), (2, 16), (2, 64)  # workers, connections


class Costs(NamedTuple):
    """Milliseconds: `batch_ms` until a batch of so many `rows` is done, `cpu_ms` of all cores for it; `request_ms` of
    processor time for a request beside the graph. So many `instances` of the graph run side by side.
    """

    rows: list[int]
    batch_ms: list[float]
    cpu_ms: list[float]
    request_ms: float = 0.0
    instances: int = 1

    def batches(self, rows: int) -> tuple[float, float]:
        """Both for all batches that so many rows need."""
        count = ceil(rows / self.rows[-1])
        batch_ms, cpu_ms = (float(np.interp(rows / count, self.rows, ms)) for ms in (self.batch_ms, self.cpu_ms))
        return ceil(count / self.instances) * batch_ms, count * cpu_ms


class Prediction(NamedTuple):
    requests_per_s: float
    latency_ms: float
    cpu_ms: float  # for a request


def costs_of(profile: Tunings, model: str) -> Costs:
    """As the profile of a provider runs the model. Raises SystemExit."""
    chosen = profile.models.get(model)
    measured = sorted(
        (one for one in profile.measured.get(model, ()) if chosen and _is_like(one.tuning, chosen)),
        key=lambda one: one.tuning.max_batch,
    )
    if chosen is None or not measured:
        sys.exit(f"The profile has no measurements of {model}: write it anew with `python -m service tune {model}`")
    return Costs(
        [one.tuning.max_batch for one in measured],
        [one.latency_ms for one in measured],
        [one.cpu_ms for one in measured],
        instances=chosen.instances,
    )


def _is_like(one: Tuning, chosen: Tuning) -> bool:
    """But for a smaller batch."""
    same = (one.threads, one.instances) == (chosen.threads, chosen.instances)
    return same and one.max_batch <= chosen.max_batch


def predict(costs: Costs, in_flight: int, rows: int, workers: int, cores: int, replicas: int = 1) -> Prediction:
    """For requests of `rows` rows, so many of which are always in flight, over the workers of all replicas.

    A worker reads those that it has, one after the other, runs their rows as batches, and answers. The cores of a
    replica bound what its workers can do together.
    """
    processes = replicas * workers
    each = max(1.0, in_flight / processes)
    batch_ms, cpu_ms = costs.batches(ceil(each * rows))
    cpu_ms = costs.request_ms + cpu_ms / each
    at_work = min(in_flight, processes)
    of_workers = at_work * each * 1e3 / (each * costs.request_ms + batch_ms)
    rate = min(of_workers, replicas * cores * 1e3 / cpu_ms)
    return Prediction(rate, 1e3 * in_flight / rate, cpu_ms)


def replicas_for(costs: Costs, rate: float, within_ms: float, rows: int, workers: int, cores: int) -> tuple[int, int]:
    """The fewest replicas that answer `rate` requests a second within a mean time, and how many are in flight then.

    Raises SystemExit where not even a single request is answered in time.
    """
    alone = predict(costs, 1, rows, workers, cores).latency_ms
    if alone > within_ms:
        sys.exit(f"A request that is alone takes {alone:.3g} ms: no number of replicas answers it in {within_ms:g} ms")
    most = max(
        (n for n in range(1, 1025) if predict(costs, n, rows, workers, cores).latency_ms <= within_ms),
        key=lambda n: predict(costs, n, rows, workers, cores).requests_per_s,
    )
    replicas = ceil(rate / predict(costs, most, rows, workers, cores).requests_per_s)
    return replicas, most


class Runs:
    """Measured runs of a service that has one model."""

    def __init__(self, profile: Path, bundle: Bundle, rows: int, seconds: int) -> None:
        self._profile, self._bundle, self._seconds = profile.resolve(), bundle, seconds
        inputs = repeat_rows(bundle.golden()[0], rows)
        given = {"inputs": {name: array.tolist() for name, array in inputs.items()}}
        self._body = Body(orjson.dumps(given), JSON)

    def measured(self, workers: int, connections: int) -> Prediction:
        name, models = self._bundle.manifest.name, self._bundle.path.parent.parent
        with tempfile.TemporaryDirectory() as folder:
            settings = {"models": name, "models_dir": models, "profile": self._profile, "workers": workers}
            serving = Serving(Path(folder), **settings).start()
            try:
                url = f"http://127.0.0.1:{serving.port}/v1/models/{name}/predict"
                wrk.post(url, self._body, connections, 1)
                before = busy_s(serving)
                load = wrk.post(url, self._body, connections, self._seconds)
                cpu_ms = 1e3 * (busy_s(serving) - before) / (load.requests_per_s * self._seconds)
            finally:
                serving.terminate()
                serving.ended()
        return Prediction(load.requests_per_s, load.p50_ms, cpu_ms)

    def calibrated(self, costs: Costs, rows: int) -> Costs:
        """With what a request costs beside the graph."""
        seen = self.measured(1, CALIBRATION).cpu_ms
        return costs._replace(request_ms=max(0.0, seen - costs.batches(CALIBRATION * rows)[1] / CALIBRATION))


def busy_s(serving: Serving) -> float:
    """Processor seconds of the workers."""
    return sum(sum(worker.cpu_times()[:2]) for worker in serving.workers())


def predictions(costs: Costs, rows: int, cores: int) -> Iterator[dict[str, object]]:
    for workers in WORKERS:
        for in_flight in IN_FLIGHT:
            one = predict(costs, in_flight, rows, workers, cores)
            told = {"requests/s": one.requests_per_s, "ms": one.latency_ms, "cpu ms": one.cpu_ms}
            yield {"workers": workers, "in flight": in_flight, **told}


def checked(costs: Costs, runs: Runs, rows: int, cores: int) -> Iterator[dict[str, object]]:
    """The processor time of a request, which does not depend on what else the machine does, and its rate."""
    for workers, connections in CHECKED:
        one, seen = predict(costs, connections, rows, workers, cores), runs.measured(workers, connections)
        yield {
            "workers": workers,
            "in flight": connections,
            "cpu ms": one.cpu_ms,
            "measured cpu ms": seen.cpu_ms,
            "requests/s": one.requests_per_s,
            "measured requests/s": seen.requests_per_s,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", type=Path, help="that `python -m service tune` wrote")
    parser.add_argument("model")
    parser.add_argument("--rows", type=int, default=1, help="of a request")
    parser.add_argument("--cores", type=int, default=cpu_quota(), help="of a replica")
    parser.add_argument("--workers", type=int, default=Settings.from_environment().processes, help="of a replica")
    parser.add_argument("--rate", type=float, help="requests a second: says how many replicas answer them")
    parser.add_argument("--within-ms", type=float, default=100, help="in this mean time")
    parser.add_argument("--seconds", type=int, default=5, help="of each measured run")
    parser.add_argument("--check", action="store_true", help="put measured runs beside the formula")
    given = parser.parse_args()
    if not wrk.installed():
        sys.exit(wrk.INSTALL)
    try:
        settings = Settings.from_environment()
        costs = costs_of(read_profile(given.profile).of(provider_of(settings.provider)), given.model)
    except (SettingsError, ProviderError) as error:
        sys.exit(str(error))
    runs = Runs(given.profile, current(settings.models_dir, given.model), given.rows, given.seconds)
    costs = runs.calibrated(costs, given.rows)
    what = f"{given.model}, {given.rows} rows a request, {given.cores} cores"
    print(f"{what}: {costs.request_ms:.3g} ms of processor time beside the graph\n")
    print(table(list(predictions(costs, given.rows, given.cores))))
    if given.rate:
        replicas, most = replicas_for(costs, given.rate, given.within_ms, given.rows, given.workers, given.cores)
        wanted = f"{given.rate:g} requests/s within {given.within_ms:g} ms"
        print(f"\n{wanted}: {replicas} replicas of {given.workers} workers, {most} requests in flight in each")
    if given.check:
        print(f"\n{table(list(checked(costs, runs, given.rows, given.cores)))}")


if __name__ == "__main__":
    main()

"""How two processes share connections that come at once, with and without `service/http/fair_accept.py`."""

from collections.abc import Iterator
from contextlib import ExitStack
from statistics import median
from typing import Any, NamedTuple

from load_tests import servers
from load_tests.bench import wrk
from load_tests.bench.processor import busy_s, server
from load_tests.bodies import Body

CONNECTIONS, SECONDS = (8, 64), 2
ENVIRONMENT = {"QUARTET_WORKERS": "2"}
UNSHARED = "load_tests.bench.ablation.unshared"


class Run(NamedTuple):
    """Of a server with two processes: the share of the busier one, and the processor time per request of both."""

    share: float
    cost_us: float
    requests_per_s: float


def rows(model: str, path: str, body: Body, rounds: int) -> Iterator[dict[str, Any]]:
    """Raises ServerError, LoadError."""
    environment = ENVIRONMENT | {"QUARTET_MODELS": model}
    with ExitStack() as stack:
        fair = stack.enter_context(servers.quartet(environment))
        unfair = stack.enter_context(servers.module(UNSHARED, "/readyz", environment, servers.PYTHON)).url
        for connections in CONNECTIONS:
            runs: dict[str, list[Run]] = {fair: [], unfair: []}
            for number in range(rounds):
                for url in (fair, unfair) if number % 2 else (unfair, fair):
                    runs[url].append(_run(url, f"{path}?model={model}", body, connections))
            for name, url in (("fair_accept", fair), ("without", unfair)):
                yield {"connections": connections, "accept": name, **_summary(runs[url])}


def _run(url: str, path: str, body: Body, connections: int) -> Run:
    workers = server(url).children()
    before = [busy_s(worker) for worker in workers]
    load = wrk.post(url + path, body, connections, SECONDS)
    used = [busy_s(worker) - start for worker, start in zip(workers, before, strict=True)]
    total = sum(used)
    return Run(max(used) / total, 1e6 * total / (load.requests_per_s * SECONDS), load.requests_per_s)


def _summary(runs: list[Run]) -> dict[str, float]:
    return {
        "busier process": median(run.share for run in runs),
        "at worst": max(run.share for run in runs),
        "cpu µs": median(run.cost_us for run in runs),
        "requests/s": median(run.requests_per_s for run in runs),
    }

"""What `/metrics` says: four stages per model and version, batch sizes, outcomes, gauges, over all workers.

Label values come from loaded models and error classes, never from a request.

With several workers each one publishes a snapshot of its series, every second and whenever it is scraped, and the
scraped one adds up all snapshots. So no counter runs backwards, and what a dead worker had counted stays counted.
"""

import asyncio
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from service.budget import Budget
from service.drift import compare
from service.gpus import Gpu
from service.metric_families import FAMILIES, SECONDS, Series, exposed
from service.model_metrics import Histogram, ModelMetrics
from service.shared_folder import ensure

KEPT_VERSIONS = 3
WINDOW = "window"  # counts by bin, of which the metrics of drift are made


class _Scrape(NamedTuple):
    """What prometheus_client takes for a registry."""

    families: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.families


class Metrics(Collector):
    """All metrics of this worker and, given a folder they share, of the others, as a prometheus_client collector."""

    def __init__(self) -> None:
        self.shared: Path | None = None
        self.models: dict[tuple[str, str], ModelMetrics] = {}
        self.requests: defaultdict[tuple[str, int], Histogram] = defaultdict(lambda: Histogram(SECONDS))
        self.errors: Counter[tuple[str, str]] = Counter()  # (endpoint, code)
        self.failed_loads: Counter[tuple[str]] = Counter()  # (model,)
        self.rollbacks: Counter[tuple[str, str, str]] = Counter()  # (model, version, rule)
        self.candidates: dict[tuple[str, str, str], int] = {}  # (model, version, mode)
        self.live: Callable[[], Series] | None = None  # what all workers know alike
        self.dropped_predictions = 0
        self.dropped_lines = 0
        self.in_flight = 0
        self.budget: Budget | None = None
        self.gpus: Callable[[], Sequence[Gpu]] = tuple  # of the machine, where sessions may run on them
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def model(self, name: str, version: str) -> ModelMetrics:
        return self.models.setdefault((name, version), ModelMetrics())

    def replied(self, endpoint: str, status: int, seconds: float) -> None:
        histogram = self.requests[endpoint, status]
        histogram.observe(seconds)
        histogram.fold_when_long()

    def line_dropped(self) -> None:
        self.dropped_lines += 1

    def forget_old(self, name: str, kept: str) -> None:
        """Keep the series of the last few versions: their number is bounded however often one is swapped."""
        retired = [key for key in self.models if key[0] == name and key[1] != kept]
        for key in retired[:-KEPT_VERSIONS]:
            del self.models[key]

    def publish(self) -> None:
        """Write this worker's snapshot for the others, in one rename. Raises OSError where there is no room for it."""
        if self.shared is None:
            return
        snapshot = {"counted": _listed(self._counted()), "levels": _listed(self._levels())}
        ensure(self.shared)
        target = self.shared / f"{os.getpid()}.json"
        staged = target.with_suffix(".new")
        staged.write_text(json.dumps(snapshot))
        staged.replace(target)

    def collect(self) -> Iterator[Metric]:
        with suppress(OSError):  # the worker says so in its log, once
            self.publish()
        return self._families(self._counted() | self._levels())

    async def page(self) -> bytes:
        """The exposition; its text, the dear part, is written in a thread."""
        families = self.collect()
        return await asyncio.to_thread(generate_latest, _Scrape(families))

    def windows(self, name: str, version: str) -> dict[str, list[float]]:
        """Of all workers: rows in each bin, by feature. The others' are up to a second old."""
        total = self._levels()
        self._add_others(total)
        return {key[3]: values for key, values in total.items() if key[:3] == (WINDOW, name, version)}

    def _families(self, total: Series) -> Iterator[Metric]:
        self._add_others(total)
        total |= self._drift(total) | self._of_gpus() | (self.live() if self.live is not None else {})
        for family in FAMILIES:
            yield exposed(family, {key[1:]: values for key, values in total.items() if key[0] == family.name})

    def _of_gpus(self) -> Series:
        """Of the machine, so that they are not added up over workers."""
        series: Series = {}
        for one in self.gpus():
            series["quartet_gpu_memory_bytes", one.name] = [one.used]
            series["quartet_gpu_memory_size_bytes", one.name] = [one.size]
            series["quartet_gpu_busy_ratio", one.name] = [one.busy]
        return series

    def _add_others(self, total: Series) -> None:
        total["quartet_lost_workers",] = [0]
        for path in self.shared.glob("*.json") if self.shared else ():
            if path.stem != str(os.getpid()):
                with suppress(OSError, ValueError):  # of a worker that could not write all of it
                    _add(total, path)

    def _drift(self, total: Series) -> Series:
        series: Series = {}
        for (kind, *key), counts in total.items():
            model = self.models.get((key[0], key[1])) if kind == WINDOW else None
            if model is None or model.watch is None:
                continue
            series["quartet_drift_rows", *key] = [sum(counts)]
            if found := compare(model.watch.histograms[key[2]].counts, counts):
                series["quartet_drift_psi", *key] = [found.psi]
                series["quartet_drift_expected_psi", *key] = [found.expected]
                series["quartet_drift_p_value", *key] = [found.p_value]
        return series

    def _counted(self) -> Series:
        """What only grows."""
        series: Series = {
            ("quartet_cpu_seconds",): [time.process_time()],
            ("quartet_dropped_log_lines",): [self.dropped_lines],
            ("quartet_dropped_predictions",): [self.dropped_predictions],
        }
        for (endpoint, status), histogram in self.requests.items():
            series["quartet_request_seconds", endpoint, str(status)] = histogram.values()
        for key, model in list(self.models.items()):  # a thread that loads one adds to them
            for stage, histogram in model.stages.items():
                series["quartet_stage_seconds", *key, stage] = histogram.values()
            series["quartet_batch_rows", *key] = model.rows.values()
            if model.rows_again:
                series["quartet_rows_again", *key] = [model.rows_again]
            if model.evictions:
                series["quartet_evictions", *key] = [model.evictions]
            for result, rows in model.shadow.items():
                named = ("quartet_shadow_rows", *key, result)
                series[("quartet_shadow_difference", *key) if result == "difference" else named] = [rows]
            for outcome, count in model.outcomes.items():
                series["quartet_requests", *key, outcome] = [count]
        for endpoint_code, count in self.errors.items():
            series["quartet_errors", *endpoint_code] = [count]
        for broken, count in self.rollbacks.items():
            series["quartet_rollbacks", *broken] = [count]
        for model_name, count in self.failed_loads.items():
            series["quartet_failed_loads", *model_name] = [count]
        return series

    def _levels(self) -> Series:
        """What holds at this moment, and ends with the worker."""
        series: Series = {
            ("quartet_in_flight_requests",): [self.in_flight],
            ("quartet_memory_bytes",): [psutil.Process().memory_info().rss],
            ("quartet_workers",): [1],
        }
        if self.budget is not None:
            series["quartet_memory_budget_bytes",] = [self.budget.size]
            series["quartet_memory_held_bytes",] = [self.budget.held]
        series |= {("quartet_candidates", *which): [one] for which, one in self.candidates.items()}
        for key, model in list(self.models.items()):
            windows = model.watch.counts() if model.watch is not None else {}
            series |= {(WINDOW, *key, feature): [*counts] for feature, counts in windows.items() if any(counts)}
            if model.gauges is None:
                continue
            now = model.gauges()
            series["quartet_queued_rows", *key] = [now.queued_rows]
            series["quartet_running_rows", *key] = [now.running_rows]
            series["quartet_session_threads", *key] = [now.threads]
            series["quartet_loaded_models", *key, now.provider] = [1]
        return series


def _listed(series: Series) -> list[tuple[list[str], list[float]]]:
    return [(list(key), values) for key, values in series.items()]


def _add(total: Series, path: Path) -> None:
    """Add another worker's snapshot: its levels only while it lives."""
    snapshot = json.loads(path.read_text())
    lives = psutil.pid_exists(int(path.stem))
    total["quartet_lost_workers",][0] += not lives
    parts = ("counted", "levels") if lives else ("counted",)
    for part in parts:
        for key, values in snapshot[part]:
            old = total.get(tuple(key), [0.0] * len(values))
            total[tuple(key)] = [a + b for a, b in zip(old, values, strict=True)]

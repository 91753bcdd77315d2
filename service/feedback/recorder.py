"""Predictions on their way to the store: an append behind the answer, the rest in a thread of its own."""

import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

import numpy as np

from service.bundle import Arrays, Bundle, BundleError, Manifest, size_of
from service.feedback.figures import Figures, figures
from service.feedback.store import Prediction, Store, StoreError, hashed
from service.metric_families import Series
from service.metrics import Metrics
from service.predictions import predictions_of
from service.stage_pool import Sender

KEY = b"x-feedback-key"
WRITE_S, FIGURES_S, TIDY_S = 0.25, 5.0, 3600.0
MOST_WAITING, MOST_BYTES = 20_000, 32 * 2**20  # requests, and what they hold
DAY_S = 86_400
GAUGES = ("accuracy", "auc", "brier", "calibration_error", "cost", "error")
# Of what a graph gives, what a prediction is made of.
TELLING = {"probabilities", "default_probability", "values"}

log = logging.getLogger(__name__)


class Waiting(NamedTuple):
    key: bytes
    manifest: Manifest
    outputs: Arrays
    at: float


class Recorder:
    """`note` belongs to the event loop's thread; a thread of its own does the rest."""

    def __init__(self, store: Store, models: Path, days: float, metrics: Metrics) -> None:
        self.store, self._models, self._days, self._metrics = store, models, days, metrics
        self.figures: dict[tuple[str, str], Figures] = {}  # by model and version, of all workers
        self._waiting: deque[Waiting] = deque()
        self._bytes = 0
        self._manifests: dict[tuple[str, str], Manifest] = {}
        self._state: object = None
        self._complaint = ""
        self._ended = Event()
        self._thread = Thread(target=self._work, name="feedback", daemon=True)

    def start(self) -> None:
        self._metrics.live = self.series
        self._thread.start()

    def stop(self) -> None:
        """What waits is written first."""
        self._ended.set()
        self._thread.join(5)
        self.store.close()

    def note(self, sender: Sender, manifest: Manifest, outputs: Arrays) -> None:
        """Keep what was answered; what finds no room is counted, and lost."""
        kept = {name: array for name, array in outputs.items() if name in TELLING}
        if not kept:
            return
        if len(self._waiting) >= MOST_WAITING or self._bytes > MOST_BYTES:
            self._metrics.dropped_predictions += 1
            return
        self._bytes += size_of(kept)
        self._waiting.append(Waiting(sender.headers.get(KEY) or sender.request_id, manifest, kept, time.time()))

    def manifest(self, model: str, version: str) -> Manifest | None:
        """Of a version that has answered; None where it is gone."""
        if (model, version) not in self._manifests:
            try:
                self._manifests[model, version] = Bundle(self._models / model / version).manifest
            except (BundleError, OSError):
                return None
        return self._manifests[model, version]

    def series(self) -> Series:
        """For the page of metrics. All workers know the same."""
        found: Series = {}
        for key, one in list(self.figures.items()):
            found["quartet_live_rows", *key] = [one.rows]
            for name in GAUGES:
                if (value := getattr(one, name)) is not None:
                    found[f"quartet_live_{name}", *key] = [value]
        return found

    def write(self) -> None:
        """What waits. What the store does not take is lost, and told of once."""
        rows: list[Prediction] = []
        requests = len(self._waiting)
        for _ in range(requests):
            one = self._waiting.popleft()
            self._bytes -= size_of(one.outputs)
            rows += rows_of(one)
        if rows:
            try:
                self.store.predict(rows)
            except StoreError:
                self._metrics.dropped_predictions += requests
                raise

    def look(self) -> None:
        """At the figures, where something has turned out since. Raises StoreError."""
        if (state := self.store.state()) == self._state:
            return
        found = {}
        for model, version in self.store.versions():
            if (manifest := self.manifest(model, version)) is not None:
                found[model, version] = figures(manifest, self.store.held(model, version))
        self.figures, self._state = {key: one for key, one in found.items() if one.rows}, state

    def _work(self) -> None:
        looked = tidied = 0.0
        while not self._ended.wait(WRITE_S):
            now = time.monotonic()
            self._try(self.write)
            if now - looked >= FIGURES_S:
                looked = now
                self._try(self.look)
            if now - tidied >= TIDY_S:
                tidied = now
                self._try(lambda: self.store.forget_before(time.time() - self._days * DAY_S))
        self._try(self.write)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
            self._complaint = ""
        except StoreError as error:
            if self._complaint != (complaint := str(error)):
                log.error("the feedback store: %s", error)
            self._complaint = complaint
        except Exception:
            log.exception("keeping predictions failed")


def rows_of(one: Waiting) -> list[Prediction]:
    """A prediction per row; none of what is neither a label nor a number."""
    try:
        found = predictions_of(one.manifest, one.outputs)
    except KeyError:  # another graph's outputs
        return []
    key, name, version = hashed(one.key), one.manifest.name, one.manifest.version
    if found.labels is not None and found.names and found.labels.ndim == 1 and found.scores is not None:
        pairs = zip(found.labels.tolist(), found.scores.tolist(), strict=True)
        told = [(found.names[label], float(score)) for label, score in pairs]
        return [Prediction(key, line, name, version, one.at, *pair) for line, pair in enumerate(told)]
    numbers = found.numbers
    if found.labels is None and numbers is not None and numbers.size == len(numbers):
        flat = np.asarray(numbers, np.float64).reshape(-1).tolist()
        return [Prediction(key, line, name, version, one.at, None, number) for line, number in enumerate(flat)]
    return []

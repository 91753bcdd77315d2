"""What is counted of one version of a model.

A prometheus_client histogram costs a lock and a search per observation; docs/benchmarks.md has what that makes of a
request. Here an observation is a list append; lists are folded into bucket counts in one vectorised step when they
grow long or when somebody looks.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from service.metric_families import ROWS, SECONDS
from service.watch import Watch

STAGES = ("decode", "queue", "infer", "encode")
FOLD_AT = 4096


class Histogram:
    """`observe` is a bare list append: look at the counts through `values` only."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = np.array(bounds, np.float64)
        self._counts = np.zeros(len(bounds) + 1, np.int64)
        self._sum = 0.0
        self._pending: list[float] = []
        self.observe = self._pending.append

    def fold_when_long(self) -> None:
        if len(self._pending) >= FOLD_AT:
            self._fold()

    def values(self) -> list[float]:
        """Counts per bucket, not cumulative, then the sum of all observations."""
        self._fold()
        return [*self._counts.tolist(), self._sum]

    def _fold(self) -> None:
        pending = np.array(self._pending, np.float64)
        self._pending.clear()
        self._counts += np.bincount(np.searchsorted(self._bounds, pending), minlength=len(self._counts))
        self._sum += float(pending.sum())


class Gauges(NamedTuple):
    """The state of one version in memory at this moment."""

    queued_rows: int
    running_rows: int
    threads: int
    provider: str


class ModelMetrics:
    """Observations of one served version. All times in seconds."""

    def __init__(self) -> None:
        self.stages = {stage: Histogram(SECONDS) for stage in STAGES}
        self.rows = Histogram(ROWS)
        self.outcomes: Counter[str] = Counter()
        self.shadow: defaultdict[str, float] = defaultdict(float)  # rows by result, and their `difference`
        self.evictions = self.rows_again = 0
        self.gauges: Callable[[], Gauges] | None = None
        self.watch: Watch | None = None

    def answered(self, decode_s: float, encode_s: float) -> None:
        """Called once per request that got its answer."""
        self.stages["decode"].observe(decode_s)
        self.stages["encode"].observe(encode_s)
        self.outcomes["ok"] += 1

    def batch(self, rows: int, infer_s: float, queued_s: list[float]) -> None:
        """Called by the batcher once per batch."""
        self.rows.observe(rows)
        self.rows.fold_when_long()
        self._ran(infer_s, queued_s)

    def batch_again(self, rows: int, infer_s: float, queued_s: list[float]) -> None:
        """Called by the batcher of the second graph of a cascade once per batch, of rows that `batch` has counted."""
        self.rows_again += rows
        self._ran(infer_s, queued_s)

    def _ran(self, infer_s: float, queued_s: list[float]) -> None:
        self.stages["infer"].observe(infer_s)
        for waited in queued_s:
            self.stages["queue"].observe(waited)
        for histogram in self.stages.values():
            histogram.fold_when_long()

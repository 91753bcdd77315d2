"""The metrics that there are, and the form in which prometheus_client takes them."""

from typing import NamedTuple

import numpy as np
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

SECONDS = (*(digit * 10**power for power in (-5, -4, -3, -2, -1, 0) for digit in (1, 2.5, 5)), 10)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

# (family, label values...) -> numbers that add up over workers: [value], or bucket counts and their sum.
Series = dict[tuple[str, ...], list[float]]


class Family(NamedTuple):
    kind: str
    name: str
    documentation: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


FAMILIES = (
    Family(
        "histogram",
        "quartet_stage_seconds",
        "Seconds that a request spends in a stage; `queue` has the time in which its model is loaded, too.",
        ("model", "version", "stage"),
        SECONDS,
    ),
    Family(
        "histogram",
        "quartet_request_seconds",
        "Seconds from the head of an HTTP request to its answer.",
        ("endpoint", "status"),
        SECONDS,
    ),
    Family("histogram", "quartet_batch_rows", "Rows per batch.", ("model", "version"), ROWS),
    Family("counter", "quartet_rows_again", "Rows that a second graph looked at again.", ("model", "version")),
    Family("counter", "quartet_requests", "Requests that reached a model.", ("model", "version", "outcome")),
    Family("counter", "quartet_errors", "Requests answered with an error.", ("endpoint", "code")),
    Family("counter", "quartet_failed_loads", "Versions that did not load.", ("model",)),
    Family(
        "counter",
        "quartet_evictions",
        "Times that a version left memory for another that was asked for.",
        ("model", "version"),
    ),
    Family(
        "counter",
        "quartet_shadow_rows",
        "Rows that a candidate and what is served both have: `agreed`, `differed`, or `skipped` for want of time.",
        ("model", "version", "result"),
    ),
    Family(
        "counter",
        "quartet_shadow_difference",
        "Differences of the numbers of such rows, added up: of probabilities, of Hounsfield units.",
        ("model", "version"),
    ),
    Family(
        "counter",
        "quartet_rollbacks",
        "Rollouts that ended because a rule was broken.",
        ("model", "version", "rule"),
    ),
    Family(
        "gauge", "quartet_candidates", "Workers in which a candidate gets live traffic.", ("model", "version", "mode")
    ),
    Family("counter", "quartet_dropped_predictions", "Requests whose predictions the feedback store did not take."),
    Family("gauge", "quartet_live_rows", "Rows whose truth is known, at most the latest 20,000.", ("model", "version")),
    Family("gauge", "quartet_live_accuracy", "Share of these with the right label.", ("model", "version")),
    Family("gauge", "quartet_live_auc", "How well the probability tells two labels apart.", ("model", "version")),
    Family("gauge", "quartet_live_brier", "Mean squared error of the probability.", ("model", "version")),
    Family(
        "gauge",
        "quartet_live_calibration_error",
        "Mean distance of predicted and true shares, in ten bins.",
        ("model", "version"),
    ),
    Family(
        "gauge",
        "quartet_live_cost",
        "Cost of the decisions per row, by the model's weights.",
        ("model", "version"),
    ),
    Family("gauge", "quartet_live_error", "Mean distance of the numbers from the true ones.", ("model", "version")),
    Family("counter", "quartet_dropped_log_lines", "Lines of the log that came while too many waited to be read."),
    Family("counter", "quartet_cpu_seconds", "Processor time of the workers."),
    Family("counter", "quartet_lost_workers", "Workers that have died; each is replaced."),
    Family("gauge", "quartet_in_flight_requests", "Requests being answered."),
    Family("gauge", "quartet_queued_rows", "Rows that wait for the session.", ("model", "version")),
    Family("gauge", "quartet_running_rows", "Rows in the batch that runs.", ("model", "version")),
    Family("gauge", "quartet_session_threads", "Threads of an inference, over all workers.", ("model", "version")),
    Family(
        "gauge",
        "quartet_loaded_models",
        "Workers that hold this version in memory, by execution provider.",
        ("model", "version", "provider"),
    ),
    Family("gauge", "quartet_memory_bytes", "Resident memory of the workers."),
    Family("gauge", "quartet_gpu_memory_bytes", "Memory of a GPU in use, by whatever process.", ("gpu",)),
    Family("gauge", "quartet_gpu_memory_size_bytes", "All of its memory.", ("gpu",)),
    Family("gauge", "quartet_gpu_busy_ratio", "Share of the last moments in which it ran something.", ("gpu",)),
    Family("gauge", "quartet_memory_budget_bytes", "What the requests of the workers may hold together."),
    Family("gauge", "quartet_memory_held_bytes", "What they hold of it."),
    Family("gauge", "quartet_workers", "Workers that are alive."),
    Family(
        "gauge",
        "quartet_drift_rows",
        "Rows in the window that a feature or an output is watched in.",
        ("model", "version", "feature"),
    ),
    Family(
        "gauge",
        "quartet_drift_psi",
        "Population stability index of that window against the training data.",
        ("model", "version", "feature"),
    ),
    Family(
        "gauge",
        "quartet_drift_expected_psi",
        "Its mean where nothing has drifted.",
        ("model", "version", "feature"),
    ),
    Family(
        "gauge",
        "quartet_drift_p_value",
        "How often chance alone differs as much where nothing has drifted.",
        ("model", "version", "feature"),
    ),
)


def exposed(family: Family, series: Series) -> Metric:
    """As prometheus_client takes it."""
    labels = list(family.labels)
    if family.kind == "counter":
        counter = CounterMetricFamily(family.name, family.documentation, labels=labels)
        for key, (value,) in series.items():
            counter.add_metric(list(key), value)
        return counter
    if family.kind == "gauge":
        gauge = GaugeMetricFamily(family.name, family.documentation, labels=labels)
        for key, (value,) in series.items():
            gauge.add_metric(list(key), value)
        return gauge
    histogram = HistogramMetricFamily(family.name, family.documentation, labels=labels)
    bounds = [*(f"{bound:g}" for bound in family.bounds), "+Inf"]
    for key, (*counts, total) in series.items():
        cumulative = np.cumsum(counts).tolist()
        histogram.add_metric(list(key), list(zip(bounds, cumulative, strict=True)), total)
    return histogram

"""What the service says of itself in `/metrics`."""

from collections import defaultdict
from typing import NamedTuple
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families


class Work(NamedTuple):
    """What a model has done since it was loaded."""

    batches: float
    rows: float


def work(service: str, model: str) -> Work:
    samples = scrape(service, model)
    return Work(samples["quartet_batch_rows_count"], samples["quartet_batch_rows_sum"])


class Threads(NamedTuple):
    """Of all processes together, and of one inference."""

    all: int
    each: int


def threads(service: str, model: str) -> Threads:
    samples = scrape(service, model)
    total = samples["quartet_session_threads"]
    return Threads(int(total), int(total / samples["quartet_loaded_models"]))


def scrape(service: str, model: str) -> dict[str, float]:
    """The samples of /metrics that belong to `model`, by name, over all its versions."""
    with urlopen(service + "/metrics", timeout=10) as response:
        families = text_string_to_metric_families(response.read().decode())
    total: dict[str, float] = defaultdict(float)
    for sample in (sample for family in families for sample in family.samples):
        if sample.labels.get("model") == model:
            total[sample.name] += sample.value
    return total

"""Grafana's dashboard, made from what the service declares: python -m deploy.dashboards

Writes deploy/grafana/quartet.json. Every metric of service/metric_families.py has a panel; one that nobody has placed
is in the last row.
"""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from service.metric_families import FAMILIES, Family
from service.settings import PROJECT

FILE = PROJECT / "deploy" / "grafana" / "quartet.json"
SOURCE = {"type": "prometheus", "uid": "$source"}
WHERE = 'job="$job",instance=~"$instance"'
RATE = "[$__rate_interval]"
MODELS = 'endpoint!="pages"'
FAILED = f'{MODELS},status=~"5.."'
WIDTH, HEIGHT, COLUMNS = 8, 8, 24

# Rows by what people look for; the panel of a metric says what its documentation says.
ROWS = {
    "Traffic and errors": ("requests", "in_flight_requests", "errors", "request_seconds"),
    "Stages, batches and queues": ("stage_seconds", "batch_rows", "queued_rows", "running_rows"),
    "Versions and providers": ("loaded_models", "failed_loads", "session_threads"),
    "Drift": ("drift_rows", "drift_psi", "drift_expected_psi", "drift_p_value"),
    "Processes": ("workers", "lost_workers", "cpu_seconds", "memory_bytes", "memory_budget_bytes", "memory_held_bytes"),
    "GPU": ("gpu_memory_bytes", "gpu_memory_size_bytes", "gpu_busy_ratio"),
}
# What replicas do not add up to.
APART = {"drift_psi": "max", "drift_expected_psi": "max", "drift_p_value": "min", "gpu_busy_ratio": "max"}
UNITS = {"seconds": "s", "bytes": "bytes"}


class Panel(NamedTuple):
    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]  # expression and legend


def series(name: str, suffix: str = "", more: str = "") -> str:
    return f"{name}{suffix}{{{','.join(filter(None, (WHERE, more)))}}}"


def legend(labels: tuple[str, ...]) -> str:
    return " ".join(f"{{{{{label}}}}}" for label in labels) or "all"


def summed(expression: str, labels: tuple[str, ...]) -> str:
    return gathered("sum", expression, labels)


def gathered(how: str, expression: str, labels: tuple[str, ...]) -> str:
    return f"{how} by ({', '.join(labels)}) ({expression})" if labels else f"{how}({expression})"


def panel(family: Family) -> Panel:
    """What a metric's kind says of how it is looked at."""
    labels = tuple(label for label in family.labels if label != "status")
    unit = next((unit for ending, unit in UNITS.items() if family.name.endswith(ending)), "short")
    title = family.documentation.rstrip(".")
    if family.kind == "counter":
        rate = f"rate({series(family.name, '_total')}{RATE})"
        return Panel(f"{title}, per second", "short", ((summed(rate, labels), legend(labels)),))
    if family.kind == "gauge":
        how = APART.get(family.name.removeprefix("quartet_"), "sum")
        return Panel(title, unit, ((gathered(how, series(family.name), labels), legend(labels)),))
    kept = tuple(label for label in labels if label != "version")
    rate = summed(f"rate({series(family.name, '_bucket')}{RATE})", ("le", *kept))
    quantiles = ((f"histogram_quantile({share}, {rate})", f"{legend(kept)} p{share * 100:g}") for share in (0.5, 0.99))
    return Panel(f"{title} Median and 99th percentile".replace(". ", ": "), unit, tuple(quantiles))


def overview() -> Iterator[Panel]:
    """What is made of several series."""
    counted = f"rate({series('quartet_request_seconds', '_count', MODELS)}{RATE})"
    failed = f"rate({series('quartet_request_seconds', '_count', FAILED)}{RATE})"
    yield Panel("Requests per second", "reqps", ((summed(counted, ("endpoint",)), "{{endpoint}}"),))
    yield Panel("Answers by status", "reqps", ((summed(counted, ("status",)), "{{status}}"),))
    share = f"(sum({failed}) or vector(0)) / sum({counted})"
    yield Panel("Share answered with 5xx", "percentunit", ((share, "5xx"),))
    mean = f"sum by (model) (rate({series('quartet_batch_rows', '_sum')}{RATE}))"
    mean += f" / sum by (model) (rate({series('quartet_batch_rows', '_count')}{RATE}))"
    yield Panel("Mean rows per batch", "short", ((mean, "{{model}}"),))
    held = f"sum({series('quartet_memory_held_bytes')}) / sum({series('quartet_memory_budget_bytes')})"
    yield Panel("Share of the memory budget that requests hold", "percentunit", ((held, "held"),))
    yield Panel(
        "Versions of each model",
        "short",
        ((f"count by (model) (count by (model, version) ({series('quartet_loaded_models')}))", "{{model}}"),),
    )


def rows() -> Iterator[tuple[str, list[Panel]]]:
    families = {family.name.removeprefix("quartet_"): family for family in FAMILIES}
    yield "Overview", list(overview())
    for title, names in ROWS.items():
        yield title, [panel(families.pop(name)) for name in names]
    if families:
        yield "More", [panel(family) for family in families.values()]


def drawn(number: int, one: Panel, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": "timeseries",
        "title": one.title,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": one.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": SOURCE, "expr": expression, "legendFormat": shown}
            for i, (expression, shown) in enumerate(one.queries)
        ],
    }


def panels() -> Iterator[dict[str, Any]]:
    number, y = 0, 0
    for title, row in rows():
        number += 1
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": y}
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
        y += 1
        for i, one in enumerate(row):
            number += 1
            x = i * WIDTH % COLUMNS
            yield drawn(number, one, {"h": HEIGHT, "w": WIDTH, "x": x, "y": y + i * WIDTH // COLUMNS * HEIGHT})
        y += -(-len(row) * WIDTH // COLUMNS) * HEIGHT


def variable(name: str, query: str, several: bool) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "multi": several,
        "includeAll": several,
        "current": {"text": ["All"], "value": ["$__all"]} if several else {},
    }


def dashboard() -> dict[str, Any]:
    variables = [
        {"name": "source", "type": "datasource", "query": "prometheus", "label": "data source"},
        variable("job", "label_values(quartet_workers, job)", several=False),
        variable("instance", 'label_values(quartet_workers{job="$job"}, instance)', several=True),
    ]
    return {
        "uid": "quartet",
        "title": "Quartet",
        "tags": ["quartet"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables},
        "panels": list(panels()),
    }


def text() -> str:
    return json.dumps(dashboard(), indent=1) + "\n"


def queries(job: str, instance: str, interval: str) -> Iterator[str]:
    """Every expression as Grafana would send it."""
    for one in panels():
        for target in one.get("targets", ()):
            expression = target["expr"].replace("$job", job).replace("$instance", instance)
            yield expression.replace("$__rate_interval", interval)


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text(), encoding="utf-8")
    print(f"written to {FILE}")

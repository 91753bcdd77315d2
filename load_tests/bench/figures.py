"""What was measured, as rows of tables: medians and their ratios."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from statistics import median
from typing import Any

from load_tests.bench.contender import Contender, Part
from load_tests.bench.rounds import Measured, Sample
from load_tests.bench.wrk import Load

OURS, ECHO = "ours", "echo"


def compare(part: Part, measured: Measured) -> Iterator[dict[str, Any]]:
    """One row per connections and contender."""
    loads = medians(measured)
    contenders = {contender.name: contender for contender in part.contenders}
    for (connections, name), load in loads.items():
        echo = loads.get((connections, contenders[name].echo))
        samples = measured.samples[connections, name]
        batches = [sample.batch for sample in samples if sample.batch]
        ceiling = ceiling_of(part, samples, echo)
        yield {
            "connections": connections,
            "contender": name,
            f"{part.unit}/s": load.requests_per_s * part.rows,
            "p50 ms": load.p50_ms,
            "p99 ms": load.p99_ms,
            "p99/p50": load.p99_ms / load.p50_ms,
            "p50/echo": echo and load.p50_ms / echo.p50_ms,
            "cpu µs": median(sample.cpu_us for sample in samples),
            "rows/batch": median(batches) if batches else None,
            "ceiling": ceiling and ceiling * part.rows,
            "of ceiling": ceiling and load.requests_per_s / ceiling,
        }


def multiples(contenders: Sequence[Contender], measured: Measured) -> Iterator[dict[str, Any]]:
    """How many times each product's rate ours is, one row per connections and form of ours."""
    rates = {key: load.requests_per_s for key, load in medians(measured).items()}
    levels = dict.fromkeys(connections for connections, _ in rates)
    products = dict.fromkeys(one.product for one in contenders if one.product not in (OURS, ECHO))
    for connections, ours in product(levels, contenders if products else ()):
        if ours.product == OURS:
            rivals = {f"x {name}": opponent(ours, contenders, name) for name in products}
            times = {x: rates[connections, ours.name] / rates[connections, rival.name] for x, rival in rivals.items()}
            yield {"connections": connections, "ours": ours.form, **times}


def opponent(ours: Contender, contenders: Sequence[Contender], name: str) -> Contender:
    """JSON meets JSON, binary meets binary where the product has one."""
    forms = [one for one in contenders if one.product == name]
    return next((form for form in forms if form.is_json == ours.is_json), forms[0])


def medians(measured: Measured) -> dict[tuple[int, str], Load]:
    return {key: middle(sample.load for sample in samples) for key, samples in measured.samples.items()}


def middle(loads: Iterable[Load]) -> Load:
    return Load(*(median(column) for column in zip(*loads, strict=True)))


def ceiling_of(part: Part, samples: list[Sample], echo: Load | None) -> float | None:
    """Requests/s that the host and the model leave."""
    rates = [sample.model_rows_per_s for sample in samples if sample.model_rows_per_s]
    if not rates:
        return None
    return 1 / (part.rows / median(rates) + (1 / echo.requests_per_s if echo else 0))


def bare(part: Part, measured: Measured) -> list[dict[str, Any]]:
    """ONNX Runtime without HTTP."""
    return [
        {"model": part.raw.name, "threads": part.raw.threads, "rows/batch": batch, "rows/s": median(rates)}
        for batch, rates in measured.raw.items()
    ]

"""What would do the work of the hand-written parts: libraries that are installed anyway, or nothing."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from unittest.mock import patch

import numpy as np
import orjson
from numpy.typing import NDArray
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Histogram, values

from service.http.tracing import Trace
from service.limits import Limits
from service.messages import Request
from service.task import Body

PROPAGATOR = TraceContextTextMapPropagator()

_number = count()


class LibraryHistogram:
    """prometheus_client's histogram behind the face of ours; its labels have been looked up."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        histogram = Histogram(f"ablation_{next(_number)}", "Ours in its place.", registry=None, buckets=bounds)
        self.observe: Callable[[float], None] = histogram.observe

    def fold_when_long(self) -> None:
        """Nothing waits."""


@contextmanager
def library_histograms(shared: bool) -> Iterator[None]:
    """`shared`: in files mapped into memory, which is how prometheus_client adds up over several processes."""
    with tempfile.TemporaryDirectory() as folder, patch("service.metrics.Histogram", LibraryHistogram):
        with patch.dict(os.environ, {"PROMETHEUS_MULTIPROC_DIR": folder}):
            kind = values.MultiProcessValue() if shared else values.MutexValue
        with patch.dict(os.environ, {"PROMETHEUS_MULTIPROC_DIR": folder}), patch.object(values, "ValueClass", kind):
            yield


def read_images(request: Request, limits: Limits, fields: frozenset[str]) -> Body:
    """Pictures as numbers by way of Python's own, without the checks: strings would pass for numbers."""
    document = orjson.loads(request.body)
    return Body(np.array(document.pop("images"), np.float64), document)


def follow(traceparent: bytes) -> Trace | None:
    """By OpenTelemetry's propagator."""
    context = PROPAGATOR.extract({"traceparent": traceparent.decode("latin-1")})
    parent = get_current_span(context).get_span_context()
    if not parent.is_valid:
        return None
    return Trace(f"{parent.trace_id:032x}", f"{parent.span_id:016x}", int(parent.trace_flags))


def is_finite(numbers: NDArray[Any]) -> bool:
    return bool(np.isfinite(numbers).all())

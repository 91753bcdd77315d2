"""W3C trace context: a caller's trace goes on here, and is recorded where the caller has sampled it.

Spans go to whatever OpenTelemetry exporter BentoML's `tracing` configuration sets up. A request without `traceparent`
costs a dictionary look-up, one that is not sampled a few bytes of header.
"""

import os
import re
import time
from typing import Self

from opentelemetry import trace as otel
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags

from service.timing import Timing

# Later versions may add fields, version 00 has none.
PARENT = re.compile(
    rb"(?!ff)(?!00-.{53})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
SAMPLED = 1

tracer = otel.get_tracer("quartet")


class Trace:
    """The part of a trace that is this request; https://www.w3.org/TR/trace-context/ section 3.2."""

    def __init__(self, trace_id: str, parent_id: str, flags: int) -> None:
        self.trace_id, self.flags = trace_id, flags
        self._span: Span | None = None
        self._span_id = os.urandom(8).hex()
        if flags & SAMPLED:
            parent = SpanContext(int(trace_id, 16), int(parent_id, 16), is_remote=True, trace_flags=TraceFlags(flags))
            self._span = tracer.start_span("request", otel.set_span_in_context(NonRecordingSpan(parent)))
            if self._span.is_recording():
                self._span_id = f"{self._span.get_span_context().span_id:016x}"

    @classmethod
    def follow(cls, traceparent: bytes) -> Self | None:
        """None for a header that is not well-formed: it is to be ignored."""
        match = PARENT.fullmatch(traceparent)
        return cls(match[1].decode(), match[2].decode(), int(match[3], 16)) if match else None

    def header(self) -> bytes:
        return f"00-{self.trace_id}-{self._span_id}-{self.flags & SAMPLED:02x}".encode()

    def record(self, endpoint: str, status: int, timing: Timing | None) -> None:
        """End the span; its stages become child spans, laid end to end before now."""
        if self._span is None or not self._span.is_recording():
            return
        self._span.update_name(endpoint)
        self._span.set_attribute("http.response.status_code", status)
        end = time.time_ns()
        if timing is not None:
            within = otel.set_span_in_context(self._span)
            start = end - int(sum(timing) * 1e9)
            for stage, seconds in timing._asdict().items():
                stop = start + int(seconds * 1e9)
                tracer.start_span(stage, within, start_time=start).end(stop)
                start = stop
        self._span.end(end)

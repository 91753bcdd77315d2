"""A caller's trace goes on, when its header is well-formed: by the same rules as OpenTelemetry's propagator."""

import pytest
from opentelemetry import trace as otel
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.http.tracing import Trace

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PROPAGATOR = TraceContextTextMapPropagator()


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_trace_is_followed_under_its_own_id(flags: str) -> None:
    trace = Trace.follow(f"00-{TRACE}-{SPAN}-{flags}".encode())
    assert trace is not None
    version, trace_id, span_id, same = trace.header().decode().split("-")
    assert (version, trace_id, same) == ("00", TRACE, flags)
    assert span_id != SPAN


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01.",
        f"01-{TRACE}-{SPAN}-01.more",
        f"00-{TRACE.upper()}-{SPAN}-01",
    ],
)
def test_a_header_that_is_not_well_formed_is_ignored(header: str) -> None:
    assert Trace.follow(header.encode()) is None
    assert not otel.get_current_span(PROPAGATOR.extract({"traceparent": header})).get_span_context().is_valid


def test_a_later_version_may_add_fields() -> None:
    header = f"01-{TRACE}-{SPAN}-01-more"
    followed = Trace.follow(header.encode())
    assert followed is not None
    library = otel.get_current_span(PROPAGATOR.extract({"traceparent": header})).get_span_context()
    assert f"{library.trace_id:032x}" == followed.trace_id

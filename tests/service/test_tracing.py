"""A caller's trace goes on, when its header is well-formed."""

import pytest

from service.http.tracing import Trace

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize("flags", ["00", "01"])
def test_a_trace_is_followed_under_its_own_id(flags: str) -> None:
    trace = Trace.follow(f"00-{TRACE}-{SPAN}-{flags}".encode())
    assert trace is not None
    version, trace_id, span_id, same = trace.header().decode().split("-")
    assert (version, trace_id, same) == ("00", TRACE, flags)
    assert span_id != SPAN


@pytest.mark.parametrize(
    "header",
    [b"", b"00", f"ff-{TRACE}-{SPAN}-01".encode(), f"00-{'0' * 32}-{SPAN}-01".encode(), f"00-{TRACE}-{SPAN}".encode()],
)
def test_a_header_that_is_not_well_formed_is_ignored(header: bytes) -> None:
    assert Trace.follow(header) is None

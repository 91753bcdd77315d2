"""Spans reach an OpenTelemetry collector, over HTTP and over gRPC: a small receiver stands in for one."""

import gzip
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from time import monotonic
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests import toys
from tests.conftest import Running, free_port, npy

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
LONG_S = 60

Spans = Queue[Any]


def take(message: ExportTraceServiceRequest, spans: Spans) -> None:
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                spans.put(span)


@contextmanager
def http_receiver(spans: Spans) -> Iterator[str]:
    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            take(ExportTraceServiceRequest.FromString(body), spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1/traces"
        server.shutdown()
        thread.join()


@contextmanager
def grpc_receiver(spans: Spans) -> Iterator[str]:
    def export(message: ExportTraceServiceRequest, context: Any) -> ExportTraceServiceResponse:
        take(message, spans)
        return ExportTraceServiceResponse()

    method = grpc.unary_unary_rpc_method_handler(
        export, ExportTraceServiceRequest.FromString, ExportTraceServiceResponse.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Export": method}),))
    address = f"127.0.0.1:{free_port()}"
    server.add_insecure_port(address)
    server.start()
    yield f"http://{address}"
    server.stop(1).wait()


def named(spans: Spans, wanted: set[str]) -> dict[str, Any]:
    """The spans of our trace by their names, once all that are wanted have come."""
    found: dict[str, Any] = {}
    until = monotonic() + LONG_S
    while not wanted <= found.keys() and monotonic() < until:
        try:
            span = spans.get(timeout=1)
        except Empty:
            continue
        if span.trace_id.hex() == TRACE:
            found[span.name] = span
    return found


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_request_of_a_sampled_trace_becomes_spans_of_it(tmp_path: Path, protocol: str) -> None:
    spans: Spans = Queue()
    toys.digits(tmp_path / "models")
    with {"http": http_receiver, "grpc": grpc_receiver}[protocol](spans) as endpoint:
        options = f"exporter_type=otlp sample_rate=1.0 otlp.protocol={protocol} otlp.endpoint={endpoint}"
        running = Running(
            tmp_path,
            QUARTET_MODELS_DIR=str(tmp_path / "models"),
            QUARTET_WORKERS="1",
            BENTOML_CONFIG_OPTIONS=" ".join(f"tracing.{option}" for option in options.split()),
            OTEL_BSP_SCHEDULE_DELAY="200",
        ).wait_until_ready()
        headers = {"content-type": "application/x-npy", "traceparent": f"00-{TRACE}-{PARENT}-01"}
        answer = httpx.post(f"{running.url}/v1/digits/classify", content=npy(np.zeros((28, 28))), headers=headers)
        assert answer.status_code == 200, answer.text
        found = named(spans, {"classify_digits", "decode", "queue", "infer", "encode"})
        assert running.stop() == 0, running.log
    assert found["classify_digits"].parent_span_id.hex() == PARENT
    assert found["classify_digits"].span_id.hex() == answer.headers["traceparent"].split("-")[2]
    for stage in ("decode", "queue", "infer", "encode"):
        assert found[stage].parent_span_id == found["classify_digits"].span_id

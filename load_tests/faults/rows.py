"""Clients with large rows that come to nothing: too late, abandoned, refused, failed; over HTTP and gRPC."""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from typing import Any

import grpc
import numpy as np

from load_tests.model_folder import PRESS
from load_tests.wire import parse_head, request
from service.oip.grpc_messages import SERVICE, ModelInferRequest, ModelInferResponse

LENGTH = 2**20  # numbers, of four bytes
AT_ONCE = 6  # of each kind
LATE_MS = 20
PATH = f"/v2/models/{PRESS}/infer"
ROW = np.full(LENGTH, 0.5, np.float32)
FAILING = np.full(LENGTH, 2.0, np.float32)
# What may come of each kind, over HTTP and over gRPC. More than fit into queue or budget are told to come again.
BUSY, EXHAUSTED = {429, 503}, {"RESOURCE_EXHAUSTED", "UNAVAILABLE"}
ALLOWED: dict[str, set[Any]] = {
    "sound": {200, "OK"} | BUSY | EXHAUSTED,
    "late": {200, 504, "OK", "DEADLINE_EXCEEDED"} | BUSY | EXHAUSTED,
    "gone": {"CANCELLED", "OK", 0} | EXHAUSTED,
    "refused": {422, "INVALID_ARGUMENT"} | BUSY | EXHAUSTED,
    "failing": {500, "INTERNAL"} | BUSY | EXHAUSTED,
}


async def crowd(port: int, grpc_port: int) -> Counter[tuple[str, Any]]:
    """What became of AT_ONCE clients of each kind on each way, all at once."""
    outcomes: Counter[tuple[str, Any]] = Counter()
    # A channel per client: they share no connection, as strangers do not.
    clients = [
        *(over_http(kind, port) for kind in ALLOWED for _ in range(AT_ONCE)),
        *(over_grpc(kind, grpc_port) for kind in ALLOWED for _ in range(AT_ONCE)),
    ]
    outcomes.update(await asyncio.gather(*clients))
    return outcomes


async def over_http(kind: str, port: int) -> tuple[str, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_http(kind))  # and listen meanwhile: a refusal may come before all is sent
        if kind == "gone":
            await asyncio.sleep(LATE_MS / 1000)
            return kind, 0
        status, _ = parse_head(await reader.readuntil(b"\r\n\r\n"))
        await reader.read()
        return kind, status
    except (OSError, asyncio.IncompleteReadError) as error:
        return kind, type(error).__name__
    finally:
        writer.transport.abort()


def _http(kind: str) -> bytes:
    data = _row(kind)
    tensor = {"name": "x", "datatype": "FP32", "shape": _shape(kind), "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {
        "inference_header_content_length": str(len(head)),
        "content_type": "application/octet-stream",
        "connection": "close",
    }
    if kind == "late":
        headers["x_timeout_ms"] = str(LATE_MS)
    return request("POST", PATH, head + data, **headers)


async def over_grpc(kind: str, port: int) -> tuple[str, Any]:
    message = ModelInferRequest(
        model_name=PRESS,
        inputs=[{"name": "x", "datatype": "FP32", "shape": _shape(kind)}],
        raw_input_contents=[_row(kind)],
    )
    options = [("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        infer = channel.unary_unary(
            f"/{SERVICE}/ModelInfer", ModelInferRequest.SerializeToString, ModelInferResponse.FromString
        )
        call = infer(message, timeout=LATE_MS / 1000 if kind == "late" else 60)
        if kind == "gone":
            await asyncio.sleep(LATE_MS / 1000)
            call.cancel()
        with suppress(grpc.aio.AioRpcError, asyncio.CancelledError):
            await call
        return kind, (await call.code()).name


def _shape(kind: str) -> list[int]:
    return [1, LENGTH + 1] if kind == "refused" else [1, LENGTH]


def _row(kind: str) -> bytes:
    return (FAILING if kind == "failing" else ROW).tobytes()

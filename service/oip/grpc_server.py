"""The gRPC server: the protocol's service, health and reflection, in the worker's event loop."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from service.errors import QuartetError
from service.http.connection import room_of
from service.http.keys import Keys
from service.oip.calls import Call, Calls, Context, message_in
from service.oip.grpc_messages import HEALTH, REFLECTION, SERVICE, message_class, methods_of
from service.oip.grpc_tls import credentials
from service.oip.health import Health
from service.oip.inference import InferenceService
from service.oip.reflection import Reflection
from service.oip.requests import sentence
from service.pipeline import OPEN_INFERENCE, Pipeline
from service.settings import Settings

Code = grpc.StatusCode
STATUS = {
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    408: Code.DEADLINE_EXCEEDED,
    409: Code.FAILED_PRECONDITION,
    413: Code.RESOURCE_EXHAUSTED,
    429: Code.RESOURCE_EXHAUSTED,
    499: Code.CANCELLED,
    500: Code.INTERNAL,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}

# https://github.com/grpc/grpc/blob/master/include/grpc/impl/channel_arg_names.h has what they mean.
CONNECTION = {
    "grpc.max_concurrent_streams": 256,
    "grpc.max_connection_idle_ms": 60_000,
    "grpc.max_connection_age_ms": 3_600_000,
    "grpc.max_connection_age_grace_ms": 600_000,
    "grpc.server_handshake_timeout_ms": 20_000,
    "grpc.keepalive_time_ms": 60_000,  # asks those who say nothing whether they are still there
    "grpc.keepalive_timeout_ms": 20_000,
    "grpc.keepalive_permit_without_calls": 1,
    "grpc.http2.min_ping_interval_without_data_ms": 5_000,
    "grpc.http2.bdp_probe": 0,  # it widens the windows of messages that nobody reads
    "grpc.max_send_message_length": -1,
}

Serve = Callable[[Any, Context], Awaitable[None]]

log = logging.getLogger(__name__)


class PortError(Exception):
    """The gRPC service cannot listen where it should."""


class Server:
    """The services on their port."""

    def __init__(self, server: Any, calls: Calls) -> None:
        self._server, self._calls = server, calls
        self._ending: asyncio.Task[None] | None = None

    async def stop(self, grace_s: float) -> None:
        """Refuse calls from now on; those that have been accepted get `grace_s`. May be called more than once."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._calls.leave(grace_s))
        await asyncio.shield(self._ending)

    async def close(self) -> None:
        """After `stop`, and as late as can be: gRPC itself tells a late call that it was cancelled."""
        await self._server.stop(1)  # in which refusals go out


def handlers(service: str, methods: Any, calls: Calls, name: str | None = None) -> Any:
    """What a gRPC server is given for a service, whose methods `methods` has in Python's spelling."""
    served = {method: _handler(descriptor, methods, calls) for method, descriptor in methods_of(service).items()}
    return grpc.method_handlers_generic_handler(name or service, served)


def _handler(descriptor: Any, methods: Any, calls: Calls) -> Any:
    work = getattr(methods, re.sub(r"\B[A-Z]", r"_\g<0>", descriptor.name).lower())
    request_form, answer = message_class(descriptor.input_type), message_class(descriptor.output_type)
    streams = bool(descriptor.client_streaming or descriptor.server_streaming)

    async def ask(call: Call) -> int:
        """Size of the answer."""
        methods.admit(call)
        request = None
        if not descriptor.client_streaming:
            request = request_form()
            if request_form.DESCRIPTOR.fields:
                request = await message_in(await calls.receive(call), request_form, calls.caller(call, call.lease))
        given = await work(request, call)
        if given is None:
            return 0
        told = answer(**given) if isinstance(given, dict) else given
        await calls.send(call, told, size := told.ByteSize())
        return int(size)

    return grpc.stream_stream_rpc_method_handler(
        _serve(descriptor.name, streams, ask, calls), response_serializer=answer.SerializeToString
    )


def _serve(name: str, streams: bool, ask: Callable[[Call], Awaitable[int]], calls: Calls) -> Serve:
    async def serve(_: Any, context: Context) -> None:
        with calls.budget.lease() as lease:
            call = Call(name, streams, context, lease, calls.metrics, calls.access_log)
            try:
                with calls.at(call):
                    size = await ask(call)
            except asyncio.CancelledError:
                if call.refusal is None:  # the client has
                    raise
                call.resume()
                _refuse(call, call.refusal)
            except Exception as error:
                _refuse(call, call.explain(error))
            else:
                call.answered(size, call.timing)
                call.end(200)

    return serve


def _refuse(call: Call, error: QuartetError) -> None:
    call.refused(error)
    call.end(error.status)
    # Without `abort`: its exception would hold these frames, and the context the exception.
    call.context.set_code(STATUS.get(error.status, Code.INVALID_ARGUMENT))
    call.context.set_details(sentence(error))


async def listen(pipeline: Pipeline, settings: Settings, keys: Keys | None) -> Server:
    """Raises PortError."""
    calls = Calls(pipeline, settings, keys)
    options = CONNECTION | {
        "grpc.max_receive_message_length": settings.body_limit_of(OPEN_INFERENCE),
        "grpc.max_allowed_incoming_connections": room_of(settings),
        "grpc.so_reuseport": int(settings.processes > 1),
    }
    server = grpc.aio.server(options=list(options.items()))
    reflection = Reflection(calls)
    server.add_generic_rpc_handlers(
        (
            handlers(SERVICE, InferenceService(pipeline, settings, calls), calls),
            handlers(HEALTH, Health(pipeline.repository, settings.watch_s, calls), calls),
            handlers(REFLECTION, reflection, calls),
            handlers(REFLECTION, reflection, calls, REFLECTION.replace("v1", "v1alpha")),  # what older tools ask
        )
    )
    host = settings.grpc_host.strip("[]")
    address = f"[{host}]:{settings.grpc_port}" if ":" in host else f"{host}:{settings.grpc_port}"
    try:
        if (secret := credentials(settings)) is None:
            server.add_insecure_port(address)
        else:
            server.add_secure_port(address, secret)
    except RuntimeError:
        raise PortError(f"gRPC cannot listen on {address}: is it in use? Set QUARTET_GRPC_PORT or _HOST.") from None
    await server.start()
    log.info("gRPC on %s", address)
    return Server(server, calls)

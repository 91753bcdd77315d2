"""The protocol's gRPC service, in the worker's event loop and on the same batcher as everything else."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any

import grpc

from service.access import Keys, admit_admin
from service.batcher import URGENT
from service.errors import InternalError, InvalidValue, Missing, NotReady, QuartetError
from service.exchange import request_id
from service.oip.asked import NO_PARAMETERS, SERVER, Call, infer, model_metadata, sentence
from service.oip.grpc_form import decode, present
from service.oip.wire import SERVICE, ModelStreamInferResponse, message_class, methods
from service.pipeline import Pipeline
from service.settings import Settings
from service.timing import Timing

ENDPOINT = "open_inference_grpc"
OPEN = ("ServerLive", "ServerReady", "RepositoryModelLoad", "RepositoryModelUnload")  # to those without an API key

# Answers of one stream that may be on their way; beyond it the stream is read no further.
STREAM_DEPTH = 64

STATUS = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

log = logging.getLogger(__name__)

Context = Any  # grpc.aio.ServicerContext: grpc has no types
Fields = dict[str, Any]


class PortError(Exception):
    """The gRPC service cannot listen where it should."""


class InferenceService:
    """One method per call: it takes the request's message and returns the fields of the answer's."""

    def __init__(self, pipeline: Pipeline, settings: Settings) -> None:
        self._pipeline, self._repository, self._settings = pipeline, pipeline.repository, settings
        self._metrics = pipeline.repository.metrics
        self._keys = Keys.read(settings.api_keys) if settings.api_keys else None

    def handler(self) -> Any:
        """What a gRPC server is given."""
        handlers = {name: self._handler(name, method) for name, method in methods.items()}
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def server_live(self, request: Any, context: Context) -> Fields:
        return {"live": True}

    async def server_ready(self, request: Any, context: Context) -> Fields:
        return {"ready": self._repository.ready}

    async def server_metadata(self, request: Any, context: Context) -> Fields:
        return SERVER

    async def model_ready(self, request: Any, context: Context) -> Fields:
        try:
            self._repository.pick(request.name, request.version or None)
        except (Missing, NotReady):
            return {"ready": False}
        return {"ready": True}

    async def model_metadata(self, request: Any, context: Context) -> Fields:
        return model_metadata(self._repository.pick(request.name, request.version or None).manifest)

    async def model_infer(self, request: Any, context: Context) -> Any:
        answer, timing = await self._infer(request, context)
        tell(context, ("server-timing", timing.header().decode()))
        return answer

    async def model_stream_infer(self, requests: AsyncIterator[Any], context: Context) -> None:
        """Answers in the order of the requests, which run side by side and so in common batches."""
        answers: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue(STREAM_DEPTH)

        async def read(group: asyncio.TaskGroup) -> None:
            async for request in requests:
                await answers.put(group.create_task(self._stream_answer(request, context)))
            await answers.put(None)

        async with asyncio.TaskGroup() as group:
            group.create_task(read(group))
            while (answer := await answers.get()) is not None:
                await context.write(await answer)

    async def repository_index(self, request: Any, context: Context) -> Fields:
        entries = self._repository.index()
        return {"models": [one._asdict() for one in entries if not request.ready or one.state == "READY"]}

    async def repository_model_load(self, request: Any, context: Context) -> Fields:
        admit_admin(self._settings.admin_token, headers_of(context))
        if request.parameters:
            raise InvalidValue(NO_PARAMETERS, "parameters")
        await self._repository.set_loaded(request.model_name, True)
        return {}

    async def repository_model_unload(self, request: Any, context: Context) -> Fields:
        admit_admin(self._settings.admin_token, headers_of(context))
        await self._repository.set_loaded(request.model_name, False)
        return {}

    async def _infer(self, request: Any, context: Context) -> tuple[Any, Timing]:
        """The ModelInferResponse. A client that cancels cancels this coroutine, and so what it waits for."""
        left = context.time_remaining()
        within = self._pipeline.timeout_s if left is None else min(left, self._pipeline.timeout_s)
        version = request.model_version or None
        call = Call(request.model_name, version, monotonic() + within, URGENT, lambda: False)
        return await infer(self._pipeline, call, request.ByteSize(), partial(decode, request), present)

    async def _stream_answer(self, request: Any, context: Context) -> Any:
        """The ModelStreamInferResponse: an error ends its own request, not the stream."""
        try:
            answer, _ = await self._infer(request, context)
        except Exception as error:
            refused = self._refusal("ModelStreamInfer", error)
            return ModelStreamInferResponse(error_message=sentence(refused), infer_response={"id": request.id})
        return ModelStreamInferResponse(infer_response=answer)

    def _handler(self, name: str, method: Any) -> Any:
        make = grpc.stream_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        answer, request = message_class(method.output_type), message_class(method.input_type)
        return make(self._serve(name, answer), request.FromString, answer.SerializeToString)

    def _serve(self, name: str, answer: Any) -> Callable[[Any, Context], Awaitable[Any]]:
        work = getattr(self, re.sub(r"\B[A-Z]", r"_\g<0>", name).lower())

        async def serve(request: Any, context: Context) -> Any:
            headers = headers_of(context)
            tell(context, ("x-request-id", request_id(headers).decode("latin-1")))
            self._metrics.in_flight += 1
            try:
                if self._keys is not None and name not in OPEN:
                    self._keys.admit(headers)
                given = await work(request, context)
            except Exception as error:
                refused = self._refusal(name, error)
                status = STATUS.get(refused.status, grpc.StatusCode.INVALID_ARGUMENT)
                return await context.abort(status, sentence(refused))
            finally:
                self._metrics.in_flight -= 1
            return answer(**given) if isinstance(given, dict) else given

        return serve

    def _refusal(self, name: str, error: Exception) -> QuartetError:
        """What the client is told of an error."""
        if not isinstance(error, QuartetError):
            log.exception("a call of %s failed", name)
            error = InternalError()
        self._metrics.errors[ENDPOINT, error.code] += 1
        return error


def headers_of(context: Context) -> dict[bytes, bytes]:
    """The call's metadata, as HTTP headers would be."""
    metadata = context.invocation_metadata() or ()
    return {name.encode(): value.encode() if isinstance(value, str) else value for name, value in metadata}


def tell(context: Context, *metadata: tuple[str, str]) -> None:
    """Add to what follows the answer."""
    context.set_trailing_metadata((*(context.trailing_metadata() or ()), *metadata))


async def listen(pipeline: Pipeline, settings: Settings) -> Any:
    """A `grpc.aio.Server` that answers on the port of the settings. Raises PortError."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", settings.max_body_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", int(settings.workers > 1)),
        ]
    )
    server.add_generic_rpc_handlers((InferenceService(pipeline, settings).handler(),))
    address = f"{settings.grpc_host}:{settings.grpc_port}"
    try:
        server.add_insecure_port(address)
    except RuntimeError:
        raise PortError(f"gRPC cannot listen on {address}: is it in use? Set QUARTET_GRPC_PORT or _HOST.") from None
    await server.start()
    log.info("gRPC on %s", address)
    return server

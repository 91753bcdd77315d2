"""The protocol's gRPC service, in the worker's event loop and on the same batcher as everything else."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from time import monotonic
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from service.access import Keys, admit_admin
from service.batcher import URGENT
from service.errors import (
    InternalError,
    InvalidValue,
    MalformedBody,
    Missing,
    NotReady,
    QuartetError,
    forget_path,
)
from service.exchange import request_id
from service.journal import Journal
from service.oip.asked import NO_PARAMETERS, SERVER, Terms, infer, model_metadata, sentence
from service.oip.grpc_form import decode, present
from service.oip.wire import SERVICE, ModelInferRequest, ModelStreamInferResponse, message_class, methods
from service.pipeline import OPEN_INFERENCE, Pipeline
from service.placement import Errand, placed
from service.settings import Settings
from service.timing import Timing
from service.tracing import Trace

ENDPOINT = "open_inference_grpc"
OPEN = ("ServerLive", "ServerReady", "RepositoryModelLoad", "RepositoryModelUnload")  # to those without an API key

# Answers of one stream that may be on their way; beyond it the stream is read no further.
STREAM_DEPTH = 64

Code = grpc.StatusCode
STATUS = {
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    413: Code.RESOURCE_EXHAUSTED,
    429: Code.RESOURCE_EXHAUSTED,
    499: Code.CANCELLED,
    500: Code.INTERNAL,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}

log = logging.getLogger(__name__)

Context = Any  # grpc.aio.ServicerContext: grpc has no types
Fields = dict[str, Any]


class PortError(Exception):
    """The gRPC service cannot listen where it should."""


class Call:
    """A call on the wire; `method` is its name within the service."""

    endpoint = ENDPOINT

    def __init__(self, method: str, context: Context) -> None:
        self.method, self.context = method, context
        metadata = context.invocation_metadata() or ()
        self.headers = {name.encode(): value.encode() if isinstance(value, str) else value for name, value in metadata}
        self.request_id = request_id(self.headers)
        parent = self.headers.get(b"traceparent")
        self.trace = None if parent is None else Trace.follow(parent)
        self.timing: Timing | None = None

    def end(self, status: int) -> None:
        """Tell what follows an answer: the id, the times, the trace."""
        told = [("x-request-id", self.request_id.decode("latin-1"))]
        if self.timing is not None:
            told.append(("server-timing", self.timing.header().decode()))
        if self.trace is not None:
            told.append(("traceparent", self.trace.header().decode()))
            self.trace.record(self.endpoint, status, self.timing)
        self.context.set_trailing_metadata(tuple(told))


class InferenceService:
    """One method per call: it takes the request's message and returns the fields of the answer's."""

    def __init__(self, pipeline: Pipeline, settings: Settings, keys: Keys | None) -> None:
        self._pipeline, self._repository, self._settings = pipeline, pipeline.repository, settings
        self._metrics = pipeline.repository.metrics
        self._keys = keys
        self._journal = Journal(settings.access_log)
        self._readers: set[asyncio.Task[None]] = set()

    def handler(self) -> Any:
        """What a gRPC server is given."""
        handlers = {name: self._handler(method) for name, method in methods.items()}
        return grpc.method_handlers_generic_handler(SERVICE, handlers)

    async def server_live(self, request: Any, call: Call) -> Fields:
        return {"live": True}

    async def server_ready(self, request: Any, call: Call) -> Fields:
        return {"ready": self._repository.ready}

    async def server_metadata(self, request: Any, call: Call) -> Fields:
        return SERVER

    async def model_ready(self, request: Any, call: Call) -> Fields:
        try:
            self._repository.pick(request.name, request.version or None)
        except (Missing, NotReady):
            return {"ready": False}
        return {"ready": True}

    async def model_metadata(self, request: Any, call: Call) -> Fields:
        return model_metadata(self._repository.pick(request.name, request.version or None).manifest)

    async def model_infer(self, request: Any, call: Call) -> Any:
        answer, call.timing = await self._infer(request, call)
        return answer

    async def model_stream_infer(self, requests: AsyncIterator[bytes], call: Call) -> None:
        """Answers in the order of the requests, which run side by side."""
        answers: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue()
        free = asyncio.Semaphore(STREAM_DEPTH)

        async def read() -> None:
            try:
                async for request in requests:
                    await free.acquire()
                    answers.put_nowait(group.create_task(self._stream_answer(request, call)))
            finally:
                answers.put_nowait(None)

        async with asyncio.TaskGroup() as group:
            reader = group.create_task(read())
            self._readers.add(reader)
            reader.add_done_callback(self._readers.discard)
            while (answer := await answers.get()) is not None:
                await call.context.write(await answer)
                free.release()

    def end_streams(self) -> None:
        """Read no further requests from any stream: what has been read is still answered."""
        for reader in self._readers:
            reader.cancel()

    async def repository_index(self, request: Any, call: Call) -> Fields:
        entries = self._repository.index()
        return {"models": [one._asdict() for one in entries if not request.ready or one.state == "READY"]}

    async def repository_model_load(self, request: Any, call: Call) -> Fields:
        admit_admin(self._settings.admin_token, call.headers)
        if request.parameters:
            raise InvalidValue(NO_PARAMETERS, "parameters")
        await self._repository.set_loaded(request.model_name, True)
        return {}

    async def repository_model_unload(self, request: Any, call: Call) -> Fields:
        admit_admin(self._settings.admin_token, call.headers)
        await self._repository.set_loaded(request.model_name, False)
        return {}

    async def _infer(self, request: Any, call: Call) -> tuple[Any, Timing]:
        """The ModelInferResponse. A client that cancels cancels this coroutine, and so what it waits for."""
        left = call.context.time_remaining()
        most = self._settings.timeout_of(OPEN_INFERENCE)
        within = most if left is None else min(left, most)
        version = request.model_version or None
        with self._pipeline.budget.lease() as lease:
            terms = Terms(request.model_name, version, Errand(monotonic() + within, waiting, lease), URGENT)
            lease.grow(size := request.ByteSize())
            return await infer(self._pipeline, terms, size, partial(decode, request), present)

    async def _stream_answer(self, body: bytes, call: Call) -> Any:
        """The ModelStreamInferResponse: an error ends its own request, not the stream."""
        request = ModelInferRequest()
        try:
            self._admit(call)
            request = await placed(len(body), self._errand(), parsed, ModelInferRequest, body)
            answer, _ = await self._infer(request, call)
        except Exception as error:
            refused = self._refusal(call, error)
            return ModelStreamInferResponse(error_message=sentence(refused), infer_response={"id": request.id})
        return ModelStreamInferResponse(infer_response=answer)

    def _handler(self, method: Any) -> Any:
        make = grpc.stream_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        answer = message_class(method.output_type)
        return make(self._serve(method, answer), response_serializer=answer.SerializeToString)

    def _serve(self, method: Any, answer: Any) -> Callable[[Any, Context], Awaitable[Any]]:
        work = getattr(self, re.sub(r"\B[A-Z]", r"_\g<0>", method.name).lower())
        asked = message_class(method.input_type)

        async def serve(request: Any, context: Context) -> Any:
            call = Call(method.name, context)
            self._metrics.in_flight += 1
            try:
                self._admit(call)
                if not method.client_streaming:
                    request = await placed(len(request), self._errand(), parsed, asked, request)
                given = await work(request, call)
            except Exception as error:
                refused = self._refusal(call, error)
                call.end(refused.status)
                # Without `abort`: its exception would hold this frame, and the context the exception.
                context.set_code(STATUS.get(refused.status, Code.INVALID_ARGUMENT))
                context.set_details(sentence(refused))
                return None
            finally:
                self._metrics.in_flight -= 1
            told = answer(**given) if isinstance(given, dict) else given
            self._journal.answered(call, 0 if told is None else told.ByteSize(), call.timing)
            call.end(200)
            return told

        return serve

    def _errand(self) -> Errand:
        return Errand(monotonic() + self._settings.timeout_of(OPEN_INFERENCE), waiting)

    def _admit(self, call: Call) -> None:
        """Raises Unauthorized or RateLimited."""
        if self._keys is not None and call.method not in OPEN:
            self._keys.admit(call.headers)

    def _refusal(self, call: Call, error: Exception) -> QuartetError:
        """What the client is told of an error."""
        if not isinstance(error, QuartetError):
            log.error("request %s to %s failed", call.request_id.decode("latin-1"), call.method, exc_info=error)
            forget_path(error)
            error = InternalError()
        forget_path(error)
        self._metrics.errors[ENDPOINT, error.code] += 1
        self._journal.refused(call, error)
        return error


def waiting() -> bool:
    """Nobody who is gone: a client that cancels cancels what it waits for."""
    return False


def parsed(message: Any, body: bytes) -> Any:
    """The message in `body`. Raises MalformedBody."""
    try:
        return message.FromString(body)
    except DecodeError:
        raise MalformedBody(f"Not a {message.DESCRIPTOR.name}.") from None


class Server:
    """The service on its port."""

    def __init__(self, service: InferenceService, server: Any) -> None:
        self._service, self._server = service, server

    async def stop(self, grace_s: float) -> None:
        """Accept no more calls; those that have been accepted get `grace_s`."""
        self._service.end_streams()
        await self._server.stop(grace_s)


async def listen(pipeline: Pipeline, settings: Settings, keys: Keys | None) -> Server:
    """Raises PortError."""
    service = InferenceService(pipeline, settings, keys)
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", settings.body_limit_of(OPEN_INFERENCE)),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", int(settings.processes > 1)),
        ]
    )
    server.add_generic_rpc_handlers((service.handler(),))
    address = f"{settings.grpc_host}:{settings.grpc_port}"
    try:
        server.add_insecure_port(address)
    except RuntimeError:
        raise PortError(f"gRPC cannot listen on {address}: is it in use? Set QUARTET_GRPC_PORT or _HOST.") from None
    await server.start()
    log.info("gRPC on %s", address)
    return Server(service, server)

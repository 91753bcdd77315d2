"""The methods of the protocol's gRPC service, on the same batcher as everything else."""

import asyncio
from functools import partial
from typing import Any

from service.budget import Lease
from service.engine.batcher import URGENT
from service.errors import Missing, NotReady, QuartetError
from service.http.keys import admit_admin
from service.oip.calls import Call, Calls, message_in
from service.oip.grpc_form import decode, present
from service.oip.grpc_messages import ModelInferRequest, ModelStreamInferResponse
from service.oip.loading import load
from service.oip.requests import SERVER, InferTarget, infer, model_metadata, sentence
from service.pipeline import Pipeline, version_of
from service.settings import Settings
from service.timing import Timing

# Answers of one stream that may be on their way; beyond it the stream is read no further.
STREAM_DEPTH = 64

Fields = dict[str, Any]
Answers = asyncio.Queue[asyncio.Task[tuple[Any, int]] | None]


class InferenceService:
    """One method per call: it takes the request's message and returns the fields of the answer's, or the answer."""

    def __init__(self, pipeline: Pipeline, settings: Settings, calls: Calls) -> None:
        self._pipeline, self._repository, self._settings = pipeline, pipeline.repository, settings
        self._calls = calls

    def admit(self, call: Call) -> None:
        """Called before anything is read. Each request of a stream counts against its key's rate, the stream does not.

        Raises Unauthorized, Forbidden, RateLimited.
        """
        if call.method in ("RepositoryModelLoad", "RepositoryModelUnload"):
            admit_admin(self._settings.admin_token, call.headers)
        elif self._calls.keys is not None and call.method not in ("ServerLive", "ServerReady"):
            (self._calls.keys.find if call.streams else self._calls.keys.admit)(call.headers)

    async def server_live(self, request: Any, call: Call) -> Fields:
        return {"live": True}

    async def server_ready(self, request: Any, call: Call) -> Fields:
        return {"ready": self._repository.ready}

    async def server_metadata(self, request: Any, call: Call) -> Fields:
        return SERVER

    async def model_ready(self, request: Any, call: Call) -> Fields:
        try:
            self._repository.pick(request.name, _version(call, request.version))
        except (Missing, NotReady):
            return {"ready": False}
        return {"ready": True}

    async def model_metadata(self, request: Any, call: Call) -> Fields:
        return model_metadata(self._repository.pick(request.name, _version(call, request.version)).manifest)

    async def model_infer(self, request: Any, call: Call) -> Any:
        answer, call.timing = await self._infer(request, call, call.lease)
        return answer

    async def model_stream_infer(self, _: None, call: Call) -> None:
        """Answers in the order of the requests, which run side by side."""
        answers: Answers = asyncio.Queue()
        free = asyncio.Semaphore(STREAM_DEPTH)
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(self._read(call, group, answers, free))
            ending = group.create_task(self._calls.leaving.wait())
            ending.add_done_callback(lambda _: reader.cancel())  # what has been read is still answered
            while (task := await answers.get()) is not None:
                answer, held = await task
                await self._calls.send(call, answer, held)
                call.lease.shrink(held)
                call.pending -= 1
                free.release()
            ending.cancel()
        if call.refusal is not None:
            raise call.refusal

    async def repository_index(self, request: Any, call: Call) -> Fields:
        entries = self._repository.index()
        return {"models": [one._asdict() for one in entries if not request.ready or one.state == "READY"]}

    async def repository_model_load(self, request: Any, call: Call) -> Fields:
        given = {name: one.WhichOneof("parameter_choice") for name, one in request.parameters.items()}
        parameters = {name: getattr(request.parameters[name], kind) for name, kind in given.items() if kind}
        await load(self._repository, request.model_name, parameters)
        return {}

    async def repository_model_unload(self, request: Any, call: Call) -> Fields:
        await self._repository.set_loaded(request.model_name, False)
        return {}

    async def _read(self, call: Call, group: asyncio.TaskGroup, answers: Answers, free: asyncio.Semaphore) -> None:
        """Begin what is asked for on a stream, until its end or an error that ends it."""
        try:
            while (body := await self._calls.receive(call)) is not None:
                call.pending += 1
                await free.acquire()
                answers.put_nowait(group.create_task(self._stream_answer(body, call)))
        except QuartetError as error:
            call.refusal = error
        finally:
            answers.put_nowait(None)

    async def _stream_answer(self, body: bytes, call: Call) -> tuple[Any, int]:
        """The ModelStreamInferResponse, and how much of it the call holds: an error ends its own request alone."""
        request = ModelInferRequest()
        try:
            if self._calls.keys is not None:
                self._calls.keys.admit(call.headers)
            with self._calls.budget.lease() as lease:
                request = await message_in(body, ModelInferRequest, self._calls.caller(call, lease))
                answer, _ = await self._infer(request, call, lease)
            call.lease.grow(size := answer.ByteSize())
            return ModelStreamInferResponse(infer_response=answer), size
        except Exception as error:
            call.refused(refusal := call.explain(error))
            return ModelStreamInferResponse(error_message=sentence(refusal), infer_response={"id": request.id}), 0

    async def _infer(self, request: Any, call: Call, lease: Lease) -> tuple[Any, Timing]:
        """The ModelInferResponse. A client that cancels cancels this coroutine, and so what it waits for."""
        version = _version(call, request.model_version)
        target = InferTarget(request.model_name, version, self._calls.caller(call, lease), URGENT)
        return await infer(self._pipeline, target, request.ByteSize(), partial(decode, request), present)


def _version(call: Call, named: str) -> str | None:
    """The version that a message names, or the metadata of its call."""
    return version_of(call.headers, named or None)

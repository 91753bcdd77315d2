"""The way of a request, from bytes to bytes:

    bytes -read-> payload -prepare-> arrays -> Job -batcher, session-> outputs -write-> bytes

Nothing that a client can get wrong lies beyond `prepare`.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from math import inf, isfinite
from time import monotonic, perf_counter
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.attribution import note
from service.budget import Budget, Lease, default_size
from service.bundle import Arrays, Manifest, size_of
from service.engine.batcher import PATIENT, URGENT, Job
from service.engine.repository import Repository
from service.engine.served_model import Listener, ServedModel
from service.errors import EmptyBody, InternalError, InvalidValue, NotFinite, QuartetError
from service.feedback.recorder import Recorder
from service.limits import Limits
from service.messages import DICOM, FORM, JSON, RELATED, ZIP, Answer, Request
from service.settings import PREFIX, Settings, SettingsError
from service.stage_pool import HEAVY, Caller, never, run_parser, run_stage
from service.task import Payload, Prepared, Series, Task, Writer
from service.tasks import TASKS
from service.timing import Timing

OPEN_INFERENCE = "open_inference"  # the protocol's routes, over HTTP and gRPC, under one name

KEPT = 3  # times its inputs: with a payload of a wider type
FEW = 1024  # numbers
WRITTEN = 7  # times its outputs: in JSON, in a buffer that doubles as it fills

P = ParamSpec("P")
T = TypeVar("T")


class Pipeline:
    def __init__(self, repository: Repository, settings: Settings) -> None:
        """Raises SettingsError when the settings speak of an endpoint that there is not."""
        known = {*(task.name for task in TASKS), OPEN_INFERENCE}
        for variable, given in {"TIMEOUTS_S": settings.timeouts_s, "BODY_LIMITS": settings.body_limits}.items():
            if unknown := given.keys() - known:
                says = f"there is no endpoint {min(unknown)!r}; there are {', '.join(sorted(known))}"
                raise SettingsError(f"{PREFIX}{variable}: {says}")
        kinds = {task.kind for task in TASKS if task.kind is not None}
        if strange := settings.defaults.keys() - kinds:
            raise SettingsError(
                f"{PREFIX}DEFAULTS: there is no kind {min(strange)!r}; there are {', '.join(sorted(kinds))}"
            )
        self.repository, self.settings = repository, settings
        self.recorder: Recorder | None = None  # where predictions are kept
        self.budget = Budget(self._size())
        repository.metrics.budget = self.budget

    def limits(self, lease: Lease | None, deadline: float = inf) -> Limits:
        """Of one request."""
        return Limits(self.settings.max_rows, self.settings.max_pixels, lease, deadline)

    def settle_budget(self) -> None:
        """Look again at what is left for requests, now that the models are loaded."""
        self.budget.size = self._size()

    def _size(self) -> int:
        return self.settings.memory_budget or default_size(self.settings.processes, self.repository.room)

    async def answer(
        self,
        task: Task,
        request: Request,
        abandoned: Callable[[], bool],
        model_name: str | None = None,
        alone: Callable[[], bool] = never,
    ) -> tuple[Answer, Timing]:
        """Raises a QuartetError. `model_name` is the model that the path named, where it does."""
        started = perf_counter()
        deadline, priority = self.deadline(request, task.name), priority_of(request)
        if not request.body:
            raise EmptyBody("The request has no body.")
        task.recognise(request)
        caller, size = Caller(deadline, abandoned, request.lease, alone, request), len(request.body)
        limits = self.limits(request.lease, deadline)
        reading = run_parser if request.media_type == JSON else run_stage
        payload = await reading(_weight(request), caller, task.read, request, limits)
        request.body = b""
        version = version_of(request.headers, payload.version)
        model = self._pick(task, version, model_name, payload)

        async def finish(model: ServedModel, listener: Listener | None = None) -> tuple[Answer, Timing]:
            stage = max(size, payload.work)
            prepared = await run_stage(stage, caller, task.prepare, payload, model.manifest, limits)
            media_type = request.choose(prepared.media_types or tuple(task.writers), prepared.why)
            write = task.writers[media_type]
            if media_type in task.series:
                pieces = self._pieces(started, model, prepared, caller, priority, size, write)
                return await _begun(pieces, task.series[media_type](), (*prepared.headers, *headers_of(model.manifest)))
            job = Job(prepared.inputs, caller, priority, prepared.graphs)
            answer, timing = await self.run(
                started, model, job, size, listener, write, prepared.context, model.manifest
            )
            if media_type != JSON:  # which says it itself
                answer = answer._replace(headers=(*answer.headers, *headers_of(model.manifest)))
            return answer, timing

        if model.candidate is None or version is not None:
            return await finish(model)
        return await model.candidate.answer(caller, finish)

    async def run(
        self,
        started: float,
        model: ServedModel,
        job: Job,
        size: int,
        listener: Listener | None,
        present: Callable[Concatenate[Arrays, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[T, Timing]:
        """The second half of the way: the job's outputs as `present(outputs, *args, **kwargs)` puts them.

        `size` is that of the request in bytes; `listener` hears of the outputs.
        """
        found, timing = await self._presented(started, model, job, size, listener, present, *args, **kwargs)
        model.metrics.answered(timing.decode, timing.encode)
        return found, timing

    async def _pieces(
        self,
        started: float,
        model: ServedModel,
        prepared: Prepared,
        caller: Caller,
        priority: int,
        size: int,
        write: Writer,
    ) -> AsyncGenerator[tuple[Answer, Timing], None]:
        """File by file. What came is held to the end, and what is made until it is sent."""
        held = size + KEPT * size_of(prepared.inputs)
        decode = encode = 0.0
        for number, prepare in enumerate(prepared.pieces):
            piece = prepare()
            job = Job(piece.inputs, caller, priority, piece.graphs, follows=number > 0)
            answer, timing = await self._presented(
                started, model, job, held, None, write, piece.context, model.manifest
            )
            decode, encode = decode or timing.decode, encode + timing.encode
            yield answer, timing
        model.metrics.answered(decode, encode)

    async def _presented(
        self,
        started: float,
        model: ServedModel,
        job: Job,
        size: int,
        listener: Listener | None,
        present: Callable[Concatenate[Arrays, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[T, Timing]:
        note(model=model.manifest.name, version=model.manifest.version)
        inputs = job.inputs
        try:
            loaded = model.use() or await self.repository.bring(model, job.caller.deadline)
            if job.caller.lease is not None:
                rows = loaded.input_size(job)
                times = KEPT + WRITTEN * loaded.gain(job.graphs)
                job.caller.lease.settle(size + int(times * rows))
            outputs = await loaded.outputs(job)
            check_finite(outputs)
            answered = perf_counter()
            answer = await run_stage(size_of(outputs), job.caller, present, outputs, *args, **kwargs)
        except BaseException as error:
            model.metrics.outcomes[_outcome(error)] += 1
            raise
        if listener is not None:
            listener(job, inputs, outputs)
        if self.recorder is not None and job.caller.sender is not None:
            self.recorder.note(job.caller.sender, model.manifest, outputs)
        return answer, Timing(job.queued_at - started, job.queued_s, job.infer_s, perf_counter() - answered)

    def _pick(self, task: Task, version: str | None, named: str | None, payload: Payload) -> ServedModel:
        name = named or payload.model
        if name is None:
            name = self.repository.default(task.kind or "", task.graph)
        return self.repository.pick(name, version, task.kind)

    def deadline(self, request: Request, endpoint: str) -> float:
        """On the monotonic clock: after the endpoint's time-out, or the shorter one that `x-timeout-ms` asks for."""
        within, text = self.settings.timeout_of(endpoint), request.header(b"x-timeout-ms")
        if text is None:
            return monotonic() + within
        if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) == 0:
            raise InvalidValue("Must be a positive whole number of milliseconds.", "x-timeout-ms")
        return monotonic() + min(int(text) / 1000, within)


async def _begun(
    pieces: AsyncGenerator[tuple[Answer, Timing], None], series: Series, headers: tuple[tuple[bytes, bytes], ...]
) -> tuple[Answer, Timing]:
    """An answer whose first file is made, and the others while it is read. Raises what making the first one raises."""
    first, timing = await anext(pieces)

    async def rest() -> AsyncGenerator[bytes, None]:
        async with aclosing(pieces):
            async for file, _ in pieces:
                yield series.piece(file)
        yield series.end()

    return Answer(series.piece(first), series.media_type, headers, rest()), timing


def check_finite(outputs: Arrays) -> None:
    """Raises NotFinite: JSON has no word for what is not, and a picture of it is black."""
    for name, output in outputs.items():
        if output.dtype.kind == "f" and not _is_finite(output):
            raise NotFinite(
                f"The model gives no finite {name} for these inputs: they are far from any it was made for."
            )


def _is_finite(numbers: NDArray[Any]) -> bool:
    """For a few numbers a sum of squares is faster than a look at each, and is finite only if all of them are."""
    if numbers.size <= FEW and isfinite(np.vdot(numbers, numbers)):
        return True
    return bool(np.isfinite(numbers).all())


def headers_of(manifest: Manifest) -> tuple[tuple[bytes, bytes], ...]:
    """Which model made an answer that has no place to say so."""
    return (b"x-model", manifest.name.encode()), (b"x-model-version", manifest.version.encode())


def _weight(request: Request) -> int:
    """The body's bytes; HEAVY for forms, archives and DICOM, whose time to be read has little to do with them."""
    return HEAVY if request.media_type in (DICOM, FORM, RELATED, ZIP) else len(request.body)


def priority_of(request: Request) -> int:
    """`x-priority: patient` lets every urgent request, which is what others are, go first."""
    text = request.header(b"x-priority")
    if text not in (None, "urgent", "patient"):
        raise InvalidValue("Must be urgent or patient.", "x-priority")
    return PATIENT if text == "patient" else URGENT


def version_of(headers: Mapping[bytes, bytes], named: str | None) -> str | None:
    """The version that `x-model-version` asks for, or the body or the URL does, which have `named` it."""
    value = headers.get(b"x-model-version")
    header = None if value is None else value.decode("latin-1")
    if header is not None and named not in (None, header):
        raise InvalidValue("The body or the URL says something else than the header x-model-version.", "version")
    return named if header is None else header


def _outcome(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "abandoned"
    return error.code if isinstance(error, QuartetError) else InternalError.code

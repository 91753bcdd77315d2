"""The way of a request, from bytes to bytes:

    bytes -decode-> payload -prepare-> arrays -> Job -batcher, session-> outputs -present-> bytes

Nothing that a client can get wrong lies beyond `prepare`.
"""

import asyncio
from collections.abc import Callable
from time import monotonic, perf_counter
from typing import NamedTuple, ParamSpec, TypeVar

from service.batcher import PATIENT, URGENT, Job
from service.bundle import Arrays
from service.endpoints import Endpoint
from service.errors import EmptyBody, InternalError, InvalidValue, QuartetError
from service.limits import Limits
from service.messages import Answer, Payload, Request
from service.repository import Repository
from service.served import ServedModel
from service.timing import Timing

# Above this a stage may take milliseconds; it moves to a thread, so that no other request waits for it.
INLINE_BYTES = 32 * 1024

P = ParamSpec("P")
T = TypeVar("T")


class Understood(NamedTuple):
    """A request that is right in every respect: who answers it, and with which inputs."""

    model: ServedModel
    inputs: Arrays
    payload: Payload


class Pipeline:
    def __init__(self, repository: Repository, limits: Limits, timeout_s: float) -> None:
        self.repository, self.limits, self.timeout_s = repository, limits, timeout_s

    async def answer(
        self, endpoint: Endpoint, request: Request, abandoned: Callable[[], bool], model_name: str | None = None
    ) -> tuple[Answer, Timing]:
        """Raises a QuartetError. `model_name` is the model that the path named, where it does."""
        started = perf_counter()
        deadline, priority = monotonic() + self._timeout_s(request), _priority(request)
        if not request.body:
            raise EmptyBody("The request has no body.")
        model, inputs, payload = await _placed(len(request.body), self._understand, endpoint, request, model_name)
        decoded = perf_counter()
        job = Job(inputs, deadline, abandoned, priority)
        try:
            outputs = await model.batcher.submit(job)
            answered = perf_counter()
            size = sum(output.nbytes for output in outputs.values())
            answer = await _placed(size, endpoint.present, outputs, payload, model.manifest, request)
        except BaseException as error:
            model.metrics.outcomes[_outcome(error)] += 1
            raise
        timing = Timing(decoded - started, job.queued_s, job.infer_s, perf_counter() - answered)
        model.metrics.answered(timing.decode, timing.encode)
        return answer, timing

    def _understand(self, endpoint: Endpoint, request: Request, model_name: str | None) -> Understood:
        payload = endpoint.decode(request, self.limits)
        name = model_name or _wanted(payload.model, request.query.get("model"), "model") or endpoint.default
        header = request.query.get("version") or request.header(b"x-model-version")
        model = self.repository.pick(name, _wanted(payload.version, header, "version"), endpoint.kind)
        return Understood(model, endpoint.prepare(payload, model.manifest, self.limits), payload)

    def _timeout_s(self, request: Request) -> float:
        """The route's time-out, or the shorter one that the client asks for in `x-timeout-ms`."""
        text = request.header(b"x-timeout-ms")
        if text is None:
            return self.timeout_s
        if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) == 0:
            raise InvalidValue("Must be a positive whole number of milliseconds.", "x-timeout-ms")
        return min(int(text) / 1000, self.timeout_s)


def _priority(request: Request) -> int:
    """`x-priority: patient` lets every urgent request, which is what others are, go first."""
    text = request.header(b"x-priority")
    if text not in (None, "urgent", "patient"):
        raise InvalidValue("Must be urgent or patient.", "x-priority")
    return PATIENT if text == "patient" else URGENT


def _wanted(in_body: str | None, outside: str | None, field: str) -> str | None:
    if in_body is not None and outside is not None and in_body != outside:
        raise InvalidValue("The body says something else than the URL or header.", field)
    return in_body or outside


def _outcome(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "abandoned"
    return error.code if isinstance(error, QuartetError) else InternalError.code


async def _placed(size: int, stage: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a stage here when it handles little, in a thread when it handles much."""
    if size <= INLINE_BYTES:
        return stage(*args, **kwargs)
    return await asyncio.to_thread(stage, *args, **kwargs)

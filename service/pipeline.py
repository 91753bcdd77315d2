"""The way of a request, from bytes to bytes:

    bytes -decode-> payload -prepare-> arrays -> Job -batcher, session-> outputs -present-> bytes

Nothing that a client can get wrong lies beyond `prepare`.
"""

import asyncio
from collections.abc import Callable
from math import inf, isfinite
from time import monotonic, perf_counter
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.batcher import PATIENT, URGENT, Job
from service.budget import Budget, Lease, default_size
from service.bundle import Arrays, size_of
from service.endpoints import ENDPOINTS, OF_A_MODEL, Endpoint
from service.errors import EmptyBody, InternalError, InvalidValue, NotFinite, QuartetError
from service.limits import Limits
from service.messages import DICOM, FORM, JSON, Answer, Payload, Request, refuse_unknown
from service.placement import HEAVY, Errand, parsed, placed
from service.repository import Repository
from service.served import ServedModel
from service.settings import Settings, SettingsError
from service.timing import Timing

OPEN_INFERENCE = "open_inference"  # the protocol's routes, over HTTP and gRPC, under one name

EXPLAINED = 2  # times what explains them: batches, and these put together
KEPT = 3  # times its inputs: with a payload of a wider type
WRITTEN = 7  # times its outputs: in JSON, in a buffer that doubles as it fills
FEW = 1024  # numbers

P = ParamSpec("P")
T = TypeVar("T")


class Pipeline:
    def __init__(self, repository: Repository, settings: Settings) -> None:
        """Raises SettingsError when the settings speak of an endpoint that there is not."""
        names = {*(endpoint.name for endpoint in (*ENDPOINTS, *OF_A_MODEL.values())), OPEN_INFERENCE}
        if unknown := (settings.timeouts_s.keys() | settings.body_limits.keys()) - names:
            raise SettingsError(f"there is no endpoint {min(unknown)!r}; there are {', '.join(sorted(names))}")
        self.repository, self.settings = repository, settings
        self.budget = Budget(settings.memory_budget or default_size(settings.processes))
        repository.metrics.budget = self.budget

    def limits(self, lease: Lease | None, deadline: float = inf) -> Limits:
        """Of one request."""
        return Limits(self.settings.max_rows, self.settings.max_pixels, lease, deadline)

    def settle_budget(self) -> None:
        """Look again at what is left for requests, now that the models are loaded."""
        self.budget.size = self.settings.memory_budget or default_size(self.settings.processes)

    async def answer(
        self, endpoint: Endpoint, request: Request, abandoned: Callable[[], bool], model_name: str | None = None
    ) -> tuple[Answer, Timing]:
        """Raises a QuartetError. `model_name` is the model that the path named, where it does."""
        started = perf_counter()
        deadline, priority = self.deadline(request, endpoint.name), priority_of(request)
        if request.query:
            refuse_unknown(request.query, ("version", *endpoint.options) if model_name else endpoint.parameters)
        if not request.body:
            raise EmptyBody("The request has no body.")
        errand, size = Errand(deadline, abandoned, request.lease), len(request.body)
        limits = self.limits(request.lease, deadline)
        decoding = parsed if request.media_type == JSON else placed
        payload = await decoding(_weight(request), errand, _decoded, endpoint, request, limits)
        request.body = b""
        model = self._pick(endpoint, request, model_name, payload)
        inputs = await placed(max(size, payload.work), errand, endpoint.prepare, payload, model.manifest, limits)
        job = Job(inputs, errand, priority, payload.explain)
        return await self.run(started, model, job, size, endpoint.present, payload, model.manifest, request)

    async def run(
        self,
        started: float,
        model: ServedModel,
        job: Job,
        size: int,
        present: Callable[Concatenate[Arrays, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[T, Timing]:
        """The second half of the way: the job's outputs as `present(outputs, *args, **kwargs)` puts them.

        `size` is that of the request in bytes.
        """
        try:
            if job.errand.lease is not None:
                rows = size_of(job.inputs)
                times = KEPT + WRITTEN * model.gain + (EXPLAINED * model.explained_gain if job.explain else 0)
                job.errand.lease.settle(size + int(times * rows))
            outputs = await model.outputs(job)
            check_finite(outputs)
            answered = perf_counter()
            answer = await placed(size_of(outputs), job.errand, present, outputs, *args, **kwargs)
        except BaseException as error:
            model.metrics.outcomes[_outcome(error)] += 1
            raise
        timing = Timing(job.queued_at - started, job.queued_s, job.infer_s, perf_counter() - answered)
        model.metrics.answered(timing.decode, timing.encode)
        return answer, timing

    def _pick(self, endpoint: Endpoint, request: Request, model_name: str | None, payload: Payload) -> ServedModel:
        name = model_name or _wanted(payload.model, request.query.get("model"), "model")
        header = request.query.get("version", request.header(b"x-model-version"))
        return self.repository.pick(
            endpoint.default if name is None else name, _wanted(payload.version, header, "version"), endpoint.kind
        )

    def deadline(self, request: Request, endpoint: str) -> float:
        """On the monotonic clock: after the endpoint's time-out, or the shorter one that `x-timeout-ms` asks for."""
        within, text = self.settings.timeout_of(endpoint), request.header(b"x-timeout-ms")
        if text is None:
            return monotonic() + within
        if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) == 0:
            raise InvalidValue("Must be a positive whole number of milliseconds.", "x-timeout-ms")
        return monotonic() + min(int(text) / 1000, within)


def check_finite(outputs: Arrays) -> None:
    """Raises NotFinite: JSON has no word for what is not, and a picture of it is black."""
    for name, output in outputs.items():
        if output.dtype.kind == "f" and not _is_finite(output):
            raise NotFinite(
                f"The model gives no finite {name} for these inputs: they are far from any it was made for."
            )


def _is_finite(numbers: NDArray[Any]) -> bool:
    """A sum of squares is sooner had than a look at each of a few numbers, and is finite only where all of them are."""
    if numbers.size <= FEW and isfinite(np.vdot(numbers, numbers)):
        return True
    return bool(np.isfinite(numbers).all())


def _decoded(endpoint: Endpoint, request: Request, limits: Limits) -> Payload:
    request.choose(endpoint.answer_media)  # an answer that nobody wants is not computed
    return endpoint.decode(request, limits)


def _weight(request: Request) -> int:
    """Its bytes, unless these say little of the time that it takes to read them: elements and parts may be empty."""
    return HEAVY if request.media_type in (DICOM, FORM) else len(request.body)


def priority_of(request: Request) -> int:
    """`x-priority: patient` lets every urgent request, which is what others are, go first."""
    text = request.header(b"x-priority")
    if text not in (None, "urgent", "patient"):
        raise InvalidValue("Must be urgent or patient.", "x-priority")
    return PATIENT if text == "patient" else URGENT


def _wanted(in_body: str | None, outside: str | None, field: str) -> str | None:
    if in_body is not None and outside is not None and in_body != outside:
        raise InvalidValue("The body says something else than the URL or header.", field)
    return outside if in_body is None else in_body


def _outcome(error: BaseException) -> str:
    if isinstance(error, asyncio.CancelledError):
        return "abandoned"
    return error.code if isinstance(error, QuartetError) else InternalError.code

"""What a client asks for by this protocol, and what it is told of models, whichever transport it came over."""

from collections.abc import Callable, Container
from time import monotonic, perf_counter
from typing import Any, NamedTuple, TypeVar

import service
from service.bundle import Arrays, Manifest, Tensor
from service.engine.batcher import PATIENT, URGENT, Job
from service.engine.served_model import Listener, ServedModel
from service.errors import InvalidValue, QuartetError
from service.oip.datatypes import DTYPES
from service.pipeline import Pipeline
from service.stage_pool import Caller, run_parser, run_stage
from service.tasks import tensors
from service.tasks.spacing import SPACING, Spacing, parse_spacing
from service.timing import Timing

MAX_PATH = 200
PLATFORM = "onnxruntime_onnx"
SERVER = {
    "name": "quartet",
    "version": service.__version__,
    "extensions": ["binary_tensor_data", "model_repository"],
}

T = TypeVar("T")


class Parameters(NamedTuple):
    """The parameters of a request that mean something here; others are ignored, as the protocol wants it."""

    binary: bool = False
    timeout_s: float | None = None
    priority: int = URGENT
    spacing_mm: Spacing | None = None

    @classmethod
    def read(cls, given: dict[str, Any]) -> "Parameters":
        """`binary_data_output`; `timeout` in microseconds; `priority`, where 1 is the highest and 0 says nothing;
        `spacing_mm` of CT slices, a number or, for two, text with a comma between."""
        binary = flag(given, "binary_data_output", "parameters") or False
        timeout, priority = number(given, "timeout", "parameters"), number(given, "priority", "parameters")
        spacing = parse_spacing(given.get("spacing_mm"), "parameters.spacing_mm")
        return cls(binary, timeout / 1e6 if timeout else None, PATIENT if (priority or 0) > 1 else URGENT, spacing)


class InferRequest(NamedTuple):
    """`outputs` says for each one that is wanted whether it should come as raw bytes; None: all of them."""

    id: str
    inputs: Arrays
    outputs: dict[str, bool] | None
    parameters: Parameters

    def chosen(self, manifest: Manifest) -> dict[str, bool]:
        """Raises InvalidValue for an output that the model does not have."""
        names = [tensor.name for tensor in manifest.outputs]
        if self.outputs is None:
            return dict.fromkeys(names, self.parameters.binary)
        if unknown := self.outputs.keys() - names:
            raise InvalidValue(f"Unknown. Outputs of {manifest.name}: {', '.join(names)}.", f"outputs.{min(unknown)}")
        return self.outputs


class InferTarget(NamedTuple):
    """Which model should answer, by when and to whom, and whether its tensors are in JSON."""

    model: str
    version: str | None
    caller: Caller
    priority: int
    in_json: bool = False


async def infer(
    pipeline: Pipeline,
    target: InferTarget,
    size: int,
    decode: Callable[[], InferRequest],
    present: Callable[[Arrays, InferRequest, Manifest], T],
) -> tuple[T, Timing]:
    """The answer to a request of `size` bytes. Raises a QuartetError."""
    started = perf_counter()
    decoding = run_parser if target.in_json else run_stage
    model, infer_request, inputs = await decoding(size, target.caller, _understand, pipeline, target, decode)
    within, priority = infer_request.parameters.timeout_s, infer_request.parameters.priority
    caller = target.caller
    if within is not None:
        caller = caller._replace(deadline=min(caller.deadline, monotonic() + within))

    async def finish(one: ServedModel, listener: Listener | None = None) -> tuple[T, Timing]:
        ready = inputs if one is model else _prepared(pipeline, target, infer_request, one)
        job = Job(ready, caller, max(priority, target.priority))
        return await pipeline.run(started, one, job, size, listener, present, infer_request, one.manifest)

    if model.candidate is None or target.version is not None:
        return await finish(model)
    return await model.candidate.answer(caller, finish)


def _understand(
    pipeline: Pipeline, target: InferTarget, decode: Callable[[], InferRequest]
) -> tuple[ServedModel, InferRequest, Arrays]:
    infer_request = decode()
    model = pipeline.repository.pick(target.model, target.version)
    infer_request.chosen(model.manifest)
    return model, infer_request, _prepared(pipeline, target, infer_request, model)


def _prepared(pipeline: Pipeline, target: InferTarget, infer_request: InferRequest, model: ServedModel) -> Arrays:
    options, limits = {SPACING.name: infer_request.parameters.spacing_mm}, pipeline.limits(target.caller.lease)
    return tensors.prepare_arrays(infer_request.inputs, options, model.manifest, limits)


def flag(parameters: dict[str, Any], name: str, field: str) -> bool | None:
    value = parameters.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise InvalidValue("Must be true or false.", f"{field}.{name}")


def number(parameters: dict[str, Any], name: str, field: str) -> int | None:
    value = parameters.get(name)
    if value is None or (type(value) is int and value >= 0):
        return value
    raise InvalidValue("Must be a whole number, not negative.", f"{field}.{name}")


def refuse_unsupported(parameters: dict[str, Any], field: str) -> None:
    """Refuse parameters that would change the answer and are not implemented. Raises InvalidValue."""
    if "shared_memory_region" in parameters:
        raise InvalidValue("Shared memory is not supported: send the data itself.", field)
    if "classification" in parameters:
        raise InvalidValue("The classification extension is not supported.", field)


def refuse_repeated(name: str, known: Container[str], field: str) -> None:
    """Raises InvalidValue."""
    if name in known:
        raise InvalidValue("Given twice.", f"{field}.{name}")


def sentence(error: QuartetError) -> str:
    """An error in the one string that the protocol has for it, short enough for gRPC's metadata."""
    where = "" if error.field is None else f"{error.field[:MAX_PATH]}: "
    return where + error.detail


def model_metadata(manifest: Manifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "versions": [manifest.version],
        "platform": PLATFORM,
        "inputs": [_tensor_metadata(tensor) for tensor in manifest.inputs],
        "outputs": [_tensor_metadata(tensor) for tensor in manifest.outputs],
    }


def _tensor_metadata(tensor: Tensor) -> dict[str, Any]:
    shape = [side if isinstance(side, int) else -1 for side in tensor.shape]
    return {"name": tensor.name, "datatype": BY_DTYPE[tensor.dtype], "shape": shape}


BY_DTYPE = {"string" if dtype.kind == "O" else dtype.name: name for name, dtype in DTYPES.items()}

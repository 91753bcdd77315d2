"""Bundles of anybody's ONNX files: what the file says of itself, what its owner adds, and what is still missing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper
from pydantic import ValidationError

from service import bundle
from service.bundle import (
    CARD,
    GOLDEN,
    GRAPH,
    MAIN,
    NAME,
    Arrays,
    Axis,
    Bundle,
    DigitClassification,
    Graph,
    ImageClassification,
    Manifest,
    Metric,
    Provenance,
    Source,
    TaskSpec,
    Tensor,
    TensorPrediction,
    rows_of,
)
from service.bundle.signature import BATCH
from training.export.adapting import as_tensors, with_shapes
from training.export.graph import ExportError
from training.export.parity import Predictor
from training.export.store import new_version, publish
from training.measures.evaluation import proportion
from training.report import card

KINDS = "tensors", "images", "digits"
ROWS, LONGEST_REASON = 4, 300
DTYPES: dict[int, Any] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.INT64: "int64",
    TensorProto.INT32: "int32",
    TensorProto.UINT8: "uint8",
    TensorProto.BOOL: "bool",
    TensorProto.STRING: "string",
}


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the owner of a file tells of it. `axes` has the least and the most places along each axis without number."""

    name: str
    command: str
    kind: str = "tensors"
    labels: tuple[str, ...] = ()
    span: tuple[float, float] | None = None
    axes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    softmax: bool = False
    rows: Path | None = None
    description: str = ""
    licence: str = ""
    address: str = ""

    @property
    def missing(self) -> list[str]:
        """What nobody has told, and the bundle does without."""
        wanted = {
            "--range LOW HIGH: what the inputs may be; the golden rows lie between 0 and 1": self.span or self.rows,
            "--rows FILE.npz: real inputs by name; the golden rows are random numbers": self.rows,
            "--description TEXT: what the model is for": self.description,
            "--licence TEXT: on what terms it may be used": self.licence,
            "--address URL: where it comes from": self.address,
            "held-out figures: it is measured on nothing, and no gate can judge it": False,
        }
        return [text for text, there in wanted.items() if not there]


def bring(path: Path, told: Told) -> Bundle:
    """The bundle of this file, a candidate. Raises ExportError where the file or what is told of it will not do."""
    if not re.fullmatch(NAME, told.name):
        raise ExportError(f"--name {told.name!r}: small letters, digits and hyphens")
    model = read(path)
    if told.kind != "tensors":
        _name_probabilities(model.graph, told)
    inputs = tuple(_tensor(value, told.span) for value in _inputs(model.graph))
    _check_axes(inputs, told)
    if told.kind != "tensors":
        _check_picture(inputs, told)
    content = model.SerializeToString()
    golden = _golden(inputs, told)
    outputs, alike = run(content, golden)
    if told.kind != "tensors" and not np.allclose(outputs["probabilities"].sum(1), 1, atol=1e-3):
        raise ExportError("what the graph gives does not sum to 1: --softmax makes probabilities of scores")
    given = tuple(_given(name, array, inputs) for name, array in outputs.items())

    def fill(stage: Path) -> Manifest:
        (stage / GRAPH).write_bytes(content)
        arrays = {f"in.{name}": _as_text(array) for name, array in golden.items()}
        arrays |= {f"out.{name}": _as_text(array) for name, array in outputs.items()}
        np.savez_compressed(stage / GOLDEN, allow_pickle=False, **arrays)
        manifest = _manifest(stage, path, told, model, Graph(file=GRAPH, inputs=inputs, outputs=given), alike)
        bundle.write_manifest(stage, manifest)
        (stage / CARD).write_text(card.render(manifest, manifest.description, []), encoding="utf-8")
        return manifest

    return publish(told.name, fill)


def read(path: Path) -> onnx.ModelProto:
    """A valid graph with all of its weights inside, whose tensors have the batch for their first axis."""
    try:
        model = onnx.load(path, load_external_data=False)
        if any(one.data_location == TensorProto.EXTERNAL for one in model.graph.initializer):
            raise ExportError(f"{path} has its weights in other files: save it with save_as_external_data=False")
        model = as_tensors(with_shapes(model))
        onnx.checker.check_model(model, full_check=True)
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}") from None
    except ExportError:
        raise
    except Exception as error:  # protobuf's, the checker's and the inference's own, which have nothing in common
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise ExportError(f"{path} is no valid ONNX file: {reason}") from None
    weights = {one.name for one in model.graph.initializer}
    for value in (*_inputs(model.graph), *model.graph.output):
        if value.name not in weights and value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = BATCH
    del model.graph.value_info[:]  # what was inferred for a batch of another size
    return model


def _inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    weights = {one.name for one in graph.initializer}  # which old files list as inputs, too
    return [value for value in graph.input if value.name not in weights]


def _tensor(value: onnx.ValueInfoProto, span: tuple[float, float] | None) -> Tensor:
    kind = value.type.tensor_type
    if (dtype := DTYPES.get(int(kind.elem_type))) is None:
        taken = ", ".join(DTYPES.values())
        raise ExportError(f"the input {value.name!r} is of a type that is not served: export it as one of {taken}")
    if not kind.shape.dim:
        raise ExportError(f"the input {value.name!r} has no axes: export it with the rows along its first one")
    sides = [side.dim_param or side.dim_value or f"{value.name}-{i}" for i, side in enumerate(kind.shape.dim)]
    return Tensor(name=value.name, dtype=dtype, shape=tuple(sides), range=span if dtype != "string" else None)


def _name_probabilities(graph: onnx.GraphProto, told: Told) -> None:
    """Call the one output of a classifier what the service calls it."""
    if not told.labels:
        raise ExportError(f"--kind {told.kind} needs --labels, in the order of the graph's output")
    if len(graph.output) != 1:
        names = ", ".join(value.name for value in graph.output)
        raise ExportError(f"--kind {told.kind} needs a graph of one output, this one gives {names}: --kind tensors")
    (value,) = graph.output
    graph.node.append(
        helper.make_node("Softmax", [value.name], ["probabilities"], axis=1)
        if told.softmax
        else helper.make_node("Identity", [value.name], ["probabilities"])
    )
    value.name = "probabilities"


def _check_axes(inputs: tuple[Tensor, ...], told: Told) -> None:
    named = {side for tensor in inputs for side in tensor.shape[1:] if isinstance(side, str)}
    if missing := sorted(named - told.axes.keys()):
        flags = " ".join(f"--axis {name}=LEAST:MOST" for name in missing)
        raise ExportError(f"the graph takes any length along {', '.join(missing)}: say which there are, {flags}")
    if unknown := sorted(told.axes.keys() - named):
        raise ExportError(f"--axis {unknown[0]}: the graph has {', '.join(sorted(named)) or 'no axis without number'}")


def _check_picture(inputs: tuple[Tensor, ...], told: Told) -> None:
    shapes = [tensor.shape[1:] for tensor in inputs]
    if len(shapes) != 1 or len(shapes[0]) not in (2, 3) or shapes[0][2:] not in ((), (3,)):
        raise ExportError(
            f"--kind {told.kind} needs one input of pictures [batch, height, width] or [batch, height, width, 3], this"
            f" graph takes {', '.join(str(['batch', *shape]) for shape in shapes)}: transpose it, or --kind tensors"
        )


def _golden(inputs: tuple[Tensor, ...], told: Told) -> Arrays:
    """Those of the file of rows, else random ones that are always the same."""
    if told.rows is None:
        generator = np.random.default_rng(0)
        return {tensor.name: _drawn(tensor, told, generator) for tensor in inputs}
    try:
        with np.load(told.rows, allow_pickle=False) as arrays:
            found = {tensor.name: arrays[tensor.name].astype(_dtype(tensor)) for tensor in inputs}
    except (OSError, ValueError, KeyError) as error:
        names = ", ".join(tensor.name for tensor in inputs)
        raise ExportError(f"{told.rows} must be an .npz with arrays {names}, a row each: {error}") from None
    for tensor in inputs:
        if not tensor.fits(found[tensor.name].shape) or not len(found[tensor.name]):
            raise ExportError(f"{told.rows}: {tensor.name} must be {list(tensor.shape)}")
    if len({len(array) for array in found.values()}) > 1:
        raise ExportError(f"{told.rows}: its arrays must have the same number of rows")
    return found


def _drawn(tensor: Tensor, told: Told, generator: np.random.Generator) -> NDArray[np.generic]:
    shape = [ROWS, *(side if isinstance(side, int) else told.axes[side][0] for side in tensor.shape[1:])]
    low, high = told.span or (0, 1)
    if tensor.dtype == "string":
        return np.full(shape, "text", object)
    if tensor.dtype.startswith("float"):
        return generator.uniform(low, high, shape).astype(tensor.dtype)
    return generator.integers(int(low), int(high) + 1, shape).astype(tensor.dtype)


def _dtype(tensor: Tensor) -> str:
    return "object" if tensor.dtype == "string" else tensor.dtype


def run(graph: bytes, golden: Arrays) -> tuple[Arrays, Metric]:
    """The outputs, and how many rows are answered alike alone and in a batch."""
    try:
        predict = Predictor(graph)
        together = predict(golden)
        alone = [predict(row) for row in rows_of(golden)]
    except Exception as error:  # ONNX Runtime has an unrelated class for each of its status codes
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise ExportError(f"the graph does not run on one row and on several, export it so: {reason}") from None
    for name, array in together.items():
        if array.ndim == 0 or len(array) != len(alone):
            raise ExportError(f"the output {name!r} does not give a row for each row: export it with the rows first")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ExportError(f"the output {name!r} is not finite for the golden rows: give other --range or --rows")
    alike = [all(_same(row[name], together[name][i : i + 1]) for name in row) for i, row in enumerate(alone)]
    if not all(alike):
        raise ExportError("a row is answered otherwise alone than in a batch: export the graph for inference")
    return together, proportion("golden rows answered alike alone and in a batch", sum(alike), len(alike), split="none")


def _same(one: NDArray[np.generic], other: NDArray[np.generic]) -> bool:
    if one.shape != other.shape:
        return False
    return bool(np.array_equal(one, other) if one.dtype.kind in "OU" else np.allclose(one, other, 1e-4, 1e-4))


def _given(name: str, array: NDArray[np.generic], inputs: tuple[Tensor, ...]) -> Tensor:
    """An output as it came, whose sides are free where those of the inputs are."""
    free = any(isinstance(side, str) for tensor in inputs for side in tensor.shape[1:])
    dtype = "string" if array.dtype.kind in "OU" else str(array.dtype)
    if dtype not in DTYPES.values():
        taken = ", ".join(DTYPES.values())
        raise ExportError(f"the output {name!r} is {dtype}, which is not served: export it as one of {taken}")
    sides = [f"{name}-{i}" if free else side for i, side in enumerate(array.shape[1:], 1)]
    if name == "probabilities":
        sides = list(array.shape[1:])
    return Tensor(name=name, dtype=dtype, shape=(BATCH, *sides))  # type: ignore[arg-type]  # of DTYPES


def _as_text(array: NDArray[np.generic]) -> NDArray[np.generic]:
    return array.astype(str) if array.dtype.kind == "O" else array


def _task(told: Told) -> TaskSpec:
    if told.kind == "images":
        return ImageClassification(labels=told.labels)
    if told.kind == "digits":
        if not all(label.isdecimal() for label in told.labels):
            raise ExportError("--kind digits needs --labels that are whole numbers")
        return DigitClassification(labels=tuple(int(label) for label in told.labels))
    return TensorPrediction(labels=told.labels)


def _manifest(stage: Path, path: Path, told: Told, model: onnx.ModelProto, graph: Graph, alike: Metric) -> Manifest:
    sources = (
        Source(
            name=path.name,
            package="a file",
            sha256=bundle.file_sha256(path),
            licence=told.licence or "unknown",
            address=told.address or "unknown",
        ),
    )
    made = Provenance(
        recipe="none, imported",
        command=told.command,
        git_commit="unknown",
        seed=0,
        hyperparameters={},
        sources=sources,
        libraries={"onnx": onnx.__version__},
        device="unknown",
        seconds=0,
    )
    try:
        return Manifest(
            name=told.name,
            version=new_version(),
            family="analyse" if told.kind == "tensors" else "classify",
            description=told.description or f"Imported from {path.name}.",
            task=_task(told),
            sha256={name: bundle.file_sha256(stage / name) for name in (GRAPH, GOLDEN)},
            opset=next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 1),
            graphs={MAIN: graph},
            axes={name: Axis(least=least, most=most) for name, (least, most) in told.axes.items()},
            provenance=made,
            metrics=(alike,),
        )
    except (ValidationError, ValueError) as error:
        reason = (
            error.errors()[0]["msg"].removeprefix("Value error, ") if isinstance(error, ValidationError) else str(error)
        )
        raise ExportError(f"as --kind {told.kind} it will not do: {reason}") from None

"""Bundles of tiny graphs, written through the bundle contract."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from service import bundle
from service.bundle import (
    Arrays,
    Axis,
    Graph,
    Manifest,
    Metric,
    Provenance,
    TaskSpec,
    Tensor,
)


class Beside(NamedTuple):
    """A graph beside the main one, with inputs and golden arrays of its own."""

    nodes: list[onnx.NodeProto]
    constants: dict[str, NDArray[np.generic]]
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    golden: tuple[Arrays, Arrays]


DTYPES = ("float32", "float64", "int64", "int32", "uint8", "bool")
ONNX_TYPES = {dtype: helper.np_dtype_to_tensor_dtype(np.dtype(dtype)) for dtype in DTYPES} | {
    "string": onnx.TensorProto.STRING
}


def write(
    models: Path,
    name: str,
    task: TaskSpec,
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[np.generic]],
    inputs: list[Tensor],
    outputs: list[Tensor],
    golden: tuple[Arrays, Arrays],
    *,
    version: str = "1",
    max_batch: int = 8,
    axes: dict[str, Axis] | None = None,
    opset: int = 18,
    changes: Mapping[str, object] | None = None,
    explanation: tuple[list[onnx.NodeProto], dict[str, NDArray[np.generic]], tuple[Tensor, ...]] | None = None,
    beside: Mapping[str, Beside] | None = None,
) -> Path:
    """Write the bundle and make it current; its folder. `changes` are made to its manifest, which may become wrong.

    `explanation` has the nodes, constants and outputs of the graph that explains it.
    """
    folder = models / name / version
    folder.mkdir(parents=True)
    archive = io.BytesIO()
    arrays = _golden(golden)
    for side, other in (beside or {}).items():
        arrays |= {f"{side}.{key}": value for key, value in _golden(other.golden).items()}
    np.savez(archive, **arrays)
    graph = _graph(nodes, constants, inputs, outputs, opset)
    files = {bundle.GRAPH: graph, bundle.GOLDEN: archive.getvalue(), bundle.CARD: b"# A toy\n"}
    if explanation:
        files["explanation.onnx"] = _graph(*explanation[:2], inputs, explanation[2])
    for side, other in (beside or {}).items():
        files[f"{side}.onnx"] = _graph(*other[:4])
    for file, content in files.items():
        (folder / file).write_bytes(content)
    graphs = {bundle.MAIN: Graph(file=bundle.GRAPH, inputs=inputs, outputs=outputs, max_batch=max_batch)}
    if explanation:
        graphs[bundle.EXPLANATION] = Graph(file="explanation.onnx", inputs=inputs, outputs=explanation[2], max_batch=16)
    for side, other in (beside or {}).items():
        graphs[side] = Graph(
            file=f"{side}.onnx", inputs=tuple(other.inputs), outputs=tuple(other.outputs), max_batch=max_batch
        )
    manifest = Manifest(
        name=name,
        version=version,
        family="classify",
        description="Arithmetic that a test can redo.",
        task=task,
        sha256={file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
        opset=opset,
        graphs=graphs,
        axes=axes or {},
        provenance=PROVENANCE,
        metrics=(Metric(name="accuracy", value=0.5, low=0.4, high=0.6, count=100),),
    )
    bundle.write_manifest(folder, manifest.model_copy(update=dict(changes or {})))
    bundle.write_current(models, name, version)
    return folder


def _graph(
    nodes: list[onnx.NodeProto],
    constants: dict[str, NDArray[np.generic]],
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    opset: int = 18,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "toy",
        [_value(tensor) for tensor in inputs],
        [_value(tensor) for tensor in outputs],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _value(tensor: Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(tensor.name, ONNX_TYPES[tensor.dtype], list(tensor.shape))


def _golden(arrays: tuple[Arrays, Arrays]) -> Arrays:
    inputs, outputs = arrays
    return {f"in.{key}": value for key, value in inputs.items()} | {f"out.{key}": a for key, a in outputs.items()}


PROVENANCE = Provenance(
    recipe="tests/toys.py",
    command="pytest",
    git_commit="0000000",
    seed=0,
    hyperparameters={},
    sources=(),
    libraries={},
    device="cpu",
    seconds=0,
)

"""Bundles of models of tables that other libraries trained, from the graphs that their converters write.

skl2onnx and onnxmltools name and shape things their own way: the input as the caller says, a label beside the
probabilities, sizes that are not known. What is written here is what the contract asks for.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from service import bundle
from service.bundle import (
    CARD,
    GOLDEN,
    GRAPH,
    MAIN,
    Bundle,
    Family,
    Graph,
    Manifest,
    Metric,
    Provenance,
    TabularPrediction,
    Tensor,
)
from service.bundle.signature import BATCH
from training.export.graph import ExportError
from training.export.parity import Predictor
from training.report import card


def write(
    model: onnx.ModelProto,
    *,
    models: Path,
    name: str,
    version: str,
    description: str,
    task: TabularPrediction,
    rows: NDArray[np.float32],
    metrics: tuple[Metric, ...],
    provenance: Provenance,
) -> Bundle:
    """Write the bundle and make it the current one. `rows` are some real ones, which become the golden inputs.

    Raises ExportError where the graph does not take the rows of the task or give what it needs.
    """
    graph = adapted(model, task)
    home = models / name
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home, prefix=".staged-") as staged:
        stage = Path(staged) / version
        stage.mkdir()
        onnx.save_model(graph, stage / GRAPH)
        inputs = {"row": rows}
        outputs = Predictor(stage / GRAPH)(inputs)
        golden = {"in.row": rows} | {f"out.{key}": array for key, array in outputs.items()}
        np.savez_compressed(stage / GOLDEN, allow_pickle=False, **golden)
        family: Family = "classify" if task.labels else "regress"
        manifest = Manifest(
            name=name,
            version=version,
            family=family,
            description=description,
            task=task,
            sha256={file: hashlib.sha256((stage / file).read_bytes()).hexdigest() for file in (GRAPH, GOLDEN)},
            opset=next(one.version for one in graph.opset_import if one.domain == ""),
            graphs={MAIN: Graph(file=GRAPH, inputs=_tensors(graph.graph.input), outputs=_tensors(graph.graph.output))},
            provenance=provenance,
            metrics=metrics,
        )
        bundle.write_manifest(stage, manifest)
        (stage / CARD).write_text(card.render(manifest, description, []), encoding="utf-8")
        shutil.move(stage, home / version)
    bundle.write_current(models, name, version)
    return Bundle(home / version)


def adapted(model: onnx.ModelProto, task: TabularPrediction) -> onnx.ModelProto:
    """The graph with `row` [batch, attributes] as its input, and the one output that the task needs."""
    graph = onnx.ModelProto()
    graph.CopyFrom(model)
    wanted, width = ("probabilities", len(task.labels)) if task.labels else ("values", len(task.quantities))
    if len(graph.graph.input) != 1:
        raise ExportError("the graph must take one input of all columns: convert the model with a single float tensor")
    given = [one for one in graph.graph.output if _is_floats(one)]
    if len(given) != 1:
        names = ", ".join(one.name for one in graph.graph.output)
        raise ExportError(
            f"the graph gives {names}: it must give one tensor of numbers; convert a classifier with zipmap=False"
        )
    _rename(graph.graph, {graph.graph.input[0].name: "row", given[0].name: wanted})
    del graph.graph.input[:], graph.graph.output[:]
    graph.graph.input.append(_declared("row", len(task.attributes)))
    graph.graph.output.append(_declared(wanted, width))
    _drop_unused(graph.graph, wanted)
    onnx.checker.check_model(graph, full_check=True)
    return graph


def _is_floats(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def _declared(name: str, width: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [BATCH, width])


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for node in graph.node:
        for side in (node.input, node.output):
            side[:] = [names.get(one, one) for one in side]


def _drop_unused(graph: onnx.GraphProto, wanted: str) -> None:
    """Remove the nodes that only an output that is gone needed."""
    needed, kept = {wanted}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    used = [one for one in graph.initializer if one.name in needed]
    del graph.initializer[:], graph.value_info[:]
    graph.initializer.extend(used)


def _tensors(values: Any) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(
            name=one.name,
            dtype="float32",
            shape=tuple(side.dim_param or side.dim_value for side in one.type.tensor_type.shape.dim),
        )
        for one in values
    )

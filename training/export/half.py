"""A graph whose dear part computes in half precision.

Only what lies between the first and the last convolution, matrix product or recurrence does: a slice in Hounsfield
units or a probability would lose by its short mantissa, and costs nothing. Inputs and outputs keep their types.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from training.export.graph import ExportError

DEAR = {"Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU", "RNN"}
AS_IT_IS = {"Resize": (1, 2)}  # inputs that have to be what they are
SHORT = "/fp16"  # what the half of a value is called


def halved(path: Path) -> ModelProto:
    """Raises ExportError where there is nothing to gain, or control flow in the way."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    graph = model.graph
    inside = _between(graph)
    if not inside:
        raise ExportError(f"{path} has no convolution or product: half precision would change nothing")
    if flow := next((node.op_type for node in inside if _graphs_of(node)), None):
        raise ExportError(f"{path} has control flow ({flow}) between its convolutions: it stays as it is")
    _rewrite(graph, {id(node) for node in inside}, _floats(graph))
    del graph.value_info[:]  # which tells of the types before
    onnx.checker.check_model(model)
    return model


def _between(graph: GraphProto) -> list[NodeProto]:
    """The nodes that both come from and lead to a dear one, or are one."""
    made = {name: node for node in graph.node for name in node.output}
    used: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            used.setdefault(name, []).append(node)

    def followed(step: Callable[[NodeProto], Iterable[NodeProto]]) -> set[int]:
        seen, waiting = set[int](), [node for node in graph.node if node.op_type in DEAR]
        while waiting:
            if id(node := waiting.pop()) not in seen:
                seen.add(id(node))
                waiting += step(node)
        return seen

    after = followed(lambda node: [one for name in node.output for one in used.get(name, [])])
    before = followed(lambda node: [made[name] for name in node.input if name in made])
    return [node for node in graph.node if id(node) in after & before]


def _floats(graph: GraphProto) -> set[str]:
    """The values in single precision."""
    told = (*graph.input, *graph.output, *graph.value_info)
    named = {one.name for one in told if one.type.tensor_type.elem_type == TensorProto.FLOAT}
    return named | {one.name for one in graph.initializer if one.data_type == TensorProto.FLOAT}


def _rewrite(graph: GraphProto, inside: set[int], floats: set[str]) -> None:
    """Nodes inside work on the halves of values, which are cast where they come from or go to the outside."""
    outside = _used_outside(graph, inside)
    weights = {one.name: one for one in graph.initializer}
    nodes, halves = list[NodeProto](), set[str]()
    for node in graph.node:
        if id(node) not in inside:
            nodes.append(node)
            continue
        for place in _halved_inputs(node, floats):
            name = node.input[place]
            if name not in halves and name in weights:
                graph.initializer.append(_half(weights[name]))
            elif name not in halves:
                nodes.append(_cast(name, name + SHORT, TensorProto.FLOAT16))
            halves.add(name)
            node.input[place] = name + SHORT
        given = [name for name in node.output if name in floats]
        _give_halves(node, given)
        halves |= set(given)
        nodes += [node, *(_cast(name + SHORT, name, TensorProto.FLOAT) for name in given if name in outside)]
    _replace(graph, nodes, [one for one in graph.initializer if one.name not in halves or one.name in outside])


def _used_outside(graph: GraphProto, inside: set[int]) -> set[str]:
    """The values that are needed as they are."""
    names = {one.name for one in graph.output}
    for node in graph.node:
        names |= set(_inner(node))
        names |= {
            name
            for place, name in enumerate(node.input)
            if id(node) not in inside or place in AS_IT_IS.get(node.op_type, ())
        }
    return names


def _halved_inputs(node: NodeProto, floats: set[str]) -> list[int]:
    kept = AS_IT_IS.get(node.op_type, ())
    return [place for place, name in enumerate(node.input) if name in floats and place not in kept]


def _give_halves(node: NodeProto, given: list[str]) -> None:
    for place, name in enumerate(node.output):
        if name in given:
            node.output[place] = name + SHORT
    for attribute in node.attribute:
        if node.op_type == "Cast" and attribute.name == "to" and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16


def _cast(name: str, to: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [name], [to], to=kind)


def _half(weights: TensorProto) -> TensorProto:
    with np.errstate(over="ignore"):  # an evaluation finds what is no number any more
        return numpy_helper.from_array(numpy_helper.to_array(weights).astype(np.float16), weights.name + SHORT)


def _replace(graph: GraphProto, nodes: list[NodeProto], weights: list[TensorProto]) -> None:
    kept = [type(node).FromString(node.SerializeToString()) for node in nodes]  # clearing the list clears its members
    tensors = [TensorProto.FromString(one.SerializeToString()) for one in weights]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(tensors)


def _graphs_of(node: NodeProto) -> list[GraphProto]:
    return [one.g for one in node.attribute if one.HasField("g")]


def _inner(node: NodeProto) -> Iterator[str]:
    """The values that the graphs inside a node take, those from outside among them."""
    for graph in _graphs_of(node):
        for inner in graph.node:
            yield from inner.input
            yield from _inner(inner)
        yield from (one.name for one in graph.output)

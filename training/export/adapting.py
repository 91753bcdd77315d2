"""What exporters leave in ONNX files that no service of tensors takes, done away with."""

import onnx
from onnx import TensorProto, helper, shape_inference

WEIGHTS_APART = 4  # the version of the format from which weights need not be inputs


def with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Outputs that say nothing of their axes say what follows from the graph; weights need not be inputs."""
    model.ir_version = max(model.ir_version, WEIGHTS_APART)
    weights = {one.name for one in model.graph.initializer}
    given = [one for one in model.graph.input if one.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(given)
    if all(_has_shape(one) for one in model.graph.output):
        return model
    return shape_inference.infer_shapes(model)


def as_tensors(model: onnx.ModelProto) -> onnx.ModelProto:
    """Numbers of half the size come and go as float32, and probabilities as numbers, not as a dictionary for each row.

    The last is what converters from scikit-learn make unless they are told `zipmap=False`.
    """
    graph = model.graph
    for node in [one for one in graph.node if one.op_type == "ZipMap"]:
        _unzip(graph, node)
    for value in graph.input:
        if _is_half(value):
            _renamed(graph, value.name, f"{value.name}-half", given=True)
            graph.node.insert(0, helper.make_node("Cast", [value.name], [f"{value.name}-half"], to=TensorProto.FLOAT16))
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    for value in graph.output:
        if _is_half(value):
            _renamed(graph, value.name, f"{value.name}-half", given=False)
            graph.node.append(helper.make_node("Cast", [f"{value.name}-half"], [value.name], to=TensorProto.FLOAT))
            value.type.tensor_type.elem_type = TensorProto.FLOAT
    return model


def _has_shape(value: onnx.ValueInfoProto) -> bool:
    return not value.type.HasField("tensor_type") or value.type.tensor_type.HasField("shape")


def _is_half(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type == TensorProto.FLOAT16)


def _unzip(graph: onnx.GraphProto, node: onnx.NodeProto) -> None:
    """The tensor that the node makes dictionaries of takes their place, under their name."""
    names = next((one for one in node.attribute if one.name.startswith("classlabels")), None)
    classes = len(names.strings or names.ints) if names else None
    for value in graph.output:
        if value.name == node.output[0]:
            shape = [None, classes]
            value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, shape))
    node.CopyFrom(helper.make_node("Identity", [node.input[0]], [node.output[0]]))


def _renamed(graph: onnx.GraphProto, name: str, new: str, given: bool) -> None:
    """Call a tensor otherwise wherever nodes take it; one that a node makes also there."""
    for node in graph.node:
        sides = [node.input] if given else [node.input, node.output]
        for side in sides:
            side[:] = [new if one == name else one for one in side]

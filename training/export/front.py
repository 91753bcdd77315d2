"""The graph in front of a module's: it makes tensors that PyTorch has of what it has none of, such as texts."""

from typing import Any

import onnx
import onnxruntime
from onnx import helper

from service.bundle import Arrays, Tensor
from training.recipe import Recipe


class Front:
    """What a recipe puts in front of a module, or nothing: the module's inputs are then those of the recipe."""

    def __init__(self, recipe: Recipe[Any], module: Any) -> None:
        self.graph = recipe.front(module) if recipe.front else None
        self.inputs = tuple(map(_declared, self.graph.graph.output)) if self.graph else recipe.inputs

    def __call__(self, inputs: Arrays) -> Arrays:
        """What the module takes, in its order, of what the graph takes."""
        if self.graph is None:
            return inputs
        session = onnxruntime.InferenceSession(self.graph.SerializeToString(), providers=["CPUExecutionProvider"])
        names = [tensor.name for tensor in self.inputs]
        return dict(zip(names, session.run(names, inputs), strict=True))

    def joined(self, body: onnx.ModelProto) -> onnx.ModelProto:
        """Both as one graph."""
        if self.graph is None:
            return body
        self.graph.ir_version = body.ir_version
        return onnx.compose.merge_models(self.graph, body, [(tensor.name, tensor.name) for tensor in self.inputs])


def _declared(value: onnx.ValueInfoProto) -> Tensor:
    kind = value.type.tensor_type
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    shape = [axis.dim_param or axis.dim_value for axis in kind.shape.dim]
    return Tensor.model_validate({"name": value.name, "dtype": dtype, "shape": shape})

"""The graph of a trained module, under the names and axes that its recipe declares."""

import logging
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from onnxscript import optimizer
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from service.bundle import Arrays, Tensor
from training.export.front import Front
from training.recipe import Recipe

OPSET = 20
IR_VERSION = 10

logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that it could use and does not need


class ExportError(Exception):
    """A graph that is not what the recipe declares, or does not compute what PyTorch computes."""


def write_graph(recipe: Recipe[Any], module: nn.Module, examples: Arrays, path: Path) -> None:
    """Export `module` under the declared names and axes, as one file that tells nothing of this machine."""
    front, read_again = Front(recipe, module), _is_read_again(recipe, module)
    given = front({tensor.name: first_rows(examples[tensor.name], 3) for tensor in recipe.inputs})
    arguments = tuple(torch.from_numpy(given[tensor.name]) for tensor in front.inputs)
    axes = tuple({i: axis for i, axis in enumerate(t.shape) if isinstance(axis, str)} for t in front.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(
            module,
            arguments,
            dynamo=True,
            opset_version=OPSET,
            input_names=[tensor.name for tensor in front.inputs],
            output_names=[tensor.name for tensor in recipe.outputs],
            dynamic_shapes=axes,
            verbose=False,
            optimize=not read_again,
        )
    assert program is not None
    if read_again:
        optimizer.inline(program.model)
        optimizer.fold_constants(program.model)
    RemoveUnusedNodesPass()(program.model)  # constants that the exporter leaves, of which ONNX Runtime warns
    graph = front.joined(program.model_proto)
    for declared, value in zip(recipe.outputs, graph.graph.output, strict=True):
        _name_axes(declared, value)
    for declared, value in zip((*recipe.inputs, *recipe.outputs), _signature(graph), strict=True):
        _check_declared(declared, value)
    _strip(graph)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save_model(graph, path)


def _is_read_again(recipe: Recipe[Any], module: nn.Module) -> bool:
    """Whether a training or an export goes on from normalisations in the graph, which the optimiser would fold away."""
    return bool(recipe.warm or recipe.restore) and any(isinstance(layer, _BatchNorm) for layer in module.modules())


def first_rows(array: Any, count: int) -> Any:
    """The first `count` rows, from the start again where there are fewer."""
    return np.ascontiguousarray(array[np.arange(count) % len(array)])


def _signature(graph: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    return [*graph.graph.input, *graph.graph.output]


def _name_axes(declared: Tensor, value: onnx.ValueInfoProto) -> None:
    """Give an output's dynamic axes their declared names, where the exporter wrote an expression."""
    for axis, dimension in zip(declared.shape, value.type.tensor_type.shape.dim, strict=False):
        if isinstance(axis, str) and not dimension.HasField("dim_value"):
            dimension.dim_param = axis


def _check_declared(declared: Tensor, value: onnx.ValueInfoProto) -> None:
    """Raise ExportError when the graph's input or output is not the one the recipe declares."""
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name.replace("object", "string")
    shape = tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim)
    if (value.name, dtype, shape) != (declared.name, declared.dtype, declared.shape):
        raise ExportError(
            f"the graph has {value.name} {dtype} {list(shape)}, "
            f"the recipe declares {declared.name} {declared.dtype} {list(declared.shape)}"
        )


def _strip(message: Any) -> None:
    """Remove what the exporter notes for debugging - stack traces with the paths of this machine - at every level."""
    for field, value in message.ListFields():
        if field.name in ("doc_string", "metadata_props"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in value if isinstance(value, Iterable) else (value,):
                _strip(part)

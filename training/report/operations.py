"""What ONNX's operators of convolutional networks compute, in PyTorch, which knows their gradients."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from onnx import helper, numpy_helper
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

Values = Sequence[Any]  # Tensors; None where an optional one is left out
Options = dict[str, Any]
MODES = {b"nearest": "nearest", b"linear": "bilinear", b"cubic": "bicubic"}


def _cast(values: Values, options: Options) -> Tensor:
    dtype = helper.tensor_dtype_to_np_dtype(options["to"])
    return values[0].to(getattr(torch, dtype.name))  # type: ignore[no-any-return]


def _constant(_: Values, options: Options) -> Tensor:
    if "value_ints" in options:
        return torch.tensor(options["value_ints"])
    return torch.from_numpy(numpy_helper.to_array(options["value"]).copy())


def _convolved(values: Values, options: Options) -> Tensor:
    image, weight, *bias = values
    top, left, bottom, right = options.get("pads", [0, 0, 0, 0])
    return F.conv2d(
        F.pad(image, (left, right, top, bottom)),
        weight,
        bias[0] if bias else None,
        tuple(options.get("strides", (1, 1))),
        dilation=tuple(options.get("dilations", (1, 1))),
        groups=options.get("group", 1),
    )


def _expanded(values: Values, _: Options) -> Tensor:
    array, shape = values
    return array * torch.ones(shape.tolist(), dtype=array.dtype)  # type: ignore[no-any-return]


def _gathered(values: Values, options: Options) -> Tensor:
    array, index = values
    axis = options.get("axis", 0)
    found = array.index_select(axis, index.reshape(-1) % array.shape[axis])
    return found.unflatten(axis, index.shape) if index.ndim else found.squeeze(axis)  # type: ignore[no-any-return]


def _normalised(values: Values, options: Options) -> Tensor:
    image, scale, shift, mean, variance = values
    return F.batch_norm(image, mean, variance, scale, shift, eps=options.get("epsilon", 1e-5))


def _averaged(values: Values, options: Options) -> Tensor:
    whole = bool(options.get("count_include_pad", 0))
    return F.avg_pool2d(values[0], *_window(options), count_include_pad=whole)


def _window(options: Options) -> tuple[list[int], list[int], list[int]]:
    return options["kernel_shape"], options.get("strides", [1, 1]), options.get("pads", [0, 0])[:2]


def _resized(values: Values, options: Options) -> Tensor:
    image, _, scales, sizes = (*values, None)[:4]
    mode = MODES[options.get("mode", b"nearest")]
    if sizes is None:
        sizes = (scales * torch.tensor(image.shape)).long()
    return F.interpolate(image, sizes[2:].tolist(), mode=mode, align_corners=None if mode == "nearest" else False)


def _sliced(values: Values, _: Options) -> Tensor:
    array, starts, ends, axes, steps = (*values, None, None)[:5]
    starts = starts.tolist()
    places = range(len(starts)) if axes is None else axes.tolist()
    strides = [1] * len(starts) if steps is None else steps.tolist()
    for axis, start, end, step in zip(places, starts, ends.tolist(), strides, strict=True):
        chosen = range(*slice(start, end, step).indices(array.shape[axis]))
        array = array.index_select(axis, torch.tensor(chosen, dtype=torch.int64))
    return array  # type: ignore[no-any-return]


def _split(values: Values, options: Options) -> tuple[Tensor, ...]:
    array, axis = values[0], options.get("axis", 0)
    if len(values) > 1:
        return array.split(values[1].tolist(), axis)  # type: ignore[no-any-return]
    return array.split(-(-array.shape[axis] // options["num_outputs"]), axis)  # type: ignore[no-any-return]


def _unsqueezed(values: Values, _: Options) -> Tensor:
    image, axes = values
    for axis in sorted(axes.reshape(-1).tolist()):
        image = image.unsqueeze(axis)
    return image  # type: ignore[no-any-return]


OPERATIONS: dict[str, Callable[[Values, Options], Tensor | tuple[Tensor, ...]]] = {
    "Add": lambda values, _: values[0] + values[1],
    "AveragePool": _averaged,
    "BatchNormalization": _normalised,
    "Cast": _cast,
    "Clip": lambda values, _: torch.clamp(*values),
    "Concat": lambda values, options: torch.cat(list(values), options["axis"]),
    "Constant": _constant,
    "Conv": _convolved,
    "Div": lambda values, _: values[0] / values[1],
    "Expand": _expanded,
    "Gather": _gathered,
    "MaxPool": lambda values, options: F.max_pool2d(values[0], *_window(options)),
    "Mul": lambda values, _: values[0] * values[1],
    "Relu": lambda values, _: values[0].relu(),
    "Resize": _resized,
    "Shape": lambda values, options: torch.tensor(values[0].shape[options.get("start", 0) : options.get("end")]),
    "Sigmoid": lambda values, _: values[0].sigmoid(),
    "Slice": _sliced,
    "Split": _split,
    "Sub": lambda values, _: values[0] - values[1],
    "Tanh": lambda values, _: values[0].tanh(),
    "Tile": lambda values, _: values[0].repeat(values[1].tolist()),
    "Unsqueeze": _unsqueezed,
}
"""By the operator's name: of its inputs and attributes, what it gives; several outputs as a tuple."""

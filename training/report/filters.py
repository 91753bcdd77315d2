"""Pictures that a convolutional network's filters answer most to, found by climbing their gradient.

Erhan, Bengio, Courville and Vincent, Visualizing higher-layer features of a deep network, 2009. They are drawn from the
committed graph, which is read into PyTorch for that: gradients are nothing that ONNX Runtime gives.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from service.bundle import Bundle
from training.export.graph import ExportError
from training.report import pictures

PICTURE = "filter-maximising-pictures.png"
SHOWN, COLUMNS = 24, 12  # filters
STEPS, RATE = 120, 4.0  # of the climb, in grey levels
SHRINK = 0.01  # of what no filter wants, with every step

# F filters, H height, W width


def draw(found: Bundle) -> Path:
    """Write the picture of the last layer's filters into the bundle's folder; where it is.

    Raises ExportError where the graph has no convolution, or one that cannot be followed back to grey pictures.
    """
    graph, tensor = onnx.load(found.graph), found.manifest.inputs[0]
    layers = [node for node in graph.graph.node if node.op_type == "Conv"]
    if not layers or len(tensor.shape) != 3:
        raise ExportError(f"{found.manifest.name} has no convolutions over grey pictures, whose filters could be shown")
    shape = int(tensor.shape[1]), int(tensor.shape[2])
    sheet = climbed(part(graph, tensor.name, layers[-1].output[0]), shape)
    path = found.path / PICTURE
    path.write_bytes(pictures.image_sheet(sheet, COLUMNS))
    return path


def climbed(answers: Callable[[Tensor], Tensor], shape: tuple[int, int]) -> NDArray[np.float32]:
    """For each filter a picture [F, H, W] from 0 to 255 that it answers most to, wherever in the picture."""
    with torch.no_grad():
        count = min(SHOWN, answers(torch.zeros(1, *shape)).shape[1])
    start = np.random.default_rng(0).normal(128, 8, (count, *shape)).astype(np.float32)
    image_FHW, own = torch.from_numpy(start).requires_grad_(), torch.arange(count)
    optimizer = torch.optim.Adam([image_FHW], lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (-answers(image_FHW)[own, own].mean((1, 2)).sum()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            image_FHW.lerp_(torch.full_like(image_FHW, 128), SHRINK).clamp_(0, 255)
    return image_FHW.detach().numpy()


def part(graph: onnx.ModelProto, start: str, end: str) -> Callable[[Tensor], Tensor]:
    """What the graph computes of one input up to a tensor within. Raises ExportError at what cannot be followed."""
    cut = onnx.utils.Extractor(graph).extract_model([start], [end]).graph
    known = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in cut.initializer}
    if missing := {node.op_type for node in cut.node} - OPERATIONS.keys():
        raise ExportError(f"the graph computes {', '.join(sorted(missing))}, which has no gradient here")

    def compute(given: Tensor) -> Tensor:
        values = {**known, start: given}
        for node in cut.node:
            options = {one.name: helper.get_attribute_value(one) for one in node.attribute}
            values[node.output[0]] = OPERATIONS[node.op_type]([values[name] for name in node.input], options)
        return values[end]

    return compute


Options = dict[str, Any]


def _convolved(values: list[Tensor], options: Options) -> Tensor:
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


def _normalised(values: list[Tensor], options: Options) -> Tensor:
    image, scale, shift, mean, variance = values
    return F.batch_norm(image, mean, variance, scale, shift, eps=options.get("epsilon", 1e-5))


def _pooled(pool: Callable[..., Tensor]) -> Callable[[list[Tensor], Options], Tensor]:
    def pooled(values: list[Tensor], options: Options) -> Tensor:
        return pool(values[0], options["kernel_shape"], options.get("strides", (1, 1)), options.get("pads", [0, 0])[:2])

    return pooled


def _unsqueezed(values: list[Tensor], _: Options) -> Tensor:
    image, axes = values
    for axis in sorted(axes.reshape(-1).tolist()):
        image = image.unsqueeze(axis)
    return image


OPERATIONS: dict[str, Callable[[list[Tensor], Options], Tensor]] = {
    "Add": lambda values, _: values[0] + values[1],
    "AveragePool": _pooled(F.avg_pool2d),
    "BatchNormalization": _normalised,
    "Concat": lambda values, options: torch.cat(values, options["axis"]),
    "Conv": _convolved,
    "Div": lambda values, _: values[0] / values[1],
    "MaxPool": _pooled(F.max_pool2d),
    "Mul": lambda values, _: values[0] * values[1],
    "Relu": lambda values, _: values[0].relu(),
    "Sigmoid": lambda values, _: values[0].sigmoid(),
    "Sub": lambda values, _: values[0] - values[1],
    "Tanh": lambda values, _: values[0].tanh(),
    "Unsqueeze": _unsqueezed,
}

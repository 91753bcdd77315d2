"""Pictures that a convolutional network's filters answer most to, found by climbing their gradient.

Erhan, Bengio, Courville and Vincent, Visualizing higher-layer features of a deep network, 2009. They are drawn from the
committed graph, which is read into PyTorch for that: gradients are nothing that ONNX Runtime gives.
"""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from PIL import Image
from torch import Tensor

from service.bundle import Bundle
from training.export.graph import ExportError
from training.report.operations import OPERATIONS

PICTURE = "filter-maximising-pictures.png"
KINDS = "digit-classification", "image-classification", "clip-classification"
SHOWN, COLUMNS = 24, 12  # filters
STEPS, RATE = 120, 0.016  # of the climb, in shares of the range
SHRINK = 0.01  # of what no filter wants, with every step
CELL, GAP, GREYS = 56, 4, 16  # of the sheet: pixels at least, and levels

# F filters, T frames, H height, W width


def has_filters(found: Bundle) -> bool:
    """Whether it is a classifier of pictures or clips with a convolution."""
    return found.manifest.task.kind in KINDS and bool(_convolutions(onnx.load(found.graph)))


def draw(found: Bundle) -> Path:
    """Write the picture of the last layer's filters into the bundle's folder; where it is.

    Raises ExportError where there is no such layer, or one that cannot be followed back to what goes in.
    """
    if not has_filters(found):
        raise ExportError(f"{found.manifest.name} has no convolutions over pictures, whose filters could be shown")
    graph, tensor = onnx.load(found.graph), found.manifest.inputs[0]
    shape, (low, high) = tuple(int(side) for side in tensor.shape[1:]), tensor.range or (0, 255)
    answers = part(graph, tensor.name, _convolutions(graph)[-1].output[0])
    pictures = climbed(lambda share: answers(low + (high - low) * share), shape)
    path, pictures_FTHW = found.path / PICTURE, pictures.reshape(len(pictures), -1, *shape[-2:])
    path.write_bytes(sheet(pictures_FTHW[: SHOWN // pictures_FTHW.shape[1]]))
    return path


def _convolutions(graph: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in graph.graph.node if node.op_type == "Conv"]


def climbed(answers: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """For each filter a picture [F, ...] from 0 to 1 that it answers most to, wherever in the picture."""
    with torch.no_grad():
        count = min(SHOWN, answers(torch.zeros(1, *shape)).shape[1])
    start = np.random.default_rng(0).normal(0.5, 0.03, (count, *shape)).astype(np.float32)
    image, own = torch.from_numpy(start).requires_grad_(), torch.arange(count)
    optimizer = torch.optim.Adam([image], lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (-answers(image)[own, own].mean((1, 2)).sum()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            image.lerp_(torch.full_like(image, 0.5), SHRINK).clamp_(0, 1)
    return image.detach().numpy()


def sheet(pictures_FTHW: NDArray[np.float32]) -> bytes:
    """A PNG of a few grey levels: the pictures in rows, the frames of a clip side by side without a gap."""
    count, frames, height, width = pictures_FTHW.shape
    times, columns = -(-CELL // height), COLUMNS // frames
    levels = np.rint(pictures_FTHW * (GREYS - 1)).astype(np.uint8).repeat(times, 2).repeat(times, 3)
    side, across = times * height + GAP, times * width * frames + GAP
    page = np.full((-(-count // columns) * side - GAP, columns * across - GAP), GREYS - 1, np.uint8)
    for place, picture_THW in enumerate(levels):
        top, left = place // columns * side, place % columns * across
        page[top : top + side - GAP, left : left + across - GAP] = np.concatenate(picture_THW, 1)
    drawn, written = Image.fromarray(page, "P"), io.BytesIO()
    drawn.putpalette(np.linspace(0, 255, GREYS).round().astype(np.uint8).repeat(3).tobytes())
    drawn.save(written, "PNG", optimize=True, bits=4)
    return written.getvalue()


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
            made = OPERATIONS[node.op_type]([values[name] if name else None for name in node.input], options)
            values |= zip(node.output, made if isinstance(made, tuple) else (made,), strict=True)
        return values[end]

    return compute

"""The weights of a served module, read out of its graph again."""

from pathlib import Path
from typing import Any, TypeVar

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from training.run import Run, RunError

N = TypeVar("N", bound=nn.Module)


def load_weights(network: nn.Module, graph: Path, prefix: str) -> None:
    """Give `network` the weights that the graph has under `prefix`, the network's name in the module exported.

    Raises RuntimeError when they are not those of such a network.
    """
    counts = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    network.load_state_dict(weights_in(graph, prefix) | counts)


def begin(run: Run[Any], network: N, prefix: str = "network.") -> N:
    """The network, with the weights of the bundle that the training begins with, where it begins with one.

    Raises RunError where that bundle is of another network.
    """
    if run.start:
        try:
            load_weights(network, run.start.graph, prefix)
        except RuntimeError as error:
            other = f"the network of version {run.start.manifest.version} is another than the recipe's"
            raise RunError(f"{other}: leave --from out") from error
    return network


def weights_in(graph: Path, prefix: str = "") -> dict[str, Tensor]:
    """What the graph keeps under names that begin with `prefix`, by the rest of the name: constants, too."""
    found = onnx.load(graph).graph
    arrays = {one.name: numpy_helper.to_array(one) for one in found.initializer}
    for node in found.node:  # the exporter keeps equal tensors once, such as what two normalisations add to one sum
        if node.op_type == "BatchNormalization" and node.input[2] in arrays:
            layer = node.input[1].removesuffix("weight")
            arrays.setdefault(f"{layer}bias", arrays[node.input[2]])
    return {
        name.removeprefix(prefix): torch.from_numpy(array.copy())
        for name, array in arrays.items()
        if name.startswith(prefix)
    }

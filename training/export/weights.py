"""The weights of a served module, read out of its graph again."""

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import nn


def load_weights(network: nn.Module, graph: Path, prefix: str) -> None:
    """Give `network` the weights that the graph has under `prefix`, the network's name in the module exported.

    Raises RuntimeError when they are not those of such a network.
    """
    weights = {
        one.name.removeprefix(prefix): torch.from_numpy(numpy_helper.to_array(one).copy())
        for one in onnx.load(graph).graph.initializer
        if one.name.startswith(prefix)
    }
    counts = {name: value for name, value in network.state_dict().items() if name.endswith("num_batches_tracked")}
    network.load_state_dict(weights | counts)

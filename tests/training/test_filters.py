"""Pictures that filters answer most to, and the graphs that they are drawn from."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from service.bundle import Bundle
from tests import toys
from training.data import mnist
from training.export.graph import ExportError
from training.export.parity import Predictor
from training.export.store import committed
from training.report import filters


@pytest.mark.parametrize("name", ["convnet", "lenet5"])
def test_what_pytorch_computes_of_a_graph_is_what_onnx_runtime_does(name: str) -> None:
    found = committed(name)
    graph = onnx.load(found.graph)
    last = [node.output[0] for node in graph.graph.node if node.op_type == "Conv"][-1]
    shown = mnist().test.pixels[:3].astype(np.float32)
    followed = filters.part(graph, "image", last)(torch.from_numpy(shown)).numpy()
    cut = onnx.utils.Extractor(graph).extract_model(["image"], [last]).SerializeToString()
    np.testing.assert_allclose(followed, Predictor(cut)({"image": shown})[last], rtol=1e-3, atol=1e-4)


def test_a_filter_that_looks_for_edges_gets_stripes() -> None:
    """The difference of a pixel and the one to its left, rectified: light follows dark all over the picture."""
    weight = torch.tensor([[[[-1.0, 1.0]]]])

    def answers(image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(image[:, None], weight).relu()

    (picture,) = filters.climbed(answers, (8, 8))
    steps = np.diff(picture, axis=1)
    assert np.abs(steps).mean() > 100


def test_a_model_without_convolutions_is_named(tmp_path: Path) -> None:

    with pytest.raises(ExportError, match="toy-negatives has no convolutions"):
        filters.draw(Bundle(toys.negatives(tmp_path)))

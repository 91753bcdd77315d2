"""Pictures that filters answer most to, and the graphs that they are drawn from."""

import io
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from service.bundle import Bundle, names
from tests import toys
from training.export.graph import ExportError
from training.export.parity import Predictor
from training.export.store import committed, models_directory
from training.report import filters


def convolutional() -> list[str]:
    every = names(models_directory())
    return [name for name in every if filters.has_filters(committed(name))]


@pytest.mark.parametrize("name", convolutional())
def test_what_pytorch_computes_of_a_graph_is_what_onnx_runtime_does(name: str) -> None:
    found = committed(name)
    (tensor,), graph = found.manifest.inputs, onnx.load(found.graph)
    last = [node.output[0] for node in graph.graph.node if node.op_type == "Conv"][-1]
    shown = found.golden()[0][tensor.name][:2]
    followed = filters.part(graph, tensor.name, last)(torch.from_numpy(shown)).numpy()
    cut = onnx.utils.Extractor(graph).extract_model([tensor.name], [last]).SerializeToString()
    np.testing.assert_allclose(followed, Predictor(cut)({tensor.name: shown})[last], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", convolutional())
def test_the_card_of_every_convolutional_classifier_shows_its_filters(name: str) -> None:
    """Where it does not: python -m training filters NAME."""
    found = committed(name)
    assert f"]({filters.PICTURE})" in found.card
    drawn = found.path / filters.PICTURE
    assert drawn.stat().st_size < 2**14
    levels = np.asarray(Image.open(drawn).convert("L"), np.float32)
    assert levels.std() > 20


def test_a_filter_that_looks_for_edges_gets_stripes() -> None:
    """The difference of a pixel and the one to its left, rectified: light follows dark all over the picture."""
    weight = torch.tensor([[[[-1.0, 1.0]]]])

    def answers(image: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.conv2d(image[:, None], weight).relu()

    (picture,) = filters.climbed(answers, (8, 8))
    steps = np.diff(picture, axis=1)
    assert np.abs(steps).mean() > 0.4


def test_a_sheet_shows_the_frames_of_a_clip_side_by_side() -> None:
    clips = np.zeros((2, 3, 28, 28), np.float32)
    clips[1, 2] = 1
    drawn = np.asarray(Image.open(io.BytesIO(filters.sheet(clips))).convert("L"))
    side, frames = 56, 3 * 56
    assert not drawn[:side, :frames].any()
    second = drawn[:side, frames + filters.GAP :][:, :frames]
    assert not second[:, : 2 * side].any()
    assert (second[:, 2 * side :] == 255).all()


def test_a_model_without_convolutions_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="toy-negatives has no convolutions"):
        filters.draw(Bundle(toys.negatives(tmp_path)))

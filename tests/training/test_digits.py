"""The digits recipe: what a reader is unsure of it looks at again, in PyTorch and in the graph alike."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from training import recipe
from training.data import mnist
from training.export.graph import write_graph
from training.export.parity import Predictor
from training.kinds import classification
from training.recipes.classify.digits import STUDENT, SURE, Hyper, Network, Reader, views


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.from_numpy(mnist().train.pixels[:16]).float()


@pytest.fixture(scope="module")
def reader(images: Tensor) -> Reader:
    """Of an untrained network, whose scores are spread until it is sure of half of the images."""
    torch.manual_seed(1)
    network = Network(STUDENT, dropout=0.0).eval()
    with torch.no_grad():
        scores = network(images)
    spread = next(t for t in torch.logspace(0, -6, 5000) if _sure(scores, t).sum() >= len(images) // 2)
    return Reader(classification.Served(network, float(spread)), torch.tensor(0.0), views(Hyper())).eval()


def _sure(scores: Tensor, temperature: Tensor) -> Tensor:
    return F.softmax(scores / temperature, 1).amax(1) >= SURE


@torch.no_grad()
def test_only_what_it_is_unsure_of_is_looked_at_again(reader: Reader, images: Tensor) -> None:
    reader, images = copy.deepcopy(reader).double(), images.double()
    first = F.softmax(reader.look.network(images) / reader.look.temperature, 1)
    sure = first.amax(1) >= SURE

    answered, _ = reader(images)

    assert 0 < sure.sum() < len(images)
    assert torch.equal(answered[sure], first[sure])
    seen = reader.look.views(images[~sure])
    again = torch.stack([F.softmax(reader.look.network(rows) / reader.look.temperature, 1).mean(0) for rows in seen])
    assert torch.allclose(answered[~sure], again, atol=1e-5)
    assert (answered[~sure] != first[~sure]).any(1).all()


@torch.no_grad()
def test_pictures_are_read_alike_whatever_their_company(reader: Reader, images: Tensor, tmp_path: Path) -> None:
    known = recipe.load("digits")
    write_graph(known, reader, {"image": images.numpy()}, tmp_path / "model.onnx")
    predict = Predictor(tmp_path / "model.onnx")

    together = predict({"image": images.numpy()})["probabilities"]
    alone = [predict({"image": row[None].numpy()})["probabilities"] for row in images]

    assert torch.allclose(torch.from_numpy(together), reader(images)[0], atol=1e-4)
    assert torch.allclose(torch.cat([torch.from_numpy(row) for row in alone]), reader(images)[0], atol=1e-4)


def test_views_are_those_of_bilinear_sampling(reader: Reader, images: Tensor) -> None:
    deviations = torch.cat([torch.zeros(6, 1), torch.eye(6), -torch.eye(6)], 1)
    grid = views(Hyper()).grid(deviations, 28, 28)

    seen = reader.look.views(images)

    assert torch.allclose(seen[:, 0], images, atol=1e-2)
    for view, one in zip(seen.unbind(1), grid, strict=True):
        sampled = F.grid_sample(images[:, None], one.expand(len(images), -1, -1, -1), align_corners=False)
        assert torch.allclose(view, sampled[:, 0], atol=1e-2)

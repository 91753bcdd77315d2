"""The digits recipe: what a reader is unsure of it looks at again, in PyTorch and in its two graphs alike."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from training import recipe
from training.data import mnist
from training.export.graph import write_graph
from training.export.parity import Predictor
from training.export.sharing import share_weights
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
def test_a_second_look_is_the_mean_over_views(reader: Reader, images: Tensor) -> None:
    seen = reader.look.views(images)
    again = torch.stack([F.softmax(reader.look.network(rows) / reader.look.temperature, 1).mean(0) for rows in seen])
    assert torch.allclose(classification.SecondLook(reader.look)(images), again, atol=1e-5)


@torch.no_grad()
def test_only_what_it_is_unsure_of_is_looked_at_again_whatever_its_company(
    reader: Reader, images: Tensor, tmp_path: Path
) -> None:
    known, examples = recipe.load("digits"), {"image": images.numpy()}
    assert known.cascade
    side = known.graphs[known.cascade.graph]
    main, second = tmp_path / "model.onnx", tmp_path / f"{known.cascade.graph}.onnx"
    write_graph(known, reader, examples, main)
    write_graph(dataclasses.replace(known, outputs=side.outputs), side.of(reader).eval(), examples, second)
    share_weights(second, main)
    assert second.stat().st_size < main.stat().st_size / 4
    first, again = reader(images)[0], classification.SecondLook(reader.look)(images)
    sure = first.amax(1, keepdim=True) >= SURE
    assert 0 < sure.sum() < len(images)

    predict = Predictor(main, cascade=known.cascade)
    together = predict(examples)["probabilities"]
    alone = np.concatenate([predict({"image": row[None].numpy()})["probabilities"] for row in images])

    expected = torch.where(sure, first, again).numpy()
    np.testing.assert_allclose(together, expected, atol=1e-4)
    np.testing.assert_allclose(alone, expected, atol=1e-4)


def test_views_are_those_of_bilinear_sampling(reader: Reader, images: Tensor) -> None:
    deviations = torch.cat([torch.zeros(6, 1), torch.eye(6), -torch.eye(6)], 1)
    grid = views(Hyper()).grid(deviations, 28, 28)

    seen = reader.look.views(images)

    assert torch.allclose(seen[:, 0], images, atol=1e-2)
    for view, one in zip(seen.unbind(1), grid, strict=True):
        sampled = F.grid_sample(images[:, None], one.expand(len(images), -1, -1, -1), align_corners=False)
        assert torch.allclose(view, sampled[:, 0], atol=1e-2)

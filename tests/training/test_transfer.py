"""Transfer starts from few pictures and old features, which it changes the less the older they are."""

import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto
from torch import nn

from tests.training.size import parameters_of
from training.data import fashion_mnist
from training.networks.blocks import store_half
from training.recipes.classify.transfer import FEATURES, Hyper, by_age, extractor, subset


def test_the_pictures_are_the_validation_ones_and_as_many_of_every_class() -> None:
    train, hyper = fashion_mnist().train, Hyper(validation=50, per_class=20)
    chosen = subset(train, hyper)
    assert np.array_equal(chosen.pixels[:50], train.pixels[:50])
    assert np.bincount(chosen.labels[50:]).tolist() == 10 * [20]


def test_every_parameter_has_one_learning_rate_smaller_in_older_layers() -> None:
    network = nn.Sequential(extractor(), nn.Linear(FEATURES, 10))
    groups = by_age(network, Hyper(learning_rate=1.0, older=0.5))
    rates = [group["lr"] for group in groups]
    assert rates == [0.5**age for age in range(13)]
    assert groups[0]["params"][0] is next(network[1].parameters())
    assert groups[-1]["params"][0] is next(network.parameters())
    assert sum(p.numel() for group in groups for p in group["params"]) == parameters_of(network)


def test_weights_stored_in_half_the_bytes_stay_so_in_the_graph(tmp_path: Path) -> None:
    dense = nn.Linear(256, 128)
    rounded, path = dense.weight.detach().half().float(), tmp_path / "model.onnx"
    stored = store_half(nn.Sequential(dense)).eval()
    assert torch.equal(dense.weight, rounded)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(stored, (torch.zeros(1, 256),), dynamo=True, verbose=False)
    assert program is not None
    program.save(path)
    sizes = [(len(one.raw_data), one.data_type) for one in onnx.load(path).graph.initializer]
    assert max(sizes) == (128 * 256 * 2, TensorProto.FLOAT16)

"""Recurrent layers mind the lengths of sequences, and are exported as the operators that do."""

import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from training.networks.recurrent import Cell, Recurrent

LENGTHS = torch.tensor([7, 1, 4])


def layer(cell: Cell, both_ways: bool) -> Recurrent:
    torch.manual_seed(0)
    return Recurrent(cell, 3, 5, both_ways=both_ways).eval()


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_what_stands_behind_the_end_changes_nothing(cell: Cell, both_ways: bool) -> None:
    chosen, x_BTF = layer(cell, both_ways), torch.randn(3, 7, 3)
    together, last = chosen(x_BTF, LENGTHS)
    for row, length in enumerate(LENGTHS.tolist()):
        alone, last_alone = chosen(x_BTF[row : row + 1, :length], LENGTHS[row : row + 1])
        assert torch.allclose(together[row, :length], alone[0], atol=1e-6)
        assert torch.allclose(last[row], last_alone[0], atol=1e-6)
        assert not together[row, length:].any()


@pytest.mark.parametrize(("cell", "both_ways"), [("rnn", False), ("lstm", True), ("gru", True)])
def test_the_operator_computes_what_pytorch_does(cell: Cell, both_ways: bool, tmp_path: Path) -> None:
    chosen, x_BTF = layer(cell, both_ways), torch.randn(3, 7, 3)
    axes = ({0: "batch", 1: "steps"}, {0: "batch"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(chosen, (x_BTF, LENGTHS), dynamo=True, dynamic_shapes=axes, verbose=False)
    assert program is not None
    program.save(tmp_path / "layer.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "layer.onnx", providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    got = session.run(None, dict(zip(names, (x_BTF.numpy(), LENGTHS.numpy()), strict=True)))
    for found, wanted in zip(got, chosen(x_BTF, LENGTHS), strict=True):
        assert np.allclose(found, wanted.detach().numpy(), atol=1e-5)


def test_dropout_hides_the_same_units_at_all_steps() -> None:
    """With all of them hidden, steps do not hear of each other."""
    chosen = Recurrent("rnn", 3, 5, dropout=1 - 1e-9).train()
    x_BTF = torch.randn(1, 4, 3)
    together, _ = chosen(x_BTF, torch.tensor([4]))
    alone = torch.stack([chosen(x_BTF[:, step : step + 1], torch.tensor([1]))[0][0, 0] for step in range(4)])
    assert torch.allclose(together[0], alone, atol=1e-6)

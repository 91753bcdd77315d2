"""A training that begins with the weights of a bundle goes on from what that bundle gives."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training import recipe
from training.export.store import committed
from training.run import Run, RunError

WARM = ["lenet5", "convnet", "mlp", "highway", "conv-urnn", "adult-income"]


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUARTET_RUNS", str(tmp_path))


@pytest.mark.parametrize("name", WARM)
def test_a_step_that_changes_nothing_leaves_the_bundles_answers(name: str) -> None:
    chosen, begun = recipe.load(name), committed(name)
    assert chosen.warm
    still = replace(chosen.hyper_from(begun), learning_rate=0.0, **chosen.trial)
    module = chosen.train(Run(name, still, max_steps=1, start=begun)).eval()
    inputs, outputs = begun.golden()
    with torch.no_grad():
        answer = module(*map(torch.from_numpy, inputs.values()))
    wanted = outputs["probabilities"]
    np.testing.assert_array_equal(answer.numpy().argmax(1), wanted.argmax(1))
    if not hasattr(module, "temperature"):  # which fits what validates
        np.testing.assert_allclose(answer.numpy(), wanted, atol=1e-4)


def test_the_weights_of_another_network_are_refused() -> None:
    chosen = recipe.load("lenet5")
    with pytest.raises(RunError, match="is another than the recipe's: leave --from out"):
        chosen.train(Run("lenet5", chosen.hyper, max_steps=1, start=committed("convnet")))

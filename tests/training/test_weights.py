"""A training may begin with the weights of a bundle: they are read out of its graph, exactly."""

import numpy as np
import pytest
import torch

from training import recipe
from training.export.store import committed
from training.export.weights import load_weights
from training.recipes.classify.digits import STUDENT, TEACHERS, Network

PREFIX = "look.network."  # what the digits recipe's reader calls its network


@torch.no_grad()
def test_a_network_with_the_weights_of_a_graph_is_as_familiar_with_pictures_as_the_graph() -> None:
    bundle = committed("digits")
    network = Network(STUDENT, dropout=0.2)
    load_weights(network, bundle.graph, PREFIX)
    inputs, outputs = bundle.golden()

    own = network.eval()(torch.from_numpy(inputs["image"])).logsumexp(1).numpy()

    offsets = own - outputs["familiarity"]  # familiarity is 0 at the boundary, which is one number
    assert np.ptp(offsets) < 1e-3


@torch.no_grad()
@pytest.mark.parametrize("name", ["digits", "fashion-cnn"])
def test_a_module_that_is_restored_answers_as_the_bundle_that_it_is_restored_from(name: str) -> None:
    bundle, found = committed(name), recipe.load(name)
    assert found.restore
    assert found.cascade
    module, second = found.restore(bundle).eval(), found.graphs[found.cascade.graph]
    image = torch.from_numpy(bundle.golden()[0]["image"])

    first, again = module(image), second.of(module).eval()(image).numpy()
    outputs = {"probabilities": (first[0] if isinstance(first, tuple) else first).numpy()}
    places = found.cascade.in_doubt(outputs)
    outputs["probabilities"][places] = again[places]

    assert 0 < len(places) < len(image)
    np.testing.assert_allclose(outputs["probabilities"], bundle.golden()[1]["probabilities"], atol=1e-4)


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(RuntimeError, match="size mismatch|Missing key"):
        load_weights(Network(TEACHERS[1], dropout=0.2), committed("digits").graph, PREFIX)


def test_a_graph_without_such_a_network_is_refused() -> None:
    with pytest.raises(RuntimeError, match="Missing key"):
        load_weights(Network(STUDENT, dropout=0.2), committed("convnet").graph, "nowhere.")

"""The additive credit model: what a lender demands of it holds, and it is the penalised fit that it claims to be."""

import numpy as np
import pytest

from training.data.german import applicants
from training.export.parity import Predictor
from training.export.store import committed
from training.kinds.additive import choose, fit
from training.kinds.credit import split
from training.recipes.classify.credit import ATTRIBUTES, HYPER, SHAPES, SIGNS

POSITION = {one.name: index for index, one in enumerate(ATTRIBUTES)}


@pytest.fixture(scope="module")
def predict() -> Predictor:
    return Predictor(committed("credit").graph)


@pytest.mark.parametrize("name", SIGNS)
def test_a_monotone_attribute_is_monotone_on_a_grid(predict: Predictor, name: str) -> None:
    one, column = ATTRIBUTES[POSITION[name]], POSITION[name]
    low, high = one.range or (0, len(one.values) - 1)
    grid = np.arange(low, high + 1)
    for row in applicants().attributes[:20]:
        rows = np.repeat(row[None], len(grid), axis=0)
        rows[:, column] = grid
        assert (np.diff(predict({"applicant": rows})["default_probability"]) * SIGNS[name] >= -1e-7).all()


def test_the_graph_is_the_penalised_fit_of_its_training_data(predict: Predictor) -> None:
    known, held_out = split(HYPER.held_out, HYPER.seed)
    steps = SHAPES.steps(known.attributes)
    choice = choose(steps, known.default, SHAPES, HYPER.seed)
    logit = fit(steps, known.default, SHAPES, choice.penalty).logit(SHAPES.steps(held_out.attributes))
    expected = 1 / (1 + np.exp(-choice.slope * logit - choice.offset))
    np.testing.assert_allclose(predict({"applicant": held_out.attributes})["default_probability"], expected, atol=0.01)


def test_what_counts_as_seen_is_what_the_data_hold() -> None:
    rows = applicants().attributes
    for one, column in zip(ATTRIBUTES, rows.T, strict=True):
        if one.seen:
            assert one.seen == (column.min(), column.max())
        assert one.unseen == tuple(value for index, value in enumerate(one.values) if index not in column)

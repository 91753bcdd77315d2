"""A sequence read in windows, the state sent back, is one sequence."""

import numpy as np
import pytest

from training.export.parity import Predictor
from training.export.store import committed
from training.kinds import carried
from training.recipes.sequence import intersection_rnn, sine_cosine_rnn


def test_sums_go_on_where_the_window_before_ended() -> None:
    predict = Predictor(committed("intersection-rnn").graph)
    numbers = np.linspace(0, 1, 40, dtype=np.float32)[None]
    found = carried.followed(predict, numbers, intersection_rnn.RECIPE.hyper, ("numbers", "sums"))
    assert found == pytest.approx(numbers.cumsum(1), abs=0.5)


def test_a_sine_alone_has_two_cosines_and_the_state_knows_which() -> None:
    predict, hyper = Predictor(committed("sine-cosine-rnn").graph), sine_cosine_rnn.RECIPE.hyper
    angle = 2 * np.pi / 30 * np.arange(60) + np.array([[0.3], [2.0]])
    sine = np.sin(angle).astype(np.float32)
    kept, forgotten = (carried.followed(predict, sine, hyper, ("sine", "cosine"), carry) for carry in (True, False))
    wrong = [np.abs(found - np.cos(angle))[:, 10:].max() for found in (kept, forgotten)]
    assert wrong[0] < 0.2 < wrong[1]


def test_two_sines_and_the_circle_tell_the_cosine_where_no_turn_lies_between() -> None:
    angle = np.array([[0.3, 0.6, 0.9], [2.0, 2.5, 3.5]])
    found = sine_cosine_rnn.on_the_circle(np.sin(angle))
    assert (found[:, 0] == 0).all()
    assert found[:, 1:] == pytest.approx(np.cos(angle)[:, 1:])


@pytest.mark.parametrize("draw", [sine_cosine_rnn.draw, intersection_rnn.draw])
def test_what_is_drawn_is_the_seed_s(draw: carried.Draw) -> None:
    first, again, other = draw(1, 3, 20), draw(1, 3, 20), draw(2, 3, 20)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])
    assert first[0].shape == first[1].shape == (3, 20)

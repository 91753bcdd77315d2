"""What a batch takes is measured where it decides something, and nowhere else."""

from time import sleep

import numpy as np
import pytest

from service.bundle import Arrays
from service.engine.batcher import INLINE_S
from service.engine.costs import costs_s, fastest_row, warm

ROW: Arrays = {"x": np.zeros((1, 1))}


class Slow:
    """A graph whose rows take a time each, and which knows the batches that it was given."""

    def __init__(self, row_s: float) -> None:
        self.row_s, self.sizes = row_s, list[int]()

    def __call__(self, inputs: Arrays) -> Arrays:
        self.sizes.append(len(inputs["x"]))
        sleep(self.row_s * len(inputs["x"]))
        return inputs


def test_past_what_is_too_long_for_the_event_loop_only_the_largest_batch_is_run() -> None:
    graph = Slow(2 * INLINE_S)
    costs = costs_s(graph, ROW, 16)
    assert set(graph.sizes) == {1, 16}
    assert graph.sizes.count(16) == 1
    assert len(costs) == 17
    assert all(cost >= graph.row_s * rows for rows, cost in enumerate(costs))


@pytest.mark.parametrize(("cost_s", "sizes"), [(0.0, [1, 2, 4, 8, 16]), (2 * INLINE_S, [1, 16])])
def test_what_was_timed_in_one_session_is_run_once_in_the_others(cost_s: float, sizes: list[int]) -> None:
    other = Slow(0)
    warm(other, ROW, 16, [cost_s] * 17)
    assert other.sizes == sizes


def test_no_batch_costs_more_than_the_largest() -> None:
    graph = Slow(0)
    costs = costs_s(graph, ROW, 6)
    assert set(graph.sizes) >= {1, 6}
    assert len(costs) == 7
    assert max(costs) == costs[6]


def test_rows_are_told_apart_by_what_they_take() -> None:
    def twice(inputs: Arrays) -> Arrays:
        sleep(0.03 if inputs["x"][0] else 0)
        return inputs

    assert fastest_row(twice, {"x": np.array([1, 0, 1])})["x"].tolist() == [0]

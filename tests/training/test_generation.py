"""What is measured of samples, on rows whose answer is known."""

import numpy as np
import pytest

from training.data import mnist
from training.export.parity import Predictor
from training.export.penultimate import features
from training.export.store import committed
from training.measures import generation

ROWS = np.random.default_rng(0).standard_normal((3000, 4)).astype(np.float32)
OTHERS = np.random.default_rng(1).standard_normal((3000, 4)).astype(np.float32)


def test_the_frechet_distance_of_two_normal_distributions() -> None:
    """Apart by 3 in one number, and twice as wide in another: 3² + (2 - 1)²."""
    moved = OTHERS * np.array([1, 2, 1, 1], np.float32) + np.array([3, 0, 0, 0], np.float32)
    assert generation.frechet(ROWS, moved) == pytest.approx(10, rel=0.05)
    assert generation.frechet(ROWS, ROWS) == pytest.approx(0, abs=1e-4)
    metric = generation.frechet_metric("distance", moved, ROWS)
    assert metric.low < metric.value < metric.high < metric.low * 1.2


def test_rows_of_the_same_distribution_are_precise_and_cover_it() -> None:
    precision, recall, density, coverage = generation.manifold(ROWS, OTHERS)
    assert precision.value > 0.95
    assert recall.value > 0.95
    assert density.value == pytest.approx(1, abs=0.05)
    assert coverage.value == pytest.approx(1 - 2**-5, abs=0.02)  # for five neighbours, Naeem et al., section 3


def test_a_collapsed_generator_is_precise_and_recalls_little() -> None:
    few = OTHERS[:50][np.arange(3000) % 50] * 0.5
    precision, recall, density, coverage = generation.manifold(few, ROWS)
    assert precision.value == 1
    assert density.value > 1
    assert recall.value < 0.1
    assert coverage.value < 0.3
    assert generation.support(few, ROWS).value < 0.05


def test_rows_far_away_are_not_precise() -> None:
    precision, recall, density, coverage = generation.manifold(ROWS + 100, OTHERS)
    assert [one.value for one in (precision, recall, density, coverage)] == [0, 0, 0, 0]


def test_as_many_rows_coincide_as_in_the_same_distribution() -> None:
    support = generation.support(ROWS, OTHERS)
    assert support.low < 1 < support.high * 1.2
    assert support.value == pytest.approx(1, abs=0.4)


def test_the_nearest_row_is_found() -> None:
    positions, distances = generation.nearest(ROWS[:20], ROWS[::-1])
    np.testing.assert_array_equal(positions, 2999 - np.arange(20))
    np.testing.assert_allclose(distances, 0, atol=2e-3)


def test_modes_that_are_even_diverge_little_and_a_missing_one_is_seen() -> None:
    divergence, rarest = generation.modes(np.arange(1000) % 10, 10)
    assert (divergence.value, rarest.value) == (pytest.approx(0, abs=1e-9), 0.1)
    divergence, rarest = generation.modes(np.arange(1000) % 9, 10)
    assert divergence.value == pytest.approx(np.log(10 / 9), abs=1e-3)
    assert (rarest.value, rarest.description) == (0, "the share read as 9")


def test_the_features_of_a_classifier_are_what_its_last_layer_reads() -> None:
    judge = committed("convnet")
    shown = mnist().test.pixels[:5].astype(np.float32)
    rows = features(judge, shown)
    assert rows.shape == (5, 500)
    assert rows.min() >= 0  # after a ReLU
    assert Predictor.of(judge)({"image": shown})["probabilities"].shape == (5, 10)

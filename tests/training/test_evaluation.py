"""The figures of a model card, checked against published values and arithmetic done by hand."""

import numpy as np
import pytest
from scipy.stats import binomtest

from service.bundle import Metric
from training.measures.evaluation import (
    bootstrapped,
    calibration,
    calibration_error,
    clustered,
    differences,
    histogram,
    proportion,
    wilson,
)
from training.measures.scoring import auc, delong_auc


@pytest.mark.parametrize(("successes", "count"), [(0, 10), (1, 10), (9937, 10_000), (10, 10), (50, 100)])
def test_the_wilson_interval_is_the_one_of_scipy(successes: int, count: int) -> None:
    expected = binomtest(successes, count).proportion_ci(0.95, method="wilson")
    assert wilson(successes, count) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_the_wilson_interval_of_a_published_example() -> None:
    """Newcombe, Statistics in Medicine 17:857, 1998, table I: 81 of 263."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_a_proportion_lies_in_its_interval_and_keeps_its_details() -> None:
    metric = proportion("accuracy", 97, 100, split="validation")
    assert metric.low < metric.value == 0.97 < metric.high
    assert (metric.count, metric.split) == (100, "validation")


@pytest.mark.parametrize("count", [7, 800, 2000])
def test_none_and_all_lie_in_their_intervals(count: int) -> None:
    for successes in (0, count):
        metric = proportion("accuracy", successes, count)
        assert metric.low <= metric.value <= metric.high


def test_a_bootstrap_interval_of_a_mean_is_about_two_standard_errors_wide() -> None:
    sample = np.random.default_rng(0).normal(5, 2, 400)
    metric = bootstrapped("mean", lambda values: float(values.mean()), sample)
    assert metric.value == pytest.approx(sample.mean())
    assert (metric.low, metric.high) == pytest.approx((metric.value - 0.196, metric.value + 0.196), abs=0.03)


def test_a_bootstrap_keeps_pairs_together() -> None:
    sample = np.arange(50.0)
    metric = bootstrapped("difference", lambda left, right: float(np.abs(left - right).max()), sample, sample)
    assert (metric.low, metric.value, metric.high) == (0, 0, 0)


def test_a_bootstrap_gives_the_same_interval_every_time() -> None:
    sample = np.arange(50.0)
    assert bootstrapped("mean", np.mean, sample) == bootstrapped("mean", np.mean, sample)


def test_calibration_error_is_zero_for_honest_confidence() -> None:
    confidence = np.repeat([0.7, 0.9], 10)
    correct = np.array([True] * 7 + [False] * 3 + [True] * 9 + [False])
    assert calibration_error(confidence, correct) == pytest.approx(0)


def test_calibration_error_is_the_excess_of_confidence() -> None:
    assert calibration_error(np.ones(10), np.array([True] * 6 + [False] * 4)) == pytest.approx(0.4)


@pytest.mark.parametrize("exponent", [1.0, 1.03, 1.1, 2.0])
def test_the_interval_of_calibration_error_holds_the_truth_as_often_as_it_says(exponent: float) -> None:
    """Of answers that are right with a power of the confidence as their probability; an exponent of 1 is honest."""
    generator = np.random.default_rng(0)
    confidence = generator.beta(5, 0.5, 2000)
    probability = confidence**exponent
    edges = np.minimum((confidence * 15).astype(int), 14)
    truth = np.abs(np.bincount(edges, weights=probability - confidence)).sum() / len(confidence)
    metrics = [calibration(confidence, generator.random(2000) < probability, draws=300) for _ in range(100)]
    assert np.mean([metric.low <= truth <= metric.high for metric in metrics]) >= 0.9


def test_a_calibration_error_says_how_much_of_it_chance_gives() -> None:
    confidence = np.full(400, 0.8)
    expected = np.sqrt(2 / np.pi * 0.8 * 0.2 / 400)  # the mean size of a normal draw
    described = calibration(confidence, np.arange(400) < 330).description
    assert described.startswith("expected calibration error, 15 bins; 0.01")
    assert float(described.split("; ")[1].split()[0]) == pytest.approx(expected, abs=0.001)


def test_full_confidence_that_is_sometimes_wrong_is_wrong_by_more_or_less_than_was_measured() -> None:
    found = calibration(np.ones(10), np.arange(10) < 6)
    assert found.value == pytest.approx(0.4)
    assert found.low < 0.3 < 0.5 < found.high < 0.8


def test_answers_that_nothing_speaks_against_have_no_calibration_error() -> None:
    found = calibration(np.ones(10), np.ones(10, bool))
    assert (found.low, found.value, found.high) == (0, 0, 0)


def test_clusters_count_once_in_an_interval() -> None:
    successes = np.arange(60) < 40
    alone = clustered("accuracy", successes[:, None])
    together = clustered("accuracy", np.repeat(successes[:, None], 15, 1))
    assert alone == together
    assert (together.value, together.count) == (pytest.approx(2 / 3), 60)
    assert (together.low, together.high) == pytest.approx(wilson(40, 60), abs=0.02)


@pytest.mark.parametrize("success", [False, True])
def test_clusters_that_are_all_alike_leave_a_doubt(success: bool) -> None:
    found = clustered("accuracy", np.full((20, 40), success))
    assert (found.low, found.high, found.count) == (*wilson(20 * success, 20), 20)


def test_the_area_is_the_share_of_pairs_in_order() -> None:
    assert delong_auc("x", [3, 4], [1, 2]).value == 1
    assert delong_auc("x", [1, 4], [1, 2]).value == 0.625
    assert delong_auc("x", [1, 2], [1, 2]).value == 0.5
    assert auc(np.array([1, 4, 1, 2]), np.array([1, 1, 0, 0])) == 0.625


def test_the_interval_of_the_area_holds_the_truth_as_often_as_it_says() -> None:
    generator, truth = np.random.default_rng(0), 0.7602  # of normal distributions one deviation apart
    metrics = [delong_auc("x", generator.normal(1, 1, 60), generator.normal(0, 1, 80)) for _ in range(400)]
    assert np.mean([metric.low <= truth <= metric.high for metric in metrics]) == pytest.approx(0.95, abs=0.03)


def test_a_histogram_counts_between_its_edges() -> None:
    counted = histogram("age", [1, 2, 2, 3, 9], [0, 2, 4])
    assert (counted.edges, counted.counts) == ((0, 2, 4), (1, 3))


def metric(name: str, value: float) -> Metric:
    return Metric(name=name, value=value, low=value - 0.01, high=value + 0.01, count=100)


def test_the_same_figures_do_not_differ() -> None:
    assert differences((metric("accuracy", 0.99),), (metric("accuracy", 0.9905),)) == []


def test_another_figure_differs_and_is_named() -> None:
    assert differences((metric("accuracy", 0.99),), (metric("accuracy", 0.97),)) == ["accuracy is 0.97 and not 0.99"]


def test_figures_that_are_gone_or_new_differ() -> None:
    assert differences((metric("accuracy", 0.99),), (metric("AUC", 0.99),)) == ["the figures are AUC and not accuracy"]

"""The formula of capacity: what cores, workers, batches and replicas do to throughput and latency."""

import pytest

from load_tests.capacity import Costs, costs_of, predict, replicas_for
from service.engine.profile import Measurement, Tuning, Tunings

# A batch of one row takes 1 ms, of 8 rows 2.4 ms; a request half a millisecond beside it.
COSTS = Costs([1, 8], [1.0, 2.4], [1.0, 2.4], 0.5)


def test_a_request_that_is_alone_takes_what_it_and_its_batch_take() -> None:
    one = predict(COSTS, 1, 1, workers=1, cores=4)
    assert one.latency_ms == pytest.approx(1.5)
    assert one.requests_per_s == pytest.approx(1000 / 1.5)
    assert predict(COSTS, 1, 1, workers=4, cores=4).latency_ms == pytest.approx(1.5)


def test_requests_in_flight_share_a_batch() -> None:
    eight = predict(COSTS, 8, 1, workers=1, cores=4)
    assert eight.cpu_ms == pytest.approx(0.5 + 2.4 / 8)
    assert eight.latency_ms == pytest.approx(8 * 0.5 + 2.4)
    assert eight.requests_per_s > 1.8 * predict(COSTS, 1, 1, workers=1, cores=4).requests_per_s


def test_more_rows_than_a_batch_takes_are_batches_in_turn() -> None:
    assert COSTS.batches(16) == pytest.approx((4.8, 4.8))
    assert COSTS.batches(9) == pytest.approx((2 * (1 + 1.4 * 3.5 / 7),) * 2)


def test_workers_help_until_the_cores_are_busy() -> None:
    one, two, four = (predict(COSTS, 32, 1, workers, cores=2).requests_per_s for workers in (1, 2, 4))
    assert two == pytest.approx(2 * one)
    assert four <= two
    assert predict(COSTS, 64, 1, 2, cores=2, replicas=2).requests_per_s == pytest.approx(2 * two)


def test_replicas_are_as_many_as_the_rate_needs_within_its_time() -> None:
    replicas, most = replicas_for(COSTS, 10_000, 10, 1, workers=2, cores=2)
    assert predict(COSTS, most, 1, 2, 2).latency_ms <= 10
    assert replicas * predict(COSTS, most, 1, 2, 2).requests_per_s >= 10_000
    with pytest.raises(SystemExit, match="no number of replicas"):
        replicas_for(COSTS, 1, 1, 1, workers=2, cores=2)


def test_the_costs_are_those_of_the_way_that_the_profile_has_chosen() -> None:
    ways = [Tuning(threads=threads, max_batch=rows) for threads in (1, 2) for rows in (1, 2, 4)]
    measured = [
        Measurement(tuning=way, rows_per_s=1, latency_ms=way.max_batch * way.threads, cpu_ms=way.max_batch)
        for way in ways
    ]
    profile = Tunings(models={"convnet": Tuning(threads=2, max_batch=2)}, measured={"convnet": measured})
    assert costs_of(profile, "convnet") == Costs([1, 2], [2, 4], [1, 2])
    with pytest.raises(SystemExit, match="service tune digits"):
        costs_of(profile, "digits")

"""Networks of rows: what is missing has a place of its own, and an interval covers as often as it says."""

import numpy as np
import torch

from service.bundle import Attribute
from training.kinds.prices import COVERAGE, widening
from training.networks.rows import Columns
from training.recipes.classify import adult_income
from training.recipes.regress import polynomial

ATTRIBUTES = (
    Attribute(name="size", description="in metres", range=(0, 10), missing=-1),
    Attribute(name="kind", description="of two", values=("flat", "house"), missing=-1),
    Attribute(name="floors", description="counted", range=(0, 9)),
)
KNOWN = np.array([[0, 0, 1], [2, 1, 2], [4, 0, 3], [-1, 1, 4]], np.float32)


def features(*rows: tuple[float, float, float]) -> torch.Tensor:
    torch.manual_seed(0)
    with torch.no_grad():
        found: torch.Tensor = Columns(ATTRIBUTES, KNOWN, bins=4, size=2)(torch.tensor(rows))
    return found


def test_a_number_fills_its_bins_from_the_lowest() -> None:
    known, half, beyond = features((2, 0, 1), (1, 0, 1), (9, 0, 1))[:, :4].sum(1).tolist()
    assert 0 < half < known < beyond
    assert torch.allclose(*features((50, 0, 1), (9, 0, 1)), atol=1e-6)


def test_a_missing_number_is_not_the_least_one() -> None:
    missing, least = features((-1, 0, 1), (0, 0, 1))
    assert missing[:4].tolist() == least[:4].tolist() == [0, 0, 0, 0]
    assert (missing[8], least[8]) == (1, 0)


def test_a_missing_category_has_a_vector_of_its_own() -> None:
    vectors = features((1, 0, 1), (1, 1, 1), (1, -1, 1))[:, -2:]
    assert len({tuple(one) for one in vectors.tolist()}) == 3


def test_an_interval_is_widened_until_it_covers_new_rows() -> None:
    generator, covered = np.random.default_rng(0), []
    for _ in range(200):
        seen, new = generator.normal(size=(2, 99)).astype(np.float32)
        reach = 0.5 + widening(np.full(99, -0.5, np.float32), np.full(99, 0.5, np.float32), seen)
        covered.append((np.abs(new) <= reach).mean())
    assert COVERAGE - 0.005 < np.mean(covered) < COVERAGE + 0.015


def test_the_census_has_its_published_sizes_and_gaps() -> None:
    known, held = adult_income.people()
    assert (known.rows.shape, held.rows.shape) == ((32_561, 14), (16_281, 14))
    assert (known.earns.sum(), held.earns.sum()) == (7841, 3846)
    assert (known.rows == -1).sum(0).nonzero()[0].tolist() == [1, 6, 13]


def test_a_squared_error_is_that_of_the_book() -> None:
    x, y = polynomial.cars()
    errors = polynomial.squared_errors(x, y, len(x), 0).mean(1)
    assert np.round(errors[:5], 2).tolist() == list(polynomial.BOOK)

"""Draws of two distributions that are fitted in the graph, against SciPy's."""

import numpy as np
import pytest
import torch
from scipy.stats import johnsonsb, johnsonsu, norm, truncnorm

from training.networks import johnson
from training.recipes.regress import sales_forecast
from training.recipes.regress.sales_forecast import Sales, cases, uniform

SHARES = np.array([0.001, 0.02, 0.3, 0.5, 0.9, 0.99])


def test_the_inverse_of_the_normal_distribution_is_scipys() -> None:
    share = np.linspace(1e-6, 1 - 1e-6, 999)
    assert johnson.inverse_normal(torch.from_numpy(share)).numpy() == pytest.approx(norm.ppf(share), abs=1e-8)


@pytest.mark.parametrize("true", [johnsonsu(-1, 1.5, 3, 2), johnsonsb(0.8, 1.2, 1, 6)], ids=["SU", "SB"])
def test_four_quantiles_find_johnsons_distribution(true: object) -> None:
    observed = torch.from_numpy(true.ppf((np.arange(20_000) + 0.5) / 20_000))  # type: ignore[attr-defined]
    drawn = johnson.johnson(observed[None], torch.from_numpy(SHARES)[None])[0]
    assert drawn.numpy() == pytest.approx(true.ppf(SHARES), rel=0.01)  # type: ignore[attr-defined]


def test_a_normal_distribution_is_cut_to_what_was_observed() -> None:
    observed = np.random.default_rng(0).normal(20, 3, 15)
    drawn = johnson.truncated_normal(torch.from_numpy(observed)[None], torch.from_numpy(SHARES)[None])[0]
    mean, deviation = observed.mean(), observed.std(ddof=1)
    ends = [(end - mean) / deviation for end in (observed.min(), observed.max())]
    assert drawn.numpy() == pytest.approx(truncnorm(*ends, mean, deviation).ppf(SHARES), rel=1e-4)


@pytest.mark.parametrize("observed", [[5.0] * 6, [0, 0, 0, 0, 0, 9.0], [1, 2, 3, 4, 5, 6.0]])
def test_draws_of_odd_months_are_numbers_near_them(observed: list[float]) -> None:
    months = torch.tensor([observed])
    for draw in (johnson.johnson, johnson.truncated_normal):
        drawn = draw(months, torch.rand(1, 1000))
        assert drawn.isfinite().all()
        assert drawn.min() >= 2 * months.min() - months.max() - 1e-3


def test_the_options_are_ordered_as_in_the_source() -> None:
    served = Sales().eval()

    def predict(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        with torch.no_grad():
            outputs = served(*(torch.from_numpy(inputs[name]) for name in ("history", "state", "uniform")))
        return dict(zip(("probability", "quantiles"), (one.numpy() for one in outputs), strict=True))

    normal, by_quantiles, _ = sales_forecast.worked_example(predict)
    assert normal == pytest.approx(0.2675, abs=0.01)
    assert normal < by_quantiles


def test_a_good_year_lifts_what_is_expected_of_it() -> None:
    of, served = cases(13), Sales().eval()
    state = np.stack([of.state[8], of.state[8] * [1, 1.1, 1]]).astype(np.float32)
    with torch.no_grad():
        _, quantiles = served(*(torch.from_numpy(one) for one in (of.history[:2], state, uniform(1).repeat(2, 0))))
    (_, johnsons, adjusted), (_, lifted, raised) = quantiles[:, :, 3].numpy()
    assert lifted - johnsons == pytest.approx(0.1 * of.state[8, 1], rel=1e-3)
    assert raised / adjusted == pytest.approx(1.1, rel=1e-3)

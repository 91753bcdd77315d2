"""Phantoms tell who smooths, who blurs and who hides lesions."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from training.measures import ct_phantoms

Slices = NDArray[np.float32]


def unchanged(slices: Slices) -> Slices:
    return slices


def blurred(slices: Slices) -> Slices:
    return np.asarray(gaussian_filter(slices, (0, 1.5, 1.5)))


@pytest.fixture(scope="module", autouse=True)
def _few_scans() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ct_phantoms, "SCANS", 2)
        yield


def test_simulated_noise_goes_with_dose_and_frequency_as_theory_says() -> None:
    found = {metric.name: metric.value for metric in ct_phantoms.noise_figures(blurred)}
    assert found["noise against dose, exponent"] == pytest.approx(-0.53, abs=0.05)
    assert found["noise spectrum against theory"] > 0.95
    assert found["noise after, even phantom"] < 0.5 * found["noise before, even phantom"]
    assert found["mean frequency of the noise after"] < 0.8 * found["mean frequency of the noise before"]


def test_who_blurs_loses_modulation_transfer_and_no_level() -> None:
    blur, same = ({m.name: m.value for m in ct_phantoms.insert_figures(one)} for one in (blurred, unchanged))
    assert same["modulation transfer kept, +900 HU"] == 1
    assert blur["modulation transfer kept, +900 HU"] < 0.8
    assert abs(blur["bias, +900 HU"]) < 8

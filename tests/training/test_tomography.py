"""The simulated scanner agrees with scikit-image and with the theory of photon noise."""

import math

import numpy as np
import pydicom
import pytest
import torch
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from skimage.data import shepp_logan_phantom
from skimage.transform import iradon, radon, resize

from training.images import tomography
from training.images.tomography import MU_WATER, Geometry, Scan

SIDE = 127  # odd: scikit-image turns a slice about a pixel, we about its middle, and here they coincide


def ct_slice() -> NDArray[np.float32]:
    """A real slice in HU [127, 127], shipped with pydicom."""
    dicom = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    hu = dicom.pixel_array * float(dicom.RescaleSlope) + float(dicom.RescaleIntercept)
    return hu[:SIDE, :SIDE].astype(np.float32)


def phantom() -> NDArray[np.float32]:
    """The Shepp-Logan head [127, 127], its densities in units of water."""
    return (1000 * (resize(shepp_logan_phantom(), (SIDE, SIDE), anti_aliasing=True) - 1)).astype(np.float32)


def water_disc(side: int) -> torch.Tensor:
    """A disc of water in air, in HU [1, side, side]."""
    x = torch.arange(side) - (side - 1) / 2
    return torch.where(torch.hypot(x[:, None], x) < 0.4 * side, 0.0, -1000.0)[None]


def relative_rms(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2)))


@pytest.fixture(params=[ct_slice, phantom])
def mu(request: pytest.FixtureRequest) -> torch.Tensor:
    """Attenuation [1, 127, 127] in 1/mm."""
    return tomography.attenuation(torch.from_numpy(request.param()))[None]


GEOMETRY = Geometry(side=SIDE, pixel_mm=0.7, views=180)
DEGREES = np.degrees(GEOMETRY.angles)


def test_water_attenuates_as_water_and_nothing_less_than_vacuum() -> None:
    mu = tomography.attenuation(torch.tensor([0.0, -1000.0, -2000.0]))
    assert mu.tolist() == pytest.approx([MU_WATER, 0, 0])


def test_projections_agree_with_scikit_image(mu: torch.Tensor) -> None:
    ours = tomography.project(mu, GEOMETRY)[0].numpy()
    theirs = radon(mu[0].numpy(), DEGREES, circle=False).T * GEOMETRY.pixel_mm
    assert relative_rms(ours[:, : theirs.shape[1]], theirs) < 0.005  # both are centred on bin 90


def test_reconstruction_agrees_with_scikit_image(mu: torch.Tensor) -> None:
    sinogram = tomography.project(mu, GEOMETRY)
    ours = tomography.reconstruct(sinogram, GEOMETRY)[0].numpy()
    theirs = iradon(sinogram[0].numpy().T, DEGREES, output_size=SIDE, circle=False) / GEOMETRY.pixel_mm
    assert relative_rms(ours, theirs) < 1e-4


def test_a_slice_survives_projection_and_reconstruction(mu: torch.Tensor) -> None:
    restored = tomography.reconstruct(tomography.project(mu, GEOMETRY), GEOMETRY)
    assert restored.mean().item() == pytest.approx(mu.mean().item(), rel=0.01)
    assert relative_rms(restored.numpy(), mu.numpy()) < 0.15


def test_a_ray_through_the_middle_of_water_sees_its_diameter() -> None:
    geometry = Geometry(side=200, pixel_mm=1.5, views=60)
    sinogram = tomography.project(tomography.attenuation(water_disc(200)), geometry)
    assert sinogram[0, :, geometry.bins // 2].mean().item() == pytest.approx(0.8 * 200 * 1.5 * MU_WATER, rel=0.01)


def test_slices_of_one_call_are_simulated_as_if_alone() -> None:
    mu = torch.stack([tomography.attenuation(torch.from_numpy(slice())) for slice in (ct_slice, phantom)])
    together = tomography.reconstruct(tomography.project(mu, GEOMETRY), GEOMETRY)
    alone = tomography.reconstruct(tomography.project(mu[1:], GEOMETRY), GEOMETRY)
    torch.testing.assert_close(together[1:], alone)


def test_measured_line_integrals_have_the_variance_that_counting_statistics_predict() -> None:
    """Zeng et al. 2015, eq. 5: var = (1 + electronic^2 / mean count) / mean count."""
    flux, electronic, thickness = 5e4, 10.0, 4.0
    sinogram = torch.full((1, 400, 500), thickness)
    measured = tomography.measure(sinogram, torch.tensor([flux]), electronic, torch.Generator().manual_seed(1))
    count = flux * math.exp(-thickness)
    assert measured.mean().item() == pytest.approx(thickness, abs=2e-3)
    assert measured.var().item() == pytest.approx((1 + electronic**2 / count) / count, rel=0.03)


def test_noise_in_the_middle_of_a_disc_follows_from_the_dose() -> None:
    """Kak and Slaney, ch. 5.2: the variance at the centre is the energy of the filter over the counts of a ray."""
    geometry, flux = Geometry(side=128, pixel_mm=2.0, views=360), torch.tensor([1e4, 4e4, 16e4])
    hu = water_disc(128).expand(3, -1, -1)
    low = Scan(hu, geometry).low_dose(flux, torch.Generator().manual_seed(2), electronic=0.0)
    measured = (low - hu)[:, 49:79, 49:79].std(dim=(1, 2))
    counts = flux * math.exp(-0.8 * 128 * 2.0 * MU_WATER)
    # The ramp's energy is 1 / (12 pitch^2); interpolating between bins keeps about two thirds of it.
    expected = (1000 / MU_WATER) * math.pi * torch.sqrt(1 / (12 * 2.0**2 * geometry.views * counts))
    ratio = measured / expected
    assert ((ratio > 0.5) & (ratio < 1)).all()
    torch.testing.assert_close(measured[:-1] / measured[1:], torch.tensor([2.0, 2.0]), rtol=0.1, atol=0)


def test_a_softer_kernel_leaves_less_noise() -> None:
    geometry = Geometry(side=64, pixel_mm=2.0, views=90)
    hu = water_disc(64).expand(2, -1, -1)
    flux, cutoff = torch.full((2,), 1e5), torch.tensor([0.5, 1.0])
    low = Scan(hu, geometry).low_dose(flux, torch.Generator().manual_seed(3), cutoff=cutoff)
    soft, sharp = (low - hu)[:, 20:44, 20:44].std(dim=(1, 2)).tolist()
    assert soft < 0.7 * sharp


def test_the_same_generator_gives_the_same_noise() -> None:
    scan = Scan(water_disc(64), Geometry(side=64, pixel_mm=2.0, views=90))
    first, again, other = (scan.low_dose(torch.tensor([1e5]), torch.Generator().manual_seed(i)) for i in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)

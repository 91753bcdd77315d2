"""Noise of fan and parallel beams has the strength and the spectrum that theory gives it."""

import math

import numpy as np
import pytest
import torch

from training.images.scanner import Exposure, Kernel, Scanner, low_dose, parallel, pixel_centres, remaining_flux
from training.images.tomography import MU_WATER, Geometry, Scan
from training.measures.image_quality import noise_power

SIDE, PIXEL_MM, FLUX = 200, 1.5, 1e5


def water(slices: int = 1) -> torch.Tensor:
    """A disc of 200 mm across, in HU."""
    x = pixel_centres(0, SIDE, SIDE, PIXEL_MM)
    return torch.where(torch.hypot(x[:, None], x) < 100, 0.0, -1000.0).expand(slices, -1, -1)


def noise(scanner: Scanner, kernel: Kernel, flux: float = FLUX, slices: int = 4, pixel_mm: float = 0.5) -> torch.Tensor:
    """In the middle 24 mm of the disc."""
    exposure = Exposure(water(slices), PIXEL_MM, scanner)
    x = pixel_centres(0, 48, 48, pixel_mm)
    return exposure.noise(torch.full((slices,), flux), kernel, x, -x, torch.Generator().manual_seed(1))


def expected(scanner: Scanner, kernel: Kernel, flux: float) -> float:
    """Kak and Slaney, ch. 5.2: the variance in the middle is the energy of the filter over the counts of a ray."""
    f = np.linspace(0, 0.5 / scanner.pitch_mm, 4000)
    window = np.where(f < kernel.cutoff, 0.5 + 0.5 * np.cos(math.pi * f / kernel.cutoff), 0)
    energy = 2 * np.trapezoid((f * window) ** 2, f) * scanner.pitch_mm
    count = flux * math.exp(-200 * MU_WATER)
    return 1000 / MU_WATER * math.pi * math.sqrt(energy / scanner.views * (1 + scanner.electronic**2 / count) / count)


@pytest.mark.parametrize(
    "scanner", [Scanner(views=480), parallel(side=400, pixel_mm=0.6, views=240)], ids=["fan", "parallel"]
)
def test_noise_in_the_middle_of_water_is_what_counting_photons_gives(scanner: Scanner) -> None:
    kernel = Kernel(cutoff=0.5)
    measured = noise(scanner, kernel).std().item()
    # Interpolation between views and bins smooths a part of it away.
    assert 0.75 * expected(scanner, kernel, FLUX) < measured < 1.05 * expected(scanner, kernel, FLUX)


def test_a_quarter_of_the_photons_gives_twice_the_noise() -> None:
    scanner, kernel = Scanner(views=360, electronic=0), Kernel(cutoff=0.5)
    full, quarter = (noise(scanner, kernel, flux).std().item() for flux in (FLUX, FLUX / 4))
    assert quarter / full == pytest.approx(2, rel=0.1)


def test_the_photons_that_are_added_leave_the_noise_of_the_dose() -> None:
    """1 / full + 1 / added = 1 / (fraction of full)."""
    assert 1 / 4e5 + 1 / remaining_flux(4e5, 0.25) == pytest.approx(1 / 1e5)


def test_the_spectrum_rises_with_frequency_and_ends_where_the_kernel_does() -> None:
    frequency, power = noise_power(noise(Scanner(views=480), Kernel(cutoff=0.6), slices=8).numpy(), 0.5)
    peak = frequency[power.argmax()]
    assert 0.12 < peak < 0.4
    assert power[0] < 0.5 * power.max()
    assert power[frequency > 0.65].max() < 0.02 * power.max()


def test_noise_of_parallel_rays_is_that_of_the_simulator_with_its_own_grid() -> None:
    hu, generator = water(2), torch.Generator().manual_seed(2)
    theirs = (
        Scan(hu, Geometry(side=SIDE, pixel_mm=PIXEL_MM, views=180)).low_dose(
            torch.full((2,), FLUX), generator, cutoff=0.8
        )
        - hu
    )
    scanner = parallel(side=SIDE, pixel_mm=PIXEL_MM, views=180)
    ours = low_dose(hu, PIXEL_MM, scanner, Kernel(cutoff=0.8 * 0.5 / PIXEL_MM), FLUX, generator, margin=70)
    assert ours.std().item() == pytest.approx(theirs[:, 70:130, 70:130].std().item(), rel=0.1)


def test_a_part_is_simulated_where_it_lies() -> None:
    """Behind a rod of bone noise runs in streaks along it: more to its left and right than above and below."""
    hu = water(4).clone()
    hu[:, 95:105, 60:140] = 1500
    scanner = Scanner(views=360)
    exposure = Exposure(hu, PIXEL_MM, scanner)

    def strength(x: float, y: float) -> float:
        at_x, at_y = x + pixel_centres(0, 24, 24, 1.0), y + pixel_centres(0, 24, 24, 1.0)
        generator = torch.Generator().manual_seed(3)
        return float(exposure.noise(torch.full((4,), FLUX), Kernel(cutoff=0.5), at_x, at_y, generator).std())

    assert strength(80, 0) > 1.2 * strength(0, 80)


def test_a_bow_tie_takes_photons_from_the_sides_and_modulation_gives_them_to_the_thick_views() -> None:
    plain, tied = (noise(Scanner(views=240, bow_tie_mm=mm), Kernel(cutoff=0.5)).std().item() for mm in (0, 250))
    assert tied == pytest.approx(plain, rel=0.1)  # the middle keeps its own
    hu = water(1).clone()
    hu[:, 60:140, :] = 0  # wide and flat: views along it see most
    steady, modulated = (Exposure(hu, PIXEL_MM, Scanner(views=240, modulation=m))._beam() for m in (0.0, 0.5))
    assert steady.mean(2).std() < 1e-6 < modulated.mean(2).std()
    assert modulated[0, :, 444].mean().item() == pytest.approx(1, abs=0.02)

"""Computed tomography in a parallel-beam geometry: projection, photon noise and filtered back-projection.

Physical units throughout: lengths in mm, attenuation in 1/mm, so that a line integral is a pure number and the
noise of a slice follows from the number of photons that enter it. Nothing here is differentiable; many slices of
one geometry share every index computation, so simulate them in one call.

    H  rows of a slice     W  columns of a slice   B  slices
    V  views over 180 deg  D  detector bins        S  samples along a ray

Sources: Kak and Slaney, Principles of Computerized Tomographic Imaging (1988), ch. 3 (filtered back-projection);
Joseph, IEEE Trans. Med. Imaging 1 (1982) 192 (projection); Zeng et al., IEEE Trans. Nucl. Sci. 62 (2015) 2226
(low-dose simulation with Poisson and electronic noise).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

MU_WATER = 0.0192  # 1/mm, at about 70 keV: the effective energy of a 120 kVp beam
STORED_HU = (-1024.0, 3071.0)  # what a scanner's 12-bit pixels can hold
VIEWS_AT_ONCE = 8  # bounds the memory of the interpolation indices


@dataclass(frozen=True, kw_only=True)
class Geometry:
    """Square slices of `side` pixels turning about their centre; the detector's pitch is the pixel's size."""

    side: int
    pixel_mm: float
    views: int = 720

    @property
    def bins(self) -> int:
        """Enough to see the diagonal; odd, so that one bin looks through the centre."""
        return math.ceil(math.sqrt(2) * self.side) | 1

    @property
    def angles(self) -> list[float]:
        """The views' angles in radians, over half a turn."""
        return [math.pi * view / self.views for view in range(self.views)]


def attenuation(hu: Tensor) -> Tensor:
    """Hounsfield units -> linear attenuation coefficient in 1/mm; nothing is less dense than vacuum."""
    return MU_WATER * (1 + hu / 1000).clamp(min=0)


def project(mu_BHW: Tensor, geometry: Geometry) -> Tensor:
    """Line integrals [B, V, D] of `mu_BHW` in 1/mm.

    Joseph's method: a ray visits each row (or each column, whichever it crosses more steeply) once and
    interpolates linearly between the two pixels it passes there.
    """
    mu_PB = mu_BHW.flatten(1).T.contiguous()
    sinogram_VDB = torch.stack([_weighted_sum(mu_PB, *_ray_samples(geometry, angle)) for angle in geometry.angles])
    return geometry.pixel_mm * sinogram_VDB.permute(2, 0, 1)


def reconstruct(sinogram_BVD: Tensor, geometry: Geometry, cutoff: Tensor | float | None = None) -> Tensor:
    """Filtered back-projection of line integrals to attenuation [B, H, W] in 1/mm.

    `cutoff`, one number or one per slice, is where a Hann window brings the ramp filter to zero, as a fraction of
    the Nyquist frequency (a scanner's soft kernel); None is the bare ramp.
    """
    filtered_VDB = _ramp_filtered(sinogram_BVD, geometry, cutoff).permute(1, 2, 0).contiguous()
    side, batch = geometry.side, len(sinogram_BVD)
    mu_PB = filtered_VDB.new_zeros(side * side, batch)
    for chosen, index_PS, weight_PS in _pixel_samples(geometry):
        mu_PB += _weighted_sum(filtered_VDB[chosen].flatten(0, 1), index_PS, weight_PS)
    return (math.pi / geometry.views) * mu_PB.T.reshape(batch, side, side)


def measure(sinogram_BVD: Tensor, flux_B: Tensor, electronic: float, generator: torch.Generator) -> Tensor:
    """Line integrals as a detector measures them, from Poisson counts plus Gaussian electronic noise.

    `flux_B` photons enter along each ray; `electronic` is a standard deviation in photons. A bin that sees less
    than one photon reads one, as the logarithm needs.
    """
    flux_B11 = flux_B[:, None, None]
    counts = torch.poisson(flux_B11 * torch.exp(-sinogram_BVD), generator)
    counts += electronic * torch.randn(counts.shape, generator=generator)
    return -torch.log(counts.clamp(min=1) / flux_B11)


class Scan:
    """Slices of a scan, ready to be measured again with fewer photons."""

    def __init__(self, hu_BHW: Tensor, geometry: Geometry) -> None:
        self.hu_BHW, self.geometry = hu_BHW, geometry
        self.sinogram_BVD = project(attenuation(hu_BHW), geometry)

    def low_dose(
        self,
        flux_B: Tensor,
        generator: torch.Generator,
        electronic: float = 10.0,
        cutoff: Tensor | float | None = None,
    ) -> Tensor:
        """The slices in HU [B, H, W] as `flux_B` photons per ray would have shown them, stored like a scanner's.

        Filtered back-projection is linear, so only what the measurement adds to the sinogram is reconstructed and
        laid over the slice: slice and simulation differ by noise alone, not by the blur of a second reconstruction.
        """
        noise_BVD = measure(self.sinogram_BVD, flux_B, electronic, generator) - self.sinogram_BVD
        noise_BHW = reconstruct(noise_BVD, self.geometry, cutoff) * (1000 / MU_WATER)
        return (self.hu_BHW + noise_BHW).clamp(*STORED_HU)


def _ray_samples(geometry: Geometry, angle: float) -> tuple[Tensor, Tensor]:
    """Flat pixel indices and weights [D, S], in pixel lengths, of one view's rays: x cos(angle) + y sin(angle) = t."""
    side, centre = geometry.side, (geometry.side - 1) / 2
    cos, sin = math.cos(angle), math.sin(angle)
    t_D1 = (torch.arange(geometry.bins) - geometry.bins // 2)[:, None]
    line_L = torch.arange(side)
    along_rows = abs(cos) >= abs(sin)  # else along columns; y points up, rows count down
    if along_rows:
        crossing_DL = (t_D1 - (centre - line_L) * sin) / cos + centre
        stride, line_stride = 1, side
    else:
        crossing_DL = centre - (t_D1 - (line_L - centre) * cos) / sin
        stride, line_stride = side, 1
    low_DL = crossing_DL.floor()
    both_DLS = torch.stack([low_DL, low_DL + 1], dim=-1)
    weight_DLS = (1 - (crossing_DL[..., None] - both_DLS).abs()) / max(abs(cos), abs(sin))
    weight_DLS *= (both_DLS >= 0) & (both_DLS < side)
    index_DLS = both_DLS.long().clamp(0, side - 1) * stride + (line_L * line_stride)[:, None]
    return index_DLS.flatten(1), weight_DLS.flatten(1)


def _pixel_samples(geometry: Geometry) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """A few views at a time: the views, and for each pixel flat (view, bin) indices and weights [H * W, S]."""
    x_W = torch.arange(geometry.side) - (geometry.side - 1) / 2
    angles = torch.tensor(geometry.angles)
    for first in range(0, geometry.views, VIEWS_AT_ONCE):
        chosen = slice(first, first + VIEWS_AT_ONCE)
        x_W1, y_H11 = x_W[:, None], -x_W[:, None, None]
        t_PV = (x_W1 * angles[chosen].cos() + y_H11 * angles[chosen].sin()).flatten(0, 1) + geometry.bins // 2
        low_PV = t_PV.floor()
        above_PV = t_PV - low_PV
        index_PV = low_PV.long() + geometry.bins * torch.arange(t_PV.shape[1])
        yield chosen, torch.cat([index_PV, index_PV + 1], dim=1), torch.cat([1 - above_PV, above_PV], dim=1)


def _ramp_filtered(sinogram_BVD: Tensor, geometry: Geometry, cutoff: Tensor | float | None) -> Tensor:
    """Each view convolved with the band-limited ramp (Kak and Slaney, ch. 3, eq. 61), whose mean is not lost."""
    length = 2 ** math.ceil(math.log2(2 * geometry.bins))
    n = torch.fft.fftfreq(length, 1 / length)
    kernel = torch.where(n % 2 == 1, -1 / (math.pi * n) ** 2, 0.0)
    kernel[0] = 1 / 4
    response_F = torch.fft.rfft(kernel).real / geometry.pixel_mm
    if cutoff is not None:
        fraction_F = torch.linspace(0, 1, len(response_F)) / torch.as_tensor(cutoff).reshape(-1, 1, 1)
        response_F = response_F * torch.where(fraction_F < 1, 0.5 + 0.5 * torch.cos(math.pi * fraction_F), 0.0)
    spectrum_BVF = torch.fft.rfft(sinogram_BVD, n=length) * response_F
    filtered_BVD: Tensor = torch.fft.irfft(spectrum_BVF, n=length)[..., : geometry.bins]
    return filtered_BVD


def _weighted_sum(values_NB: Tensor, index_KS: Tensor, weight_KS: Tensor) -> Tensor:
    """For each of K outputs the weighted sum of S rows of `values_NB`: one fused gather, [K, B]."""
    return embedding_bag(index_KS, values_NB, mode="sum", per_sample_weights=weight_KS)

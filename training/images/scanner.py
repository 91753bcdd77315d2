"""A scanner's noise in any part of any slice: fan or parallel beam, photon statistics, a range of kernels.

The geometry of a clinical scanner of the third generation: rays fan out of a source that turns about the slice, onto
bins of equal angles, a quarter of a bin off the middle. Line integrals are measured as Poisson counts with electronic
noise, rebinned to parallel rays, filtered and projected back. Reconstruction is linear, so only what the measurement
adds goes through it: the noise of a slice, streaks behind bone and shoulders included, to be laid over the slice.
Line integrals vary slowly and are taken from a coarse grid; noise, which differs from bin to bin, is not.

    B  slices   H, W  rows and columns   V  views   D  detector bins   T  parallel rays

Sources: Kak and Slaney, Principles of Computerized Tomographic Imaging (1988), ch. 3.4.3 (rebinning); Zeng et al., IEEE
Trans. Nucl. Sci. 62 (2015) 2226 (noise of low doses); Yu et al., J. Comput. Assist. Tomogr. 36 (2012) 477 (noise that
is added to a scan); Gies et al., Med. Phys. 26 (1999) 2235 (tube-current modulation).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, embedding_bag, grid_sample, pad

from training.images import tomography
from training.images.tomography import MU_WATER, Geometry

COARSE_MM, COARSE_VIEWS = 2.0, 180  # of the grid that line integrals are taken from
SAMPLES_AT_ONCE = 2**22  # bounds the memory of the interpolation indices


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """A window on the ramp filter: Hann's, which ends at `cutoff` per mm, raised by `boost` towards that end."""

    cutoff: float
    boost: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Scanner:
    """`views` are those of a whole turn, or of half a turn where rays are parallel: without `source_mm`.

    `source_mm` is the distance of source and isocentre and `pitch_mm` that of two bins there. `bow_tie_mm` is the
    diameter of the water whose thinner sides a bow-tie filter makes up for. Tube current goes with the power
    `modulation` of a view's attenuation. `electronic` noise is a standard deviation in photons.
    """

    views: int = 984
    bins: int = 888
    pitch_mm: float = 0.584
    source_mm: float | None = 541.0
    bow_tie_mm: float = 0.0
    modulation: float = 0.0
    electronic: float = 10.0

    @property
    def turn(self) -> float:
        return math.pi if self.source_mm is None else 2 * math.pi

    @property
    def angles(self) -> Tensor:
        """Of the views, in radians [V]."""
        return torch.arange(self.views) * (self.turn / self.views)

    @property
    def positions(self) -> Tensor:
        """Of the bins, in mm along an arc through the isocentre [D]."""
        offset = 0.0 if self.source_mm is None else 0.25
        return (torch.arange(self.bins) - (self.bins - 1) / 2 + offset) * self.pitch_mm

    def rays(self) -> tuple[Tensor, Tensor]:
        """Direction in radians and distance from the isocentre in mm of every ray, [V, D] each."""
        if self.source_mm is None:
            return self.angles[:, None].expand(-1, self.bins), self.positions.expand(self.views, -1)
        fan_D = self.positions / self.source_mm
        return self.angles[:, None] + fan_D, (self.source_mm * fan_D.sin()).expand(self.views, -1)


def parallel(*, side: int, pixel_mm: float, views: int) -> Scanner:
    """The scanner of `tomography.Geometry`: bins as wide as the pixels."""
    bins = Geometry(side=side, pixel_mm=pixel_mm, views=views).bins
    return Scanner(views=views, bins=bins, pitch_mm=pixel_mm, source_mm=None)


def remaining_flux(flux: float, fraction: float) -> float:
    """The photons per ray whose noise makes of a scan with `flux` one with that `fraction` of its dose."""
    return flux * fraction / (1 - fraction)


class Exposure:
    """Square slices [B, H, W] in HU about the isocentre, in a scanner: what their noise is made from."""

    def __init__(self, hu_BHW: Tensor, pixel_mm: float, scanner: Scanner) -> None:
        self.scanner = scanner
        field_mm = hu_BHW.shape[-1] * pixel_mm
        side = max(16, round(field_mm / COARSE_MM))
        geometry = Geometry(side=side, pixel_mm=field_mm / side, views=COARSE_VIEWS)
        coarse_BVD = tomography.project(adaptive_avg_pool2d(tomography.attenuation(hu_BHW), side), geometry)
        self.sinogram_BVD = _interpolated(coarse_BVD, geometry, *scanner.rays())

    def noise(self, flux_B: Tensor, kernel: Kernel, x_W: Tensor, y_H: Tensor, generator: torch.Generator) -> Tensor:
        """In HU [B, H, W] at columns `x_W` and rows `y_H`, in mm to the right and up, for `flux_B` photons per ray."""
        scanner = self.scanner
        flux_BVD = flux_B[:, None, None] * self._beam()
        counts_BVD = torch.poisson(flux_BVD * torch.exp(-self.sinogram_BVD), generator)
        counts_BVD += scanner.electronic * torch.randn(counts_BVD.shape, generator=generator)
        added_BVD = -torch.log(counts_BVD.clamp(min=1) / flux_BVD) - self.sinogram_BVD
        rays_BVT = added_BVD if scanner.source_mm is None else _rebinned(added_BVD, scanner)
        return _back_projected(_filtered(rays_BVT, kernel, scanner), scanner, x_W, y_H) * (1000 / MU_WATER)

    def _beam(self) -> Tensor:
        """The share of the flux that each ray begins with [B, V, D]; its mean over views is 1 in the middle."""
        scanner = self.scanner
        _, distance_VD = scanner.rays()
        radius = scanner.bow_tie_mm / 2
        missing_VD = 2 * (radius - (radius**2 - distance_VD**2).clamp(min=0).sqrt())
        current_BV1 = self.sinogram_BVD.amax(2, keepdim=True).mul(scanner.modulation).exp()
        return torch.exp(-MU_WATER * missing_VD) * current_BV1 / current_BV1.mean(1, keepdim=True)


def low_dose(
    hu_BHW: Tensor,
    pixel_mm: float,
    scanner: Scanner,
    kernel: Kernel,
    flux: float,
    generator: torch.Generator,
    margin: int = 0,
) -> Tensor:
    """Slices as `flux` photons per ray would have shown them, stored like a scanner's, less a margin of pixels."""
    side = hu_BHW.shape[-1]
    inner = slice(margin, side - margin)
    x_W = pixel_centres(margin, side - 2 * margin, side, pixel_mm)
    exposure = Exposure(hu_BHW, pixel_mm, scanner)
    noise_BHW = exposure.noise(torch.full((len(hu_BHW),), flux), kernel, x_W, -x_W, generator)
    return (hu_BHW[:, inner, inner] + noise_BHW).clamp(*tomography.STORED_HU)


def pixel_centres(first: int, count: int, side: int, pixel_mm: float) -> Tensor:
    """Of `count` columns from `first` on, in mm to the right of the middle; of rows, the same turned about: down."""
    return (torch.arange(first, first + count) - (side - 1) / 2) * pixel_mm


def _interpolated(coarse_BVD: Tensor, geometry: Geometry, direction: Tensor, distance: Tensor) -> Tensor:
    """Line integrals along other rays, from parallel ones over half a turn; a ray turned round is the same."""
    turned = torch.floor(direction / math.pi)
    view = (direction - turned * math.pi) * (geometry.views / math.pi)
    bin = torch.where(turned % 2 == 0, distance, -distance) / geometry.pixel_mm + geometry.bins // 2
    closed_BVD = torch.cat([coarse_BVD, coarse_BVD[:, :1].flip(2)], dim=1)
    return _sampled(closed_BVD, view, bin)


def _rebinned(fan_BVD: Tensor, scanner: Scanner) -> Tensor:
    """Rays of a fan as parallel ones [B, V, T], at the bins' pitch."""
    assert scanner.source_mm is not None
    fan_T = torch.asin((scanner.positions / scanner.source_mm).clamp(-1, 1))
    view_VT = (scanner.angles[:, None] - fan_T) * (scanner.views / scanner.turn)
    bin_T = (fan_T * scanner.source_mm - scanner.positions[0]) / scanner.pitch_mm
    closed_BVD = torch.cat([fan_BVD, fan_BVD[:, :1]], dim=1)
    return _sampled(closed_BVD, view_VT % scanner.views, bin_T.expand_as(view_VT))


def _sampled(sinogram_BVD: Tensor, view: Tensor, bin: Tensor) -> Tensor:
    """Linear interpolation at fractional views and bins; beyond the detector there is nothing."""
    _, views, bins = sinogram_BVD.shape
    grid = torch.stack([2 * bin / (bins - 1) - 1, 2 * view / (views - 1) - 1], dim=-1)
    return grid_sample(sinogram_BVD[None], grid[None], align_corners=True)[0]


def _filtered(rays_BVT: Tensor, kernel: Kernel, scanner: Scanner) -> Tensor:
    """Each view convolved with the band-limited ramp under the kernel's window."""
    length = 2 ** math.ceil(math.log2(2 * rays_BVT.shape[2]))
    n = torch.fft.fftfreq(length, 1 / length)
    ramp = torch.where(n % 2 == 1, -1 / (math.pi * n) ** 2, 0.0)
    ramp[0] = 1 / 4
    share_F = torch.fft.rfftfreq(length, scanner.pitch_mm) / kernel.cutoff
    window_F = torch.where(share_F < 1, (0.5 + 0.5 * torch.cos(math.pi * share_F)) * (1 + kernel.boost * share_F), 0.0)
    response_F = torch.fft.rfft(ramp).real / scanner.pitch_mm * window_F
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(rays_BVT, n=length) * response_F, n=length)
    return filtered[..., : rays_BVT.shape[2]]


def _back_projected(filtered_BVT: Tensor, scanner: Scanner, x_W: Tensor, y_H: Tensor) -> Tensor:
    """The mean over views, times pi, at each pixel; rays on either side of it count by their nearness."""
    batch, _, rays = filtered_BVT.shape
    values_VTB = pad(filtered_BVT, (1, 1)).permute(1, 2, 0).contiguous()  # nothing beyond the detector
    first = float(scanner.positions[0]) - scanner.pitch_mm
    image_PB = filtered_BVT.new_zeros(len(y_H) * len(x_W), batch)
    step = max(1, SAMPLES_AT_ONCE // len(image_PB))
    for start in range(0, scanner.views, step):
        angles = scanner.angles[start : start + step]
        across_V, up_V = angles.cos() / scanner.pitch_mm, angles.sin() / scanner.pitch_mm
        t_PV = (y_H[:, None, None] * up_V + x_W[:, None] * across_V - first / scanner.pitch_mm).flatten(0, 1)
        t_PV.clamp_(0, rays + 0.999)
        low_PV = t_PV.int()
        above_PV = t_PV - low_PV
        index_PV = low_PV + (rays + 2) * torch.arange(len(angles), dtype=torch.int32)
        index_PS = torch.cat([index_PV, index_PV + 1], dim=1)
        weight_PS = torch.cat([1 - above_PV, above_PV], dim=1)
        values_NB = values_VTB[start : start + step].flatten(0, 1)
        image_PB += embedding_bag(index_PS, values_NB, mode="sum", per_sample_weights=weight_PS)
    image_BHW: Tensor = (math.pi / scanner.views) * image_PB.T.reshape(batch, len(y_H), len(x_W))
    return image_BHW

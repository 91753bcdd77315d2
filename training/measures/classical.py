"""Classical filters of noise, which a network has to beat: each takes slices [N, H, W] in HU, and a strength."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_bilateral, denoise_nl_means, denoise_tv_chambolle

from training.measures.bm3d import bm3d, covariance_of

Slices = NDArray[np.float32]
Filter = Callable[[Slices, float], Slices]


def noise_of(slice: Slices) -> float:
    """Standard deviation in HU within the body, by the median of differences that edges hardly change."""
    difference = slice[:-1, :-1] - slice[1:, :-1] - slice[:-1, 1:] + slice[1:, 1:]
    return float(np.median(np.abs(difference[slice[:-1, :-1] > -950])) / 0.6745 / 2)


def gaussian(low: Slices, sigma: float) -> Slices:
    """`sigma` in pixels."""
    return np.stack([gaussian_filter(slice, sigma) for slice in low])


def bilateral(low: Slices, strength: float) -> Slices:
    """`strength` is a multiple of the slice's noise, as with non-local means."""

    def filtered(slice: Slices) -> Slices:
        floor, sigma = float(slice.min()), strength * noise_of(slice)
        # It takes no negative values.
        found = denoise_bilateral(slice - floor, win_size=7, sigma_color=sigma, sigma_spatial=1.5, bins=2000)
        return np.asarray(found + floor, np.float32)

    return np.stack([filtered(slice) for slice in low])


def non_local_means(low: Slices, strength: float) -> Slices:
    def filtered(slice: Slices) -> Slices:
        found = denoise_nl_means(slice, patch_size=5, patch_distance=5, h=strength * noise_of(slice))
        return np.asarray(found, np.float32)

    return np.stack([filtered(slice) for slice in low])


def total_variation(low: Slices, strength: float) -> Slices:
    """`strength` in HU."""
    return np.stack([denoise_tv_chambolle(slice, strength) for slice in low])  # type: ignore[no-untyped-call]


def block_matching(noise: NDArray[Any]) -> Filter:
    """BM3D that is told the covariance of such `noise` [N, H, W], of which `strength` is a multiple."""
    covariance = covariance_of(noise)
    return lambda low, strength: np.stack([bm3d(slice, strength**2 * covariance) for slice in low])


STRENGTHS: dict[str, Sequence[float]] = {
    "a Gaussian filter": (0.4, 0.5, 0.6, 0.8, 1.0),
    "the bilateral filter": (0.8, 1.2, 2.0, 3.0),
    "non-local means": (0.8, 1.2, 2.0, 3.0, 4.0),
    "total variation": (4, 8, 12, 18, 27),
    "BM3D": (0.8, 1.0, 1.2, 1.5),
}


def filters(noise: NDArray[Any]) -> dict[str, Filter]:
    """By the names in STRENGTHS, which are those to choose from on validation slices."""
    own: tuple[Filter, ...] = gaussian, bilateral, non_local_means, total_variation, block_matching(noise)
    return dict(zip(STRENGTHS, own, strict=True))


def tuned(smooth: Filter, strengths: Sequence[float], low: Slices, clean: Slices) -> float:
    """The strength that leaves the least error."""
    errors = [np.square(smooth(low, strength) - clean).mean() for strength in strengths]
    return strengths[int(np.argmin(errors))]

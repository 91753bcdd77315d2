"""How close images come to their references: one figure for each of N images, float [N, H, W]."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

Images = NDArray[np.floating[Any]]
Figures = NDArray[np.float64]


def rmse(images: Images, references: Images) -> Figures:
    """Root mean square error, in the unit of the images."""
    return np.asarray(np.sqrt(np.square(images - references, dtype=np.float64).mean((1, 2))))


def psnr(images: Images, references: Images, window: tuple[float, float]) -> Figures:
    """Peak signal-to-noise ratio in dB, both clipped to the window, whose width is the peak."""
    error = rmse(images.clip(*window), references.clip(*window))
    return np.asarray(20 * np.log10((window[1] - window[0]) / error))


def ssim(images: Images, references: Images, window: tuple[float, float]) -> Figures:
    """Structural similarity, both clipped to the window (Wang et al., IEEE Trans. Image Process. 13(4), 2004)."""
    # The paper's Gaussian weights, and its variances without Bessel's correction.
    paper = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    pairs = zip(images.clip(*window), references.clip(*window), strict=True)
    peak = window[1] - window[0]
    return np.array([structural_similarity(x, y, data_range=peak, **paper) for x, y in pairs])  # type: ignore[no-untyped-call]

"""How close images come to their references: one figure for each of N images, float [N, H, W]."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

Images = NDArray[np.floating[Any]]
Figures = NDArray[np.float64]
EDGE_HU = 15.0  # per pixel: what is less steep is no edge


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


def sharpness(images: Images, references: Images) -> Figures:
    """How steep the edges of the references are in the images: 1 as steep, 0 gone. NaN where there are none.

    The slope of the images' gradients on the references', over the places where these are steepest; noise, which knows
    nothing of edges, does not change it on average.
    """
    found = []
    for image, reference in zip(images.astype(np.float64), references.astype(np.float64), strict=True):
        wanted, smooth = np.stack(np.gradient(reference)), np.stack(np.gradient(gaussian_filter(reference, 1)))
        steep = np.hypot(*smooth)
        edge = steep > max(EDGE_HU, float(np.quantile(steep, 0.95)))
        energy = np.square(wanted[:, edge]).sum()
        found.append(
            (np.stack(np.gradient(image))[:, edge] * wanted[:, edge]).sum() / energy if edge.sum() > 20 else np.nan
        )
    return np.array(found)


def contrast(images: Images, inside: NDArray[np.bool_], around: NDArray[np.bool_]) -> Figures:
    """Of a lesion, in the unit of the images: its mean less that of what is around it."""
    return np.asarray(images[:, inside].mean(1) - images[:, around].mean(1), np.float64)


def noise_power(noise: Images, pixel_mm: float, bins: int = 16) -> tuple[Figures, Figures]:
    """The noise power spectrum of pictures of nothing but noise: frequencies per mm, and HU^2 mm^2 at each, all round.

    Its integral over the plane of frequencies is the variance.
    """
    centred = noise - noise.mean((1, 2), keepdims=True)
    power = (np.abs(np.fft.fft2(centred)) ** 2).mean(0) * pixel_mm**2 / centred[0].size
    y, x = (np.fft.fftfreq(size, pixel_mm) for size in centred.shape[1:])
    radius = np.hypot(y[:, None], x)
    edges = np.linspace(0, 0.5 / pixel_mm, bins + 1)
    ring = np.digitize(radius.ravel(), edges) - 1
    held = ring < bins
    count = np.bincount(ring[held], minlength=bins)
    return (edges[1:] + edges[:-1]) / 2, np.bincount(ring[held], power.ravel()[held], bins) / np.maximum(count, 1)

"""What a denoiser makes of noise, edges and detectability, in drawn phantoms and a real one scanned at two doses."""

import io
from typing import Any

import numpy as np
import pydicom
import torch
from numpy.typing import NDArray

from service.bundle import Metric
from training.data import phantom_ct
from training.images.anatomy import Body, Shape, lesion
from training.images.scanner import pixel_centres
from training.measures import ct
from training.measures.ct import DOSES, DRAWN_MM, KERNEL, LESION_HU, LESION_MM, NORMAL_FLUX, SCANS, Denoise, Slices
from training.measures.evaluation import bootstrapped
from training.measures.image_quality import Figures, noise_power

SIDE = 384
GRID = pixel_centres(0, SIDE, SIDE, DRAWN_MM).numpy()
TRUNK = Shape(x=0, y=0, a=130, b=100, hu=50)
EVEN = slice(SIDE // 2 - 64, SIDE // 2 + 64)  # rows and columns within it
INSERT_MM, INSERTS_HU = 24.0, (-900.0, 60.0, 300.0, 900.0)  # above the trunk, as a phantom's plastics are
RADIAL = np.arange(0.0, 20.0, 0.25)  # mm from the middle of an insert
PAIR = "Low dose thorax", "Pelvis"  # 20 and 80 mA, at other tube voltages
EVEN_MODULE, MIDDLE = slice(14, 25), slice(224, 288)  # slices; rows and columns of each
PLACES = [(30.0 * column - 45, 40.0 * row - 40) for row in range(3) for column in range(4)]
REACH = 20  # pixels about a place
NEAR = DRAWN_MM * np.hypot(*np.mgrid[-REACH : REACH + 1, -REACH : REACH + 1])  # mm from the middle of it
SPLIT = "drawn"


def scanned(shapes: tuple[Shape, ...], flux: float, seed: int) -> tuple[Slices, Slices]:
    """A trunk with `shapes` in it [1, H, W], and SCANS scans of it."""
    clean = torch.from_numpy(Body(shapes=(TRUNK,), lesions=shapes).draw(GRID, GRID))[None]
    return clean.numpy(), ct.simulated(clean.expand(SCANS, -1, -1), DRAWN_MM, flux, seed).numpy()


def noise_figures(denoise: Denoise) -> list[Metric]:
    """The spectrum before and after, and whether the simulated noise goes with dose and frequency as theory says."""
    noises = {}
    for share in (1.0, 0.5, 0.25, 0.1):
        clean, low = scanned((), share * NORMAL_FLUX, seed=3)
        noises[share] = (low - clean)[:, EVEN, EVEN]
        if share * NORMAL_FLUX == DOSES["quarter dose"]:
            before, after = low[:, EVEN, EVEN] - clean[:, EVEN, EVEN], (denoise(low) - clean)[:, EVEN, EVEN]
    deviations = np.log([noise.std((1, 2)) for noise in noises.values()])
    powers = np.polyfit(np.log(list(noises)), deviations, 1)[0]
    told = "quarter dose, even soft tissue"
    return [
        _average("noise before, even phantom", before.std((1, 2)), "HU", told),
        _average("noise after, even phantom", after.std((1, 2)), "HU", told),
        _average("mean frequency of the noise before", mean_frequencies(before, DRAWN_MM), "1/mm", told),
        _average("mean frequency of the noise after", mean_frequencies(after, DRAWN_MM), "1/mm", told),
        _average("noise against dose, exponent", powers, "", "theory: -0.5 of quanta alone; electronic noise adds"),
        _average(
            "noise spectrum against theory", _like_theory(before), "", "correlation with ramp times window squared"
        ),
    ]


def spectra(denoise: Denoise) -> tuple[Figures, dict[str, Figures]]:
    """Frequencies per mm, and the noise power in HU^2 mm^2 before, after, and in theory at the same variance."""
    clean, low = scanned((), DOSES["quarter dose"], seed=3)
    frequency, before = noise_power((low - clean)[:, EVEN, EVEN], DRAWN_MM)
    _, after = noise_power((denoise(low) - clean)[:, EVEN, EVEN], DRAWN_MM)
    theory = _theory(frequency)
    return frequency, {"before": before, "after": after, "theory": theory * (before @ frequency) / (theory @ frequency)}


def _theory(frequency: Figures) -> Figures:
    """Of filtered back-projection (Riederer et al., Phys. Med. Biol. 23, 1978): |f| times the window squared."""
    share = frequency / (KERNEL * 0.5 / DRAWN_MM)
    window = np.where(share < 1, 0.5 + 0.5 * np.cos(np.pi * share), 0)
    return np.asarray(frequency * window**2)


def _like_theory(noise: Slices) -> list[float]:
    found = [noise_power(one[None], DRAWN_MM) for one in noise]
    return [float(np.corrcoef(power, _theory(frequency))[0, 1]) for frequency, power in found]


def mean_frequencies(noise: Slices, pixel_mm: float) -> list[float]:
    """The mean of the spectrum over the plane of frequencies, of each slice."""
    found = [noise_power(one[None], pixel_mm) for one in noise]
    return [float((f**2 * power).sum() / (f * power).sum()) for f, power in found]


def insert_figures(denoise: Denoise) -> list[Metric]:
    """At inserts like a phantom's: where modulation transfer falls to a half, after over before, and what is added."""
    places = ((-60.0, -30.0), (60.0, -30.0), (-60.0, 30.0), (60.0, 30.0))
    inserts = tuple(lesion(*at, INSERT_MM, hu) for at, hu in zip(places, INSERTS_HU, strict=True))
    clean, low = scanned(inserts, DOSES["quarter dose"], seed=4)
    denoised, metrics = denoise(low), []
    for at, hu in zip(places, INSERTS_HU, strict=True):
        before, after = (_edges(images, at) for images in (low, denoised))
        inside = np.hypot(GRID - at[0], GRID[:, None] - at[1]) < 0.35 * INSERT_MM
        told = f"insert of {INSERT_MM:g} mm, quarter dose"
        metrics += [
            bootstrapped(
                f"modulation transfer kept, {hu:+g} HU",
                lambda one, other: _half_frequency(other.mean(0)) / _half_frequency(one.mean(0)),
                before,
                after,
                resamples=200,
                split=SPLIT,
                description=f"frequency of 50 %, after over before; {told}",
            ),
            _average(f"bias, {hu:+g} HU", denoised[:, inside].mean(1) - clean[0, inside].mean(), "HU", told),
        ]
    return metrics


def _edges(images: Slices, at: tuple[float, float]) -> Figures:
    """The mean of each slice by the distance from the middle of an insert [N, distances]: from inside out."""
    far = np.hypot(GRID - at[0], GRID[:, None] - at[1]).ravel()
    near = far < RADIAL[-1]
    ring = np.digitize(far[near], RADIAL) - 1
    count = np.maximum(np.bincount(ring, minlength=len(RADIAL)), 1)
    profiles = [np.bincount(ring, image.ravel()[near], len(RADIAL)) / count for image in images]
    return np.asarray(profiles)[:, 4:-1]  # few pixels are so near the middle


def _half_frequency(profile: Figures) -> float:
    """Where the transform of the slope across the edge is half of what it is at 0, per mm."""
    slope = np.diff(profile)
    transfer = np.abs(np.fft.rfft(slope, 1024))
    below = int(np.argmax(transfer < 0.5 * transfer[0]))
    return float(np.fft.rfftfreq(1024, RADIAL[1] - RADIAL[0])[below])


def detection_figures(denoise: Denoise) -> list[Metric]:
    """How well a model observer tells lesions from none, after and before.

    It lays the drawn lesion, less what is about it, over each place (a non-prewhitening matched filter: Wagner and
    Brown, Phys. Med. Biol. 30, 1985). Detectability is the mean of what it reads there, less that where there is
    nothing, in standard deviations of the latter.
    """
    sizes = [(diameter, hu) for hu in LESION_HU for diameter in LESION_MM]
    lesions = tuple(lesion(*place, *size) for place, size in zip(PLACES, sizes, strict=True))
    flux = DOSES["quarter dose"]
    (drawn, present), (even, absent) = scanned(lesions, flux, seed=5), scanned((), flux, seed=6)
    seen = [_around(images) for images in (present, absent, denoise(present), denoise(absent))]
    templates = _around(drawn - even)[0]
    metrics = []
    for number, (diameter, hu) in enumerate(sizes):
        inside = diameter / 2 + 6 > NEAR
        template = np.where(inside, templates[number] - templates[number][inside].mean(), 0)
        read = [(images * template).sum((2, 3)) for images in seen]
        read[0], read[2] = (one[:, number] for one in (read[0], read[2]))
        told = f"{_detectability(*read[:2]):.2f} before; matched filter, quarter dose, even soft tissue"
        name = f"detectability, {diameter:g} mm, {hu:+g} HU"
        metrics.append(bootstrapped(name, _detectability, *read[2:], resamples=200, split=SPLIT, description=told))
    return metrics


def _around(images: Slices) -> NDArray[np.float32]:
    """What is about each of PLACES, [N, places, H, W]."""
    corners = [(round(y / DRAWN_MM) + SIDE // 2 - REACH, round(x / DRAWN_MM) + SIDE // 2 - REACH) for x, y in PLACES]
    size = 2 * REACH + 1
    return np.stack([images[:, top : top + size, left : left + size] for top, left in corners], axis=1)


def _detectability(there: Figures, nothing: Figures) -> float:
    return float((there.mean() - nothing.mean()) / nothing.std())


def pair_figures(denoise: Denoise) -> list[Metric]:
    """The even module of a real phantom at two doses, of a cone-beam machine unlike those simulated."""
    metrics = []
    deviations = {}
    for series in PAIR:
        dicoms = [pydicom.dcmread(io.BytesIO(data)) for data in phantom_ct(series)[EVEN_MODULE]]
        hu = np.stack([d.pixel_array * d.RescaleSlope + d.RescaleIntercept for d in dicoms]).astype(np.float32)
        middle = (slice(None), MIDDLE, MIDDLE)
        pixel_mm, low, after = float(dicoms[0].PixelSpacing[0]), hu[middle], denoise(hu)[middle]
        deviations[series] = low.std((1, 2))
        where = f"even module of a phantom, {dicoms[0].XRayTubeCurrent} mA, {dicoms[0].KVP} kV"
        for when, shown in {"before": low, "after": after}.items():
            found = mean_frequencies(shown, pixel_mm)
            metrics.append(_average(f"mean frequency {when}, {series}", found, "1/mm", where, "another scanner"))
        metrics.append(
            _average(f"noise kept, {series}", after.std((1, 2)) / low.std((1, 2)), "", where, "another scanner")
        )
    low, high = (deviations[series] for series in PAIR)
    told = "quanta alone at one voltage: 2 for a quarter of the current; the voltages differ, and scatter adds"
    return [*metrics, _average("noise of the low over the high dose", low / high, "", told, "another scanner")]


def _average(name: str, values: Any, unit: str, description: str, split: str = SPLIT) -> Metric:
    return ct.average(name, values, unit, description, split)

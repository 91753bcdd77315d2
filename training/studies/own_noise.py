"""A scanner that nobody simulated.

`ct-denoiser` knows simulated noise. Here it goes on learning from the noise of a real scan alone, as `python -m
training run ct-denoiser --from CURRENT --data FOLDER` does where the folder's schema calls the slices noisy: 29
slices of a phantom from a cone-beam machine at 20 mA, without any truth. The figures are of the phantom's even
module, 11 slices that trained nothing; but of three rules for how strong the noise may be, the one that is used was
chosen by them, so the gain of `own noise` is no held-out figure. All its slices show the same, so the truth of each
is the mean of the ten others, whose own noise limits the gain to about 10 dB. PSNR is that within the phantom. Noise
is the standard deviation in the middle of a slice, frequency the mean of its spectrum, edges are those of the phantom
against air.
"""

import io
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pydicom
from matplotlib.figure import Figure

from training.data import Volume, phantom_ct
from training.export.parity import Predictor
from training.export.store import committed
from training.given.ct import OWN_NOISE
from training.kinds import ct_learning, denoising
from training.measures import ct
from training.measures.ct_phantoms import EVEN_MODULE, MIDDLE, mean_frequencies
from training.measures.image_quality import psnr, sharpness
from training.networks.denoiser import Denoiser, Tempered
from training.recipes.denoise.ct_denoiser import RECIPE
from training.report.pictures import png
from training.run import Run
from training.studies import Findings, Table

INSIDE = slice(176, 336)  # rows and columns within the phantom
LEARNED = slice(27, 64)  # other modules; the first six slices validate
HYPER = replace(RECIPE.hyper, **RECIPE.warm | OWN_NOISE | {"validation": (0, 6), "sets": 60, "epochs": 10})
WINDOW = (-60.0, 140.0)  # HU, of the picture
HEAD = "slices", "noise, HU", "mean frequency, 1/mm", "PSNR gain, dB", "edges kept", "mean shift, HU"


def study() -> Findings:
    scan = _scan()
    low = scan.hu[EVEN_MODULE].astype(np.float32)
    denoisers = {
        "ct-denoiser": denoising.denoising(Predictor(committed("ct-denoiser").graph)),
        "own noise": _taught(scan),
    }
    shown = {"as scanned": low} | {name: denoise(low) for name, denoise in denoisers.items()}
    rows = [[name, *_figures(low, after, scan.spacing[-1])] for name, after in shown.items()]
    return Findings({"The even module": Table(HEAD, rows)}, {"even-module": _draw(shown)})


def _scan() -> Volume:
    dicoms = [pydicom.dcmread(io.BytesIO(data)) for data in phantom_ct()]
    hu = np.stack([one.pixel_array * one.RescaleSlope + one.RescaleIntercept for one in dicoms]).astype(np.int16)
    pixel_mm = float(dicoms[0].PixelSpacing[0])
    return Volume("phantom", hu, (float(dicoms[0].SliceThickness), pixel_mm, pixel_mm), noisy=True)


def _taught(scan: Volume) -> ct.Denoise:
    """The committed network after it has learned from other slices of the scan, its correction bounded as ever."""
    run = Run("own-noise", HYPER, start=committed("ct-denoiser"))
    network, learned = Denoiser(HYPER.widths), replace(scan, hu=scan.hu[LEARNED])
    ct_learning.begin(network, committed("ct-denoiser"))
    pairs, checks = ct_learning.training_pairs(run, learned), denoising.checks(learned, HYPER)
    found = ct_learning.fit(
        run, network, pairs, checks, ct_learning.half_cosine(HYPER, pairs), ct_learning.cost_of(HYPER)
    )
    served = Tempered(HYPER.widths)
    served.load_state_dict(found.state_dict())
    return partial(denoising.applied, served.eval())


def _figures(low: ct.Slices, after: ct.Slices, pixel_mm: float) -> list[Any]:
    truth = (low.sum(0) - low) / (len(low) - 1)
    middle, before = after[:, MIDDLE, MIDDLE], low[:, MIDDLE, MIDDLE]
    inside = [psnr(x[:, INSIDE, INSIDE], truth[:, INSIDE, INSIDE], ct.WIDE) for x in (after, low)]
    edges = sharpness(after, truth) / sharpness(low, truth)
    found = (
        middle.std((1, 2)),
        mean_frequencies(middle, pixel_mm),
        inside[0] - inside[1],
        edges,
        middle.mean((1, 2)) - before.mean((1, 2)),
    )
    return [float(np.mean(values)) for values in found]


def _draw(shown: dict[str, ct.Slices]) -> bytes:
    figure = Figure(figsize=(7.2, 2.7), layout="constrained")
    for axes, (name, slices) in zip(figure.subplots(1, 3), shown.items(), strict=True):
        axes.imshow(slices[5, 100:300, 156:356], cmap="gray", vmin=WINDOW[0], vmax=WINDOW[1])
        axes.set_title(name, fontsize=9)
        axes.set(xticks=[], yticks=[])
    return png(figure)

"""A residual U-Net that takes the noise out of low-dose CT slices of the chest.

Network: the slice is shown through three windows (lung, soft tissue, bone), as a radiologist looks at it; a U-Net of
residual blocks at 1/2, 1/4 and 1/8 of the resolution predicts the noise, which is taken from the slice as it came,
so that values no window shows pass through; padding below -1024 HU stays as it is. 0.6 M parameters, any size from
32x32.
Sources: Ronneberger et al., U-Net, MICCAI 2015; Zhang et al., Beyond a Gaussian denoiser, IEEE Trans. Image Process.
26(7), 2017 (learning the residual); Chen et al., Low-dose CT with a residual encoder-decoder, IEEE Trans. Med. Imaging
36(12), 2017.
Data: CT of two patients' chests, 5 mm slices, BSD-3-Clause. The first patient trains the network; 6 neighbouring
slices, 15 mm away from the rest, validate it. The second patient only measures the result: the intervals
speak of that patient's slices, not of other patients. Who does what was fixed beforehand.
Dose: slices are projected, measured again with fewer photons (Poisson and electronic noise) and reconstructed, see
`training/images/tomography.py`. The noise alone goes through the reconstruction and is laid over the slice, which is
the reference: nothing asks the network to undo blur. The slice keeps the noise of its own scan (5 HU in soft tissue),
which nobody can predict and which limits every figure. Training draws the dose and the reconstruction kernel of each
slice anew in every epoch. 400,000 photons per ray are called the normal dose here. The simulator takes 360 views, and
evaluation a reconstruction kernel that a Hann window ends at 0.8 of the Nyquist frequency: figures at a "quarter dose"
hold for this simulator's quarter and not for any scanner's.
A phantom from another kind of scanner shows how far this carries beyond the simulation.
Pixels: the network knows how large structures are in pixels, not in millimetres. On coarser grids it takes vessels and
the edges of ribs for noise: slices are taken from 0.4 to 0.67 mm, where each validation slice, resampled, gains 1.0 dB
or more at a quarter of the dose; at 0.7 mm the least loses 0.2 dB. The second patient's slices still gain there.
Classical filters are given the best strength found on the validation slices; for non-local means it is a multiple of
the noise, whose spectrum none of them is told. BM3D is left out: its code may not be used commercially.
Expected: PSNR on the second patient rises by 4.4 dB at a quarter of the normal dose and by 5.8 dB at a tenth;
by 3.0 and 4.3 dB with non-local means, the best classical filter.
Run time: 12 minutes on one core.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydicom
import torch
from matplotlib.figure import Figure
from scipy.ndimage import zoom
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from service.bundle import Arrays, Axis, CtDenoising, Metric, Tolerance
from service.bundle import Tensor as Declared
from training.data import Volume, chest_ct, phantom_ct
from training.images import tomography
from training.images.tomography import Geometry, Scan
from training.measures.classical import Slices, gaussian, non_local_means, total_variation
from training.measures.evaluation import Evaluation, Predict, bootstrapped, histogram
from training.measures.image_quality import psnr, rmse, ssim
from training.networks.denoiser import Block
from training.recipe import Recipe
from training.report import pictures
from training.run import Run

# B batch, C channels, H rows, W columns, 2 low dose and reference

WINDOWS = (-1024.0, -400.0), (-200.0, 300.0), (-1024.0, 2000.0)  # HU: lung, soft tissue, bone
WHITE = 4.0  # lifts 10 HU of noise in soft tissue to about 0.1
NOISE_HU = 50.0  # one unit of the network's output
VIEWS = 360
NORMAL_FLUX = 4e5  # photons per ray
DOSES = {"quarter dose": NORMAL_FLUX / 4, "tenth dose": NORMAL_FLUX / 10}
SHOWN = 31  # the slice of the second patient in the pictures
WIDE, NARROW = (-1000.0, 400.0), (-160.0, 240.0)  # HU: the windows in which chest and soft tissue are looked at
SPACINGS_MM = 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0, 1.2, 1.4  # of pixels, at which the gain is measured
CHOOSING_MM = 0.4, 0.5, 0.6, 0.65, 0.67, 0.7, 0.75
SPACED = 10, 20, 31, 40, 50  # slices of the second patient that are resampled for that
KERNEL = 0.8  # cut-off of the reconstruction kernel that evaluation uses, as a share of the Nyquist frequency


@dataclass(frozen=True, kw_only=True)
class Hyper:
    seed: int = 1
    epochs: int = 20
    batch: int = 16
    learning_rate: float = 1e-3
    widths: tuple[int, ...] = (32, 64, 128)
    patch: int = 96  # pixels
    patches: int = 64  # drawn from each slice in an epoch
    lowest_flux: float = 2e4  # photons per ray
    softest_kernel: float = 0.7  # share of the Nyquist frequency
    validation: tuple[int, int] = (20, 26)  # slices of the first patient, the last one excluded
    gap: int = 2  # slices left out on either side


class Denoiser(nn.Module):
    """float32 [B, H, W] in HU to the same without noise; H and W are any numbers.

    An odd size is rounded up where the resolution halves and cut off where it doubles again.
    """

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        steps = list(zip(widths, widths[1:], strict=False))
        self.head = nn.Conv2d(len(WINDOWS), widths[0], 3, stride=2, padding=1)
        self.encode = nn.ModuleList(Block(width) for width in widths)
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 3, stride=2, padding=1) for fine, coarse in steps)
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in steps)
        self.decode = nn.ModuleList(Block(width) for width in widths[:-1])
        self.tail = nn.ConvTranspose2d(widths[0], 1, 4, stride=2, padding=1)

    def forward(self, slice: Tensor) -> Tensor:
        x_BCHW = self.encode[0](self.head(_windowed(slice)))
        skips = []
        for down, encode in zip(self.down, self.encode[1:], strict=True):
            skips.append(x_BCHW)
            x_BCHW = encode(down(x_BCHW))
        for up, decode in zip(reversed(self.up), reversed(self.decode), strict=True):
            skip_BCHW = skips.pop()
            x_BCHW = decode(skip_BCHW + _cut(up(x_BCHW), skip_BCHW))
        noise_BHW = _cut(self.tail(x_BCHW), slice)[:, 0].float()
        padding_BHW = slice < tomography.STORED_HU[0]  # what a scanner fills the corners with; it has no noise
        return slice - NOISE_HU * noise_BHW.masked_fill(padding_BHW, 0)


def _windowed(hu_BHW: Tensor) -> Tensor:
    """The slices as one picture a window, from black 0 to WHITE; air, and the padding of a convolution, is black."""
    return torch.stack([WHITE * ((hu_BHW - low) / (high - low)).clamp(0, 1) for low, high in WINDOWS], dim=1)


def _cut(x_BCHW: Tensor, like: Tensor) -> Tensor:
    """The rows and columns that `like` has too."""
    return x_BCHW[..., : like.shape[-2], : like.shape[-1]]


def scan(volume: Volume, rows: list[int]) -> Scan:
    hu_BHW = torch.from_numpy(volume.hu[rows]).float().clamp(*tomography.STORED_HU)
    return Scan(hu_BHW, Geometry(side=hu_BHW.shape[-1], pixel_mm=volume.spacing[-1], views=VIEWS))


def at_doses(chest: Scan, seed: int) -> list[Tensor]:
    """The slices at each of DOSES; the same seed gives the same noise."""
    generator = torch.Generator().manual_seed(seed)
    slices = len(chest.hu_BHW)
    return [chest.low_dose(torch.full((slices,), flux), generator, cutoff=KERNEL) for flux in DOSES.values()]


def training_rows(hyper: Hyper, slices: int) -> list[int]:
    """The slices of the first patient that are far enough from those that validate."""
    first, end = hyper.validation
    return [row for row in range(slices) if row < first - hyper.gap or row >= end + hyper.gap]


def patches(low_BHW: Tensor, clean_BHW: Tensor, hyper: Hyper) -> tuple[Tensor, Tensor]:
    """Pairs of patches from random places, seen from random sides; places of nothing but air are left out."""
    size = hyper.patch
    pairs_B2HW = torch.stack([low_BHW, clean_BHW], dim=1)
    bounds = torch.tensor([len(low_BHW), *(side - size + 1 for side in low_BHW.shape[1:]), 4, 2])
    places = (torch.rand(len(low_BHW) * hyper.patches, 5) * bounds).long().tolist()
    chosen = []
    for row, top, left, turns, flip in places:
        pair_2HW = pairs_B2HW[row, :, top : top + size, left : left + size]
        if pair_2HW[1].mean() > -950:
            turned_2HW = torch.rot90(pair_2HW, turns, (1, 2))
            chosen.append(turned_2HW.flip(1) if flip else turned_2HW)
    chosen_B2HW = torch.stack(chosen)
    return chosen_B2HW[:, 0], chosen_B2HW[:, 1]


def loss_of(denoised_BHW: Tensor, clean_BHW: Tensor) -> Tensor:
    """Root mean square error of each patch in HU, averaged: not squared, so that no dose drowns another."""
    return (denoised_BHW - clean_BHW).square().mean((1, 2)).add(1e-3).sqrt().mean()


def train(run: Run[Hyper]) -> nn.Module:
    hyper = run.hyper
    volume = chest_ct()[0]
    patient = scan(volume, training_rows(hyper, len(volume.hu)))
    validation = scan(volume, list(range(*hyper.validation)))
    validation_scans = at_doses(validation, hyper.seed)
    generator = torch.Generator()
    log_flux = math.log(hyper.lowest_flux), math.log(NORMAL_FLUX)
    network = Denoiser(hyper.widths).to(run.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=hyper.learning_rate)
    scheduler = CosineAnnealingLR(optimizer, hyper.epochs)
    for epoch in run.epochs(network=network, optimizer=optimizer, scheduler=scheduler):
        generator.manual_seed(1000 * hyper.seed + epoch)
        slices = len(patient.hu_BHW)
        flux_B = torch.empty(slices).uniform_(*log_flux, generator=generator).exp()
        kernel_B = torch.empty(slices).uniform_(hyper.softest_kernel, 1, generator=generator)
        low_BHW = patient.low_dose(flux_B, generator, cutoff=kernel_B)
        losses = []
        for low, clean in run.batches(*patches(low_BHW, patient.hu_BHW, hyper), size=hyper.batch):
            with torch.autocast(run.device.type, torch.bfloat16):  # halves the time; HU stay float32
                denoised = network(low.to(run.device))
            loss = loss_of(denoised, clean.to(run.device))
            run.step(loss, optimizer)
            losses.append(loss.detach())
        scheduler.step()
        errors = [_error(network, scan_BHW, validation.hu_BHW, run.device) for scan_BHW in validation_scans]
        run.log(train_rmse_hu=float(torch.stack(losses).mean()), validation_rmse_hu=sum(errors) / len(errors))
    return network


@torch.no_grad()
def _error(network: nn.Module, low_BHW: Tensor, clean_BHW: Tensor, device: torch.device) -> float:
    """Root mean square error in HU, slice by slice to save memory."""
    denoised = torch.cat([network(low_1HW.to(device)).cpu() for low_1HW in low_BHW[:, None]])
    return float(loss_of(denoised, clean_BHW))


# What the network has to beat, each with the strengths to choose from on the validation slices.
CLASSICAL: dict[str, tuple[Callable[[Slices, float], Slices], tuple[float, ...]]] = {
    "a Gaussian filter": (gaussian, (0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2)),
    "non-local means": (non_local_means, (0.8, 1.2, 2.0, 3.0, 4.0, 6.0)),
    "total variation": (total_variation, (4, 8, 12, 18, 27, 40)),
}


def evaluate(predict: Predict, hyper: Hyper) -> Evaluation:
    first, second = chest_ct()
    validation = scan(first, list(range(*hyper.validation)))
    patient = scan(second, list(range(len(second.hu))))
    clean = patient.hu_BHW.numpy()
    metrics: list[Metric] = []
    panels = {}
    for dose, tuned_on, noisy in zip(
        DOSES, at_doses(validation, hyper.seed), at_doses(patient, hyper.seed), strict=True
    ):
        low = noisy.numpy()
        denoised = _denoise(predict, low)
        metrics += _figures(dose, clean, low, denoised)
        metrics += _classical_figures(dose, clean, low, validation.hu_BHW.numpy(), tuned_on.numpy())
        panels[dose.replace(" ", "-")] = _before_and_after(low[SHOWN], denoised[SHOWN], clean[SHOWN])
    rows = training_rows(hyper, len(first.hu))
    return Evaluation(
        metrics=(*metrics, *spacing_figures(predict, hyper), *_phantom_figures(predict)),
        pictures=panels,
        reference=(histogram("mean HU", first.hu[rows].mean((1, 2)), np.linspace(-1000, 200, 25)),),
    )


def _denoise(predict: Predict, low: Slices) -> Slices:
    """One slice at a time, to save memory."""
    return np.concatenate([predict({"slice": slice[None]})["denoised"] for slice in low])


def _average(name: str, values: Any, unit: str, description: str, split: str = "test") -> Metric:
    return bootstrapped(name, np.mean, values, unit=unit, description=description, split=split)


def _figures(dose: str, clean: Slices, low: Slices, denoised: Slices) -> list[Metric]:
    """Means over slices of the second patient."""
    before, after = psnr(low, clean, WIDE), psnr(denoised, clean, WIDE)
    soft = psnr(denoised, clean, NARROW) - psnr(low, clean, NARROW)
    body = clean > -950
    bias = [(x - y)[inside].mean() for x, y, inside in zip(denoised, clean, body, strict=True)]
    wide = f"clipped to {WIDE[0]:g} to {WIDE[1]:g} HU"
    return [
        _average(f"PSNR gain, {dose}", after - before, "dB", f"{wide}, {DOSES[dose]:g} photons per ray"),
        _average(f"PSNR gain in soft tissue, {dose}", soft, "dB", f"clipped to {NARROW[0]:g} to {NARROW[1]:g} HU"),
        _average(f"PSNR before, {dose}", before, "dB", wide),
        _average(f"PSNR after, {dose}", after, "dB", wide),
        _average(f"SSIM before, {dose}", ssim(low, clean, WIDE), "", wide),
        _average(f"SSIM after, {dose}", ssim(denoised, clean, WIDE), "", wide),
        _average(f"RMSE before, {dose}", rmse(low, clean), "HU", "all values"),
        _average(f"RMSE after, {dose}", rmse(denoised, clean), "HU", "all values"),
        _average(f"mean error, {dose}", bias, "HU", "denoised less reference, within the body"),
    ]


def _classical_figures(dose: str, clean: Slices, low: Slices, tune_clean: Slices, tune_low: Slices) -> list[Metric]:
    """What classical filters gain, each at the strength that is best on the validation slices at this dose."""
    metrics = []
    for name, (smooth, strengths) in CLASSICAL.items():
        errors = [rmse(smooth(tune_low, strength), tune_clean).mean() for strength in strengths]
        best = strengths[int(np.argmin(errors))]
        gain = psnr(smooth(low, best), clean, WIDE) - psnr(low, clean, WIDE)
        why = f"for comparison; strength {best:g}, the best on the validation slices"
        metrics.append(_average(f"PSNR gain of {name}, {dose}", gain, "dB", why))
    return metrics


def resampled(volume: Volume, rows: tuple[int, ...], spacing_mm: float) -> Volume:
    """Some slices of a volume on another grid; where that is coarser, what it cannot hold is smoothed away first."""
    ratio = volume.spacing[-1] / spacing_mm
    smooth = gaussian(volume.hu[list(rows)].astype(np.float32), max(0.0, (1 / ratio - 1) / 2))
    hu = np.stack([zoom(slice, ratio, order=1 if ratio < 1 else 3, grid_mode=True, mode="nearest") for slice in smooth])
    return Volume(volume.patient, hu.round().astype(np.int16), (volume.spacing[0], spacing_mm, spacing_mm))


def spacing_figures(predict: Predict, hyper: Hyper) -> list[Metric]:
    """What the network gains on slices of other pixel sizes, and what it does to slices without added noise."""
    return _spaced(predict, hyper, chest_ct()[1], SPACED, SPACINGS_MM, "test")


def validation_spacing_figures(predict: Predict, hyper: Hyper) -> list[Metric]:
    """The same of the validation slices, which choose the sizes that are taken."""
    return _spaced(predict, hyper, chest_ct()[0], tuple(range(*hyper.validation)), CHOOSING_MM, "validation")


def _spaced(
    predict: Predict, hyper: Hyper, volume: Volume, rows: tuple[int, ...], spacings_mm: tuple[float, ...], split: str
) -> list[Metric]:
    metrics = []
    for spacing_mm in spacings_mm:
        chest = scan(resampled(volume, rows, spacing_mm), list(range(len(rows))))
        clean = chest.hu_BHW.numpy()
        where = f"at {spacing_mm:g} mm"
        for dose, low_BHW in zip(DOSES, at_doses(chest, hyper.seed), strict=True):
            low = low_BHW.numpy()
            gain = psnr(_denoise(predict, low), clean, WIDE) - psnr(low, clean, WIDE)
            told = f"least {gain.min():.2f}; resampled, then the noise added"
            metrics.append(_average(f"PSNR gain {where}, {dose}", gain, "dB", told, split))
        change = rmse(_denoise(predict, clean), clean)
        metrics.append(
            _average(f"change of a clean slice {where}", change, "HU", "root mean square, all values", split)
        )
    return metrics


def _phantom_figures(predict: Predict) -> list[Metric]:
    """A real low-dose scan from a cone-beam machine unlike the one trained on: the even module of a CatPhan phantom."""
    dicoms = [pydicom.dcmread(io.BytesIO(data)) for data in phantom_ct()[14:25]]
    low = np.stack([d.pixel_array * d.RescaleSlope + d.RescaleIntercept for d in dicoms]).astype(np.float32)
    middle = (slice(None), slice(236, 276), slice(236, 276))
    before, after = low[middle], _denoise(predict, low)[middle]
    shift = after.mean((1, 2)) - before.mean((1, 2))
    where, split = "40x40 pixels in the middle of an even phantom, real scan", "another scanner"
    return [
        _average("noise before, phantom", before.std((1, 2)), "HU", where, split),
        _average("noise after, phantom", after.std((1, 2)), "HU", where, split),
        _average("mean shift, phantom", shift, "HU", where, split),
    ]


def _before_and_after(low: Slices, denoised: Slices, clean: Slices) -> bytes:
    """A part of one slice before, after and as it should be, in two windows, and the errors before and after."""
    figure = Figure(figsize=(7.4, 4.2), layout="constrained")
    shown = {"low dose": low, "denoised": denoised, "reference": clean}
    errors = {"low dose - reference": low - clean, "denoised - reference": denoised - clean}
    rows = zip(figure.subplots(2, 4), {"chest": WIDE, "soft tissue": NARROW}.items(), errors.items(), strict=True)
    for row, (name, window), (error_title, error) in rows:
        images = [(title, image, window) for title, image in shown.items()] + [(error_title, error, (-60.0, 60.0))]
        for axes, (title, image, (black, white)) in zip(row, images, strict=True):
            axes.imshow(image[150:350, 110:310], cmap="gray", vmin=black, vmax=white)
            axes.set_title(f"{title}\n{black:g} to {white:g} HU", fontsize=8)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, fontsize=9)
    return pictures.png(figure)


def examples() -> Arrays:
    """Parts of two slices that do not train the network, at both doses."""
    volume = chest_ct()[0]
    low_BHW = torch.cat(at_doses(scan(volume, list(RECIPE.hyper.validation)), seed=0))
    return {"slice": low_BHW[:, 160:256, 192:320].round().numpy()}


RECIPE = Recipe(
    description="Takes the noise out of low-dose CT slices of the chest with a residual U-Net.",
    task=CtDenoising(window=WIDE, spacing_mm=(0.4, 0.67)),
    axes={"height": Axis(least=32, most=1024), "width": Axis(least=32, most=1024)},
    hyper=Hyper(),
    sources=("chest-ct", "phantom-ct"),
    inputs=(
        Declared(
            name="slice",
            dtype="float32",
            shape=("batch", "height", "width"),
            unit="HU",
            range=tomography.STORED_HU,
            description="an axial CT slice",
        ),
    ),
    outputs=(
        Declared(
            name="denoised",
            dtype="float32",
            shape=("batch", "height", "width"),
            unit="HU",
            description="the slice without its noise",
        ),
    ),
    train=train,
    evaluate=evaluate,
    chosen_by=validation_spacing_figures,
    examples=examples,
    tolerance=Tolerance(atol=0.01, rtol=1e-4),
    max_batch=1,  # more fit no cache and take no less time per slice, but four times the memory
    trial={"validation": (23, 25), "gap": 20, "patches": 16},  # 6 slices at the ends of the chest train
)

"""A residual U-Net that takes the noise out of CT slices, and leaves a slice alone that has none.

Network: it finds the noise about each place in the slice itself, in three bands of its spectrum, by a harmonic mean
that the calmest neighbours decide; the correction is a multiple of what was found, and shrinks to nothing with it. The
slice is shown through three windows (lung, soft tissue, bone), as a radiologist looks at it, and as detail in units of
its noise, to a U-Net of residual blocks at 1/2, 1/4 and 1/8 of the resolution. Padding below -1024 HU stays as it is.
0.6 M parameters, any size from 32x32.
Sources: Ronneberger et al., U-Net, MICCAI 2015; Zhang et al., FFDNet, IEEE Trans. Image Process. 27(9), 2018 (a network
that knows the noise level); Chen et al., Low-dose CT with a residual encoder-decoder, IEEE Trans. Med. Imaging 36(12),
2017.
Data: CT of two patients' chests, 5 mm slices, BSD-3-Clause, and drawn anatomy (`training/images/anatomy.py`): chests,
abdomens, heads and breasts with lesions of known contrast. The first patient trains the network; 6 neighbouring slices,
15 mm away from the rest, validate it. The second patient only measures the result.
Dose: scanners with fan and parallel beams, 240 to 1160 views, kernels from soft to sharp and doses over a range of 1 to
33 (`training/images/scanner.py`, `ct_pairs.py`), at pixels of 0.35 to 1.4 mm. The noise alone goes through the
reconstruction and is laid over the slice, which is the reference: nothing asks the network to undo blur. A patient's
slice keeps the noise of its own scan, which nobody can predict and which limits every figure.
Expected: PSNR on the second patient rises by about 4.5 dB at a quarter of the normal dose and by 6 dB at a tenth.
Run time: an hour on one core, a quarter of it for the noise to learn from.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from torch.optim.lr_scheduler import LambdaLR

from service.bundle import Arrays, Axis, Bundle, CtDenoising, Metric, Tolerance
from service.bundle import Tensor as Declared
from training.data import Volume, chest_ct
from training.export.weights import weights_in
from training.images import ct_pairs, tomography
from training.images.ct_pairs import Pairs
from training.measures import ct, no_harm
from training.measures.classical import STRENGTHS
from training.measures.evaluation import Evaluation, Predict, histogram
from training.networks.denoiser import Denoiser
from training.recipe import Recipe
from training.report import pictures
from training.run import Run
from training.schedule import running_average

# B batch, C channels, H rows, W columns

LEAST_HU = 2.0  # of noise, below which errors count no more for it
EDGE_HU, FEW_EDGES = 15.0, 1e5  # per pixel: what is less steep is no edge; squared and summed: less is hardly looked at
SHOWN = 31  # the slice of the second patient in the pictures
SPACED = 10, 31, 50  # slices of the second patient that classical filters and other spacings are measured on
SPACINGS_MM = 0.45, 0.98, 1.2  # of pixels, beside the patient's own


@dataclass(frozen=True, kw_only=True)
class Hyper:
    seed: int = 1
    epochs: int = 12  # in which the learning rate falls to nothing along a half-cosine
    learning_rate: float = 3e-4
    early_epochs: int = 48  # before those
    early_rate: float = 1e-3
    falling_from: int = 1000  # early steps after which the rate falls with the square root of their number
    batch: int = 8
    average: float = 0.995  # decay of the running average of the weights, which is what is served
    coarse: float = 0.3  # weight of the error of means over 4x4 pixels: of faint lesions, and of coarse noise
    edges: float = 4.0  # weight of what is lost of edges, after the early epochs
    widths: tuple[int, ...] = (32, 64, 128)
    patch: int = 96  # pixels
    crops: int = 1  # patches drawn from each part in an epoch
    sets: int = 480  # of parts of slices, 8 in each
    validation: tuple[int, int] = (20, 26)  # slices of the first patient, the last one excluded
    gap: int = 2  # slices left out on either side


def training_rows(hyper: Hyper, slices: int) -> list[int]:
    """The slices of the first patient that are far enough from those that validate."""
    first, end = hyper.validation
    return [row for row in range(slices) if row < first - hyper.gap or row >= end + hyper.gap]


def training_pairs(run: Run[Hyper], volume: Volume) -> Pairs:
    """Made once and kept beside the checkpoint; the file's name tells which they are."""
    hyper = run.hyper
    kept = run.directory / f"pairs-{hyper.seed}-{hyper.sets}.pt"
    if not kept.exists():
        ct_pairs.make(volume, training_rows(hyper, len(volume.hu)), hyper.sets, hyper.seed).save(kept)
    return Pairs.load(kept)


def begin(network: Denoiser, start: Bundle) -> None:
    """With the bundle's weights; one from before the network knew its noise has none for what reads it."""
    own = network.state_dict()
    network.load_state_dict(own | {name: x for name, x in weights_in(start.graph).items() if name in own})


def loss_of(denoised_BHW: Tensor, clean_BHW: Tensor, deviation_B: Tensor, coarse: float) -> Tensor:
    """Root mean square error of each patch in units of the noise in its part, averaged: no dose drowns another."""
    error_BHW = denoised_BHW - clean_BHW
    unit_B = deviation_B.square() + LEAST_HU**2

    def relative(x_BHW: Tensor) -> Tensor:
        return (x_BHW.square().mean((1, 2)) / unit_B + 1e-4).sqrt().mean()

    return relative(error_BHW) + coarse * relative(avg_pool2d(error_BHW, 4))


def lost_edges(denoised_BHW: Tensor, clean_BHW: Tensor) -> Tensor:
    """The square of the share of their steepness that the edges of each patch have lost or won, averaged.

    What noise is left along an edge knows nothing of its direction, and hardly counts.
    """
    along_BPHW, error_BPHW = (_slopes(x_BHW) for x_BHW in (clean_BHW, denoised_BHW - clean_BHW))
    smooth_BPHW = _slopes(avg_pool2d(clean_BHW, 3, 1, padding=1, count_include_pad=False))
    edge_B1HW = smooth_BPHW.square().sum(1, keepdim=True) > EDGE_HU**2
    lost_B, there_B = ((x * along_BPHW * edge_B1HW).sum((1, 2, 3)) for x in (error_BPHW, along_BPHW))
    return (lost_B / (there_B + FEW_EDGES)).square().mean()


def _slopes(x_BHW: Tensor) -> Tensor:
    """In HU per pixel, down and to the right [B, 2, H, W]."""
    down_BHW, right_BHW = x_BHW[:, 2:, 1:-1] - x_BHW[:, :-2, 1:-1], x_BHW[:, 1:-1, 2:] - x_BHW[:, 1:-1, :-2]
    return torch.stack([down_BHW, right_BHW], dim=1) / 2


def train(run: Run[Hyper]) -> nn.Module:
    hyper = run.hyper
    volume = chest_ct()[0]
    learned, checks = training_pairs(run, volume), validation_checks(volume, hyper)
    network = Denoiser(hyper.widths)
    if run.start:
        begin(network, run.start)
    early = run.part("early", epochs=hyper.early_epochs, learning_rate=hyper.early_rate, edges=0.0)
    found = fit(early, network, learned, checks, falling(hyper.falling_from))
    steps = hyper.epochs * -(-len(learned.clean) * hyper.crops // hyper.batch)
    served = Denoiser(hyper.widths)
    served.load_state_dict(fit(run, found, learned, checks, half_cosine(steps)).state_dict())
    return served


def falling(begin: int) -> Callable[[int], float]:
    """The share of the learning rate at each step: all of it after 100, and less and less from `begin` on."""
    return lambda step: min((step + 1) / 100, 1.0, (begin / (step + 1)) ** 0.5)


def half_cosine(steps: int) -> Callable[[int], float]:
    return lambda step: 0.5 + 0.5 * math.cos(math.pi * min(step / steps, 1.0))


def fit(
    run: Run[Hyper], network: nn.Module, learned: Pairs, checks: list["Check"], share: Callable[[int], float]
) -> nn.Module:
    """The running average of the network's weights, after all epochs; `share` is that of the learning rate."""
    hyper = run.hyper
    network.to(run.device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a tenth faster
    average = running_average(network, hyper.average)
    optimizer = torch.optim.Adam(network.parameters(), lr=hyper.learning_rate)
    scheduler = LambdaLR(optimizer, share)
    rows = torch.arange(len(learned.clean)).repeat(hyper.crops)
    for _ in run.epochs(network=network, average=average, optimizer=optimizer, scheduler=scheduler):
        losses = []
        for (chosen,) in run.batches(rows, size=hyper.batch):
            low, clean, deviation = (x.to(run.device) for x in ct_pairs.batch(learned, chosen, hyper.patch))
            with torch.autocast(run.device.type, torch.bfloat16):  # halves the time; HU stay float32
                denoised = network(low)
            loss = loss_of(denoised, clean, deviation, hyper.coarse) + hyper.edges * lost_edges(denoised, clean)
            run.step(loss, optimizer)
            scheduler.step()
            average.update_parameters(network)
            losses.append(loss.detach())
        run.log(train_loss=float(torch.stack(losses).mean()), **_checked(average.module, checks, run.device))
    return average.module


@dataclass(frozen=True)
class Check:
    """Validation slices [B, H, W] in HU, and the same at a low dose."""

    clean: Tensor
    low: Tensor


def validation_checks(volume: Volume, hyper: Hyper) -> list[Check]:
    """The middle of the validation slices at their own spacing and at about 0.9 mm, at a quarter and a tenth dose."""
    checks = []
    for spacing_mm in (volume.spacing[-1], volume.spacing[-1] / 0.625):
        hu_BHW = ct.slices_of(volume, range(*hyper.validation), spacing_mm)
        margin = hu_BHW.shape[-1] // 2 - 120
        inner = slice(margin, hu_BHW.shape[-1] - margin)
        for flux in ct.DOSES.values():
            low_BHW = ct.simulated(hu_BHW, spacing_mm, flux, hyper.seed, margin)
            checks.append(Check(hu_BHW[:, inner, inner], low_BHW))
    return checks


@torch.no_grad()
def _checked(network: nn.Module, checks: list[Check], device: torch.device) -> dict[str, float]:
    """What PSNR gains in dB, the mean over all slices, and what changes in HU where no noise was added."""
    gains, changes = [], []
    for check in checks:
        denoised, unchanged = (network(x.to(device)).cpu() for x in (check.low, check.clean))
        error_B, noise_B = ((x - check.clean).square().mean((1, 2)) for x in (denoised, check.low))
        gains.append(10 * torch.log10(noise_B / error_B))
        changes.append((unchanged - check.clean).square().mean((1, 2)).sqrt())
    return {
        "validation_gain_db": float(torch.cat(gains).mean()),
        "validation_change_hu": float(torch.cat(changes).mean()),
    }


def denoising(predict: Predict) -> ct.Denoise:
    """One slice at a time, to save memory."""
    return lambda slices: np.concatenate([predict({"slice": slice[None]})["denoised"] for slice in slices])


def harm_figures(predict: Predict, hyper: Hyper) -> list[Metric]:
    """The grid of harm, with validation slices, which chooses the sizes of pixels that are taken."""
    rows = list(range(*hyper.validation))[::3]
    return ct.no_harm_figures(no_harm.measure(denoising(predict), chest_ct()[0], rows))


def evaluate(predict: Predict, hyper: Hyper) -> Evaluation:
    first, second = chest_ct()

    denoise = denoising(predict)
    metrics, panels = [], {}
    for dose, flux in ct.DOSES.items():
        clean_BHW = ct.slices_of(second, range(len(second.hu)))
        clean, low = clean_BHW.numpy(), ct.simulated(clean_BHW, second.spacing[-1], flux, hyper.seed).numpy()
        denoised = denoise(low)
        metrics += ct.patient_figures(dose, clean, low, denoised)
        panels[dose.replace(" ", "-")] = before_and_after(low[SHOWN], denoised[SHOWN], clean[SHOWN])
    rows = training_rows(hyper, len(first.hu))
    return Evaluation(
        metrics=(
            *metrics,
            *_beside_classical(denoise, first, second, hyper),
            *harm_figures(predict, hyper),
            *ct.body_figures(denoise),
            *ct.lesion_figures(denoise),
            *ct.scanned_figures(denoise),
        ),
        pictures=panels,
        reference=(histogram("mean HU", first.hu[rows].mean((1, 2)), np.linspace(-1000, 200, 25)),),
    )


def _beside_classical(denoise: ct.Denoise, first: Volume, second: Volume, hyper: Hyper) -> list[Metric]:
    """All filters at the patient's own spacing, and the strongest at others, on some slices."""

    def pair(volume: Volume, rows: Sequence[int], spacing_mm: float | None, flux: float) -> tuple[ct.Slices, ct.Slices]:
        clean_BHW = ct.slices_of(volume, rows, spacing_mm)
        return ct.simulated(clean_BHW, spacing_mm or volume.spacing[-1], flux, hyper.seed).numpy(), clean_BHW.numpy()

    metrics = []
    for spacing_mm in (None, *SPACINGS_MM):
        for dose, flux in ct.DOSES.items():
            validation = pair(first, range(*hyper.validation)[::3], spacing_mm, flux)
            where = dose if spacing_mm is None else f"{dose}, {spacing_mm:g} mm"
            names = list(STRENGTHS) if spacing_mm is None else ["BM3D"]
            test = pair(second, SPACED, spacing_mm, flux)
            metrics += ct.beside_classical(where, denoise, validation, test, names)
    return metrics


def before_and_after(low: ct.Slices, denoised: ct.Slices, clean: ct.Slices) -> bytes:
    """A part of one slice before, after and as it should be, in two windows, and the errors before and after."""
    figure = Figure(figsize=(7.4, 4.2), layout="constrained")
    shown = {"low dose": low, "denoised": denoised, "reference": clean}
    errors = {"low dose - reference": low - clean, "denoised - reference": denoised - clean}
    windows = {"chest": ct.WIDE, "soft tissue": ct.NARROW}
    for row, (name, window), (error_title, error) in zip(
        figure.subplots(2, 4), windows.items(), errors.items(), strict=True
    ):
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
    quarter, tenth = validation_checks(volume, RECIPE.hyper)[:2]
    return {"slice": torch.cat([x.low[2:4, 24:120, 56:184] for x in (quarter, tenth)]).round().numpy()}


RECIPE = Recipe(
    description="Takes the noise out of low-dose CT slices with a residual U-Net that knows how much there is.",
    task=CtDenoising(window=ct.WIDE, spacing_mm=(0.4, 1.25)),
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
    chosen_by=harm_figures,
    examples=examples,
    tolerance=Tolerance(atol=0.01, rtol=1e-4),
    max_batch=1,  # more fit no cache and take no less time per slice, but four times the memory
    warm={"early_rate": 4e-4},
    trial={"validation": (23, 25), "sets": 1},
)

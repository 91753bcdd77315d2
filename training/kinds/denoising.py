"""What models that take the noise out of CT slices share: their tensors, the slices that judge them, and the figures.

The first patient's slices train and validate, and the second patient's only measure. Drawn bodies, lesions and a
phantom from another kind of scanner show how far a model carries.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from service.bundle import Axis, CtDenoising, Metric, Tolerance
from service.bundle import Tensor as Declared
from training.data import Volume, chest_ct
from training.data.given import given_for
from training.given.ct import folder
from training.images import own_noise, tomography
from training.images.anatomy import ANATOMIES
from training.measures import ct, ct_phantoms, no_harm
from training.measures.classical import STRENGTHS, filters
from training.measures.evaluation import Evaluation, Predict, histogram
from training.measures.image_quality import psnr
from training.measures.paired import Scores
from training.recipe import Recipe
from training.report import slices

SPACED = 10, 31, 50  # sixtieths of the second patient: slices that classical filters and other spacings are measured on
SHOWN = 1  # of those, the slice in the pictures
SPACING_MM = 0.5, 1.25  # from and to, of the pixels that a model takes
SPACINGS_MM = 0.98, 1.2  # of pixels, beside the patient's own
APART = 3  # every third slice of the second patient is measured: neighbours are alike
SLIGHT_DB = 0.05  # of PSNR: nobody sees it
FINER = 0.625  # pixels of the scan, to those of the coarser slices that are looked at after each epoch

AXES = {"height": Axis(least=32, most=1024), "width": Axis(least=32, most=1024)}
INPUT = Declared(
    name="slice",
    dtype="float32",
    shape=("batch", "height", "width"),
    unit="HU",
    range=tomography.STORED_HU,
    description="an axial CT slice",
)
OUTPUT = Declared(
    name="denoised",
    dtype="float32",
    shape=("batch", "height", "width"),
    unit="HU",
    description="the slice without its noise",
)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Which of the first patient's slices validate, and the seed of all noise that is drawn."""

    seed: int = 1
    validation: tuple[int, int] = (20, 26)  # the last one excluded
    gap: int = 2  # slices left out on either side

    @property
    def validating(self) -> list[int]:
        return list(range(*self.validation))

    def training(self, slices: int) -> list[int]:
        """Those that are far enough from the ones that validate."""
        first, end = self.validation
        return [row for row in range(slices) if row < first - self.gap or row >= end + self.gap]


@dataclass(frozen=True)
class Check:
    """Validation slices [B, H, W] in HU, and the same at a low dose. `unseen` is the share of their difference that is
    noise of the first, which nobody can tell."""

    clean: Tensor
    low: Tensor
    unseen: float = 0.0


def checks(volume: Volume, split: Split) -> list[Check]:
    """The middle of the validation slices at their own spacing and at a coarser one, at a quarter and a tenth dose; of
    noisy ones, with more of their own noise."""
    if volume.noisy:
        covariance = own_noise.covariance_of(volume, split.training(len(volume.hu)))
        low_BHW, other_BHW = own_noise.two_of(volume, split.validating, covariance, split.seed)
        return [Check(other_BHW, low_BHW, own_noise.UNSEEN)]
    found = []
    for spacing_mm in (volume.spacing[-1], volume.spacing[-1] / FINER):
        hu_BHW = ct.slices_of(volume, split.validating, spacing_mm)
        margin = hu_BHW.shape[-1] // 2 - 120
        inner = slice(margin, hu_BHW.shape[-1] - margin)
        for flux in ct.DOSES.values():
            low_BHW = ct.simulated(hu_BHW, spacing_mm, flux, split.seed, margin)
            found.append(Check(hu_BHW[:, inner, inner], low_BHW))
    return found


@torch.no_grad()
def checked(network: nn.Module, checks: list[Check], device: torch.device) -> dict[str, float]:
    """What PSNR gains in dB, the mean over all slices, and what changes in HU where no noise was added."""
    gains, changes = [], []
    for check in checks:
        denoised, unchanged = (network(x.to(device)).cpu() for x in (check.low, check.clean))
        error_B, noise_B = ((x - check.clean).square().mean((1, 2)) for x in (denoised, check.low))
        unseen_B = check.unseen * noise_B
        gains.append(10 * torch.log10((noise_B - unseen_B) / (error_B - unseen_B).clamp(min=1e-3)))
        changes.append((unchanged - check.clean).square().mean((1, 2)).sqrt())
    return {
        "validation_gain_db": float(torch.cat(gains).mean()),
        "validation_change_hu": float(torch.cat(changes).mean()),
    }


def examples() -> dict[str, Any]:
    """Parts of two slices that do not train the network, at both doses."""
    shown = checks(chest_ct()[0], _split())[:2]
    return {"slice": torch.cat([x.low[2:4, 24:120, 56:184] for x in shown]).round().numpy()}


def training_outputs(predict: Predict) -> dict[str, Any]:
    """Of the first patient's slices."""
    hu = chest_ct()[0].hu
    return {"denoised": denoising(predict)(np.asarray(hu[_split().training(len(hu))], np.float32))}


def _split() -> Split:
    """The recipe's own, or that of data from outside."""
    given = given_for(chest_ct)
    return Split(**{name: given.hyper[name] for name in ("validation", "gap")}) if given else Split()


def denoising(predict: Predict) -> ct.Denoise:
    """One slice at a time, to save memory."""
    return lambda slices: np.concatenate([predict({"slice": slice[None]})["denoised"] for slice in slices])


@torch.no_grad()
def applied(network: nn.Module, slices: ct.Slices) -> ct.Slices:
    """What a network that is no graph yet makes of slices, one at a time."""
    return np.concatenate([network(torch.from_numpy(slice[None])).numpy() for slice in slices])


def low_doses(split: Split) -> Iterator[tuple[str, ct.Slices, ct.Slices]]:
    """The second patient, from feet to head: each dose, the slices without noise and at that dose."""
    second = chest_ct()[1]
    clean_BHW = ct.slices_of(second, range(0, len(second.hu), APART))
    for dose, flux in ct.DOSES.items():
        yield dose, clean_BHW.numpy(), ct.simulated(clean_BHW, second.spacing[-1], flux, split.seed).numpy()


def own_gain(denoise: ct.Denoise, split: Split) -> NDArray[np.float64]:
    """What PSNR gains with each slice of a second patient of whom there is no truth, on more of the slices' noise."""
    second = chest_ct()[1]
    covariance = own_noise.covariance_of(second, list(range(len(second.hu))))
    two = own_noise.two_of(second, list(range(0, len(second.hu), APART)), covariance, split.seed)
    low, other = (one.numpy() for one in two)
    return ct.own_gain(low, other, denoise(low), own_noise.UNSEEN)


def patient(denoise: ct.Denoise, split: Split) -> list[Metric]:
    if chest_ct()[1].noisy:
        return [ct.own_figure(own_gain(denoise, split))]
    metrics = []
    for dose, clean, low in low_doses(split):
        metrics += ct.patient_figures(dose, clean, low, denoise(low))
    return metrics


def scores(predict: Predict, split: Split) -> Scores:
    """What PSNR gains with each of the second patient's slices, and at each dose."""
    denoise, gains, doses = denoising(predict), [], []
    if chest_ct()[1].noisy:
        return _gained(own_gain(denoise, split))
    for dose, clean, low in low_doses(split):
        gains.append(psnr(denoise(low), clean, ct.WIDE) - psnr(low, clean, ct.WIDE))
        doses += [dose] * len(low)
    return _gained(np.concatenate(gains), {dose: np.array(doses) == dose for dose in ct.DOSES})


def _gained(gain_N: NDArray[np.float64], slices: dict[str, NDArray[np.bool_]] | None = None) -> Scores:
    def mean(gain_N: NDArray[np.float64]) -> float:
        return float(gain_N.mean())

    return Scores(statistic=mean, given=(gain_N,), items="slices", slices=slices or {}, slight=SLIGHT_DB)


def spaced(denoise: ct.Denoise, split: Split) -> list[Metric]:
    """Some slices at each spacing, and what classical filters gain: all at the patient's own, and BM3D at others."""
    first, second = chest_ct()
    if second.noisy:
        return []  # there is no truth
    metrics = []
    for spacing_mm in (None, *SPACINGS_MM):
        for dose, flux in ct.DOSES.items():
            validation = pair(first, split.validating[:1], spacing_mm, flux, split.seed)
            where = dose if spacing_mm is None else f"{dose}, {spacing_mm:g} mm"
            names = list(STRENGTHS) if spacing_mm is None else ["BM3D"]
            test = pair(second, spaced_rows(second), spacing_mm, flux, split.seed)
            metrics += ct.beside_classical(where, denoise, validation, test, names)
    return metrics


def spaced_rows(volume: Volume) -> list[int]:
    """The slices that other methods are measured on, too."""
    return [len(volume.hu) * place // 60 for place in SPACED]


def pair(
    volume: Volume, rows: Sequence[int], spacing_mm: float | None, flux: float, seed: int
) -> tuple[ct.Slices, ct.Slices]:
    """Slices at a low dose, and as they are."""
    clean_BHW = ct.slices_of(volume, rows, spacing_mm)
    return ct.simulated(clean_BHW, spacing_mm or volume.spacing[-1], flux, seed).numpy(), clean_BHW.numpy()


def cells(denoise: ct.Denoise, split: Split) -> list[no_harm.Cell]:
    """The grid of harm, with validation slices that are a truth: it chooses the sizes of pixels that are taken."""
    first = chest_ct()[0]
    anatomies = [*ANATOMIES, *([] if first.noisy else ["patient"])]
    return no_harm.measure(denoise, first, split.validating[::3], anatomies=anatomies)


PARTS: dict[str, Callable[[ct.Denoise, Split], list[Metric]]] = {
    "patient": patient,
    "spacings": spaced,
    "grid": lambda denoise, split: ct.no_harm_figures(cells(denoise, split)),
    "bodies": lambda denoise, _: ct.body_figures(denoise),
    "lesions": lambda denoise, _: ct.lesion_figures(denoise),
    "noise": lambda denoise, _: ct_phantoms.noise_figures(denoise),
    "inserts": lambda denoise, _: ct_phantoms.insert_figures(denoise),
    "detection": lambda denoise, _: ct_phantoms.detection_figures(denoise),
    "phantom": lambda denoise, _: [*ct.scanned_figures(denoise), *ct_phantoms.pair_figures(denoise)],
}


def part(name: str) -> Callable[[Predict, Any], list[Metric]]:
    return lambda predict, split: PARTS[name](denoising(predict), split)


def recipe(*, spacing_mm: tuple[float, float] = SPACING_MM, caution: str = "", **fields: Any) -> Recipe[Any]:
    """The recipe of a denoiser for pixels from and to `spacing_mm`, with what all of them have.

    `caution` stands in every answer; `fields` are Recipe's, and take precedence.
    """
    usual: dict[str, Any] = {
        "axes": AXES,
        "sources": ("chest-ct", "phantom-ct"),
        "inputs": (INPUT,),
        "outputs": (OUTPUT,),
        "evaluate": evaluate,
        "scores": scores,
        "parts": {name: part(name) for name in PARTS},
        "examples": examples,
        "training_outputs": training_outputs,
        "tolerance": Tolerance(atol=0.01, rtol=1e-4),
        "max_batch": 1,  # more fit no cache and take no less time per slice, but four times the memory
        "trial": {"validation": (23, 25), "sets": 1},
        "given": folder,
    }
    return Recipe(task=CtDenoising(window=ct.WIDE, spacing_mm=spacing_mm, caution=caution), **(usual | fields))


def evaluate(predict: Predict, split: Split) -> Evaluation:
    """All parts, each once, with pictures."""
    denoise = denoising(predict)
    found = cells(denoise, split)
    metrics: list[Metric] = []
    for name, measure in PARTS.items():
        metrics += ct.no_harm_figures(found) if name == "grid" else measure(denoise, split)
    first = chest_ct()[0].hu
    means = first[split.training(len(first))].mean((1, 2))
    return Evaluation(
        metrics=tuple(metrics),
        pictures=_pictures(denoise, split)
        | {
            "no-harm-grid": slices.harm_grid(found),
            "noise-power": slices.noise_spectra(*ct_phantoms.spectra(denoise)),
            "lesions": slices.by_size_and_contrast(metrics),
        },
        reference=(histogram("mean HU", means, np.linspace(-1000, 200, 25)),),
    )


def shown_pair(dose: str, split: Split) -> tuple[ct.Slices, ct.Slices]:
    """The slice in the pictures at a low dose, and as it is."""
    second = chest_ct()[1]
    return pair(second, [spaced_rows(second)[SHOWN]], None, ct.DOSES[dose], split.seed)


def _pictures(denoise: ct.Denoise, split: Split) -> dict[str, bytes]:
    drawn = {}
    for dose in () if chest_ct()[1].noisy else ct.DOSES:
        low, clean = shown_pair(dose, split)
        classical = filters(low - clean)["BM3D"](low, 1.0)
        drawn[dose.replace(" ", "-")] = slices.before_and_after(low[0], classical[0], denoise(low)[0], clean[0])
    return drawn

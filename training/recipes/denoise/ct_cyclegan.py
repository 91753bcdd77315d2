"""Low-dose CT slices made to look like slices of the full dose, with no pairs to learn from: a CycleGAN.

Network: forth, each frequency of 5x5 pixels about a place is kept by a share that is learned from the power of all of
them beside the noise found there (`training/networks/shrinkage.py`): it can take detail away and lay none over a slice,
so a discriminator cannot have it draw what is not there. It begins as a filter with one threshold. Back, three
convolutions lay noise over a slice, made of numbers drawn at random, for what was taken cannot be found again. Two
discriminators look at patches, through three windows, at the detail and its strength. 600 parameters forth; the way
back lies beside what is served, to show what comes back. What is served bounds the correction as that of `ct-denoiser`,
see `tempered`.
Sources: Zhu et al., Unpaired image-to-image translation using cycle-consistent adversarial networks, ICCV 2017; Kang et
al., Cycle-consistent adversarial denoising network for multiphase coronary CT angiography, Med. Phys. 46(2), 2019;
Almahairi et al., Augmented CycleGAN, ICML 2018 (random numbers on the way back).
Data, dose: those of `ct-denoiser`. Every other training slice of the first patient is shown at a low dose only, and the
others as they are; no slice and no drawn body is on both sides. The second patient only measures the result.
Training: the discriminators' verdicts; what is left of the noise that the way back has laid, by its square; what a low
dose loses there and back, as means over 8x8 pixels; and what changes of slices that are of the full dose already. The
weights served are a running average. A U-Net in the place of the frequencies had hardly moved from taking nothing, or
had blurred, after as many steps.
Expected: less than `ct-denoiser`, which is told the truth, and less than BM3D, which is told the noise. Validation
slices gain at their own pixels of 0.57 mm; at 0.9 mm and a quarter of the dose they lose: fine structure counts as
noise there, so only pixels of up to 0.75 mm are taken. Even there two of five cells of the no-harm grid are worse after
than before, which every answer says. Run time: 8 minutes on one core, and 5 for the noise.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.functional import avg_pool2d

from service.bundle import Arrays
from service.bundle import Tensor as Declared
from training.data import Volume, chest_ct
from training.export.parity import Predictor
from training.images import ct_pairs
from training.images.ct_pairs import Pairs
from training.kinds import adversarial, cycle, denoising
from training.kinds.denoising import Split
from training.measures.evaluation import Evaluation, Predict
from training.networks.cycle import Both, Cycle, Patches
from training.networks.denoiser import detail, mean_of, tempered, windowed
from training.networks.shrinkage import Shrinkage
from training.recipe import SideGraph
from training.report import slices
from training.run import Run

# B batch, C channels, H height, W width

SEEN, DETAIL_HU = 4, 20.0  # channels of what networks see; one unit of what differs from the mean about it
LAID_HU, WEAKEST, STRONGEST = 20.0, 0.2, 2.0  # of noise at first; and of the numbers that it is made of, their strength
COARSE, COARSELY = 8, 0.1  # pixels each way that low doses are compared over, and the weight of that
LEFT_HU = 20.0  # noise that counts as its square or as itself


@dataclass(frozen=True, kw_only=True)
class Hyper(cycle.Hyper, Split):
    """`again` and `identity` are per HU. Each domain has `sets` of parts of slices, 8 in each."""

    epochs: int = 10
    batch: int = 4
    rate: float = 2e-3
    adversary_rate: float = 1e-3
    average_decay: float = 0.98
    again: float = 0.1
    identity: float = 0.01
    side: int = 5  # pixels that frequencies are taken over
    adversary: int = 24
    laying: int = 8  # channels of the way back
    patch: int = 96  # pixels
    sets: int = 56


class Laying(nn.Module):
    """Slices [B, H, W] in HU to the same with noise, made of numbers drawn at random, or of those that are given."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(SEEN + 1, width, 3, padding=1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.2)),
            nn.Conv2d(width, 1, 3, padding=1),
        )

    def forward(self, slice: Tensor, drawn: Tensor | None = None) -> Tensor:
        drawn_B1HW = (_drawn(slice) if drawn is None else drawn)[:, None]
        smooth_B1HW = avg_pool2d(drawn_B1HW, 2, 1, padding=1)[..., :-1, :-1]
        shaped_B1HW = self.layers(torch.cat([_seen(slice), drawn_B1HW], dim=1))
        noisier_BHW: Tensor = slice + LAID_HU * (smooth_B1HW + shaped_B1HW)[:, 0]
        return noisier_BHW


def _drawn(slice_BHW: Tensor) -> Tensor:
    """Numbers of another strength for each slice."""
    strength_B11 = WEAKEST + (STRONGEST - WEAKEST) * torch.rand(len(slice_BHW), 1, 1, device=slice_BHW.device)
    return strength_B11 * torch.randn_like(slice_BHW)


class SlicePatches(Patches):
    """Slices in HU to how real each part of them looks; beside what is seen, how strong detail is about each place."""

    def __init__(self, width: int) -> None:
        super().__init__(width, channels=SEEN + 2, normalised=False)

    def seen(self, picture_BHW: Tensor) -> Tensor:
        seen_BCHW = _seen(picture_BHW)
        fine_B1HW = picture_BHW[:, None] - mean_of(picture_BHW[:, None], 3, 1)
        strength = [mean_of(x.square(), 9, 1) for x in (fine_B1HW / 10, 2 * seen_BCHW[:, -1:])]
        return torch.cat([seen_BCHW, *(x.log1p() for x in strength)], dim=1)


def _seen(slice_BHW: Tensor) -> Tensor:
    """Through three windows, and what differs from the mean about it [B, 4, H, W]."""
    hu_B1HW = slice_BHW[:, None]
    return torch.cat([windowed(hu_B1HW), detail(hu_B1HW, slice_BHW.new_tensor(DETAIL_HU))], dim=1)


class DoseCycle(Cycle):
    """Of what comes back to the full dose the noise must be gone; of what comes back to the low one it is another."""

    def there_and_back(self, first: Tensor, second: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The way back is not to lay less noise because that is easier to take: only its discriminator tells it."""
        to_second, to_first = self.forth(first), self.back(second)
        return (to_second, to_first), (self.back(to_second), self.forth(to_first.detach()))

    def lost(self, before: tuple[Tensor, Tensor], after: tuple[Tensor, Tensor]) -> Tensor:
        low = F.l1_loss(avg_pool2d(after[0], COARSE), avg_pool2d(before[0], COARSE))
        return COARSELY * low + F.mse_loss(after[1], before[1]) / LEFT_HU

    def unchanged(self, first: Tensor, second: Tensor) -> Tensor:
        return F.l1_loss(self.forth(second), second)


class Served(Shrinkage):
    """The way forth within bounds, and the network of the way back beside it."""

    def __init__(self, network: Cycle, side: int) -> None:
        super().__init__(side)
        self.load_state_dict(network.forth.state_dict())
        self.back = network.back

    def forward(self, slice: Tensor) -> Tensor:
        return slice - tempered(self.correction(slice), slice)


def domains(volume: Volume, hyper: Hyper) -> tuple[list[int], list[int]]:
    """The training slices that are shown at a low dose, and those that are shown as they are."""
    rows = hyper.training(len(volume.hu))
    return rows[::2], rows[1::2]


def parts(run: Run[Hyper], volume: Volume) -> list[Pairs]:
    """Of either domain, made once and kept beside the checkpoint; what of a pair is not shown is never looked at."""
    found = []
    for side, rows in enumerate(domains(volume, run.hyper)):
        kept = run.directory / f"side-{side}-{run.hyper.seed}-{run.hyper.sets}.pt"
        if not kept.exists():
            ct_pairs.make(volume, rows, run.hyper.sets, run.hyper.seed + 1000 * (side + 1)).save(kept)
        found.append(Pairs.load(kept))
    return found


def train(run: Run[Hyper]) -> nn.Module:
    hyper = run.hyper
    low, full = parts(run, chest_ct()[0])

    def drawn(rows: Tensor) -> tuple[Tensor, Tensor]:
        others = torch.randint(len(full.clean), (len(rows),))
        first_BHW, second_BHW = ct_pairs.batch(low, rows, hyper.patch)[0], ct_pairs.batch(full, others, hyper.patch)[1]
        return first_BHW.to(run.device), second_BHW.to(run.device)

    torch.manual_seed(hyper.seed)
    network = DoseCycle(Shrinkage(hyper.side), Laying(hyper.laying))
    adversary = Both(SlicePatches(hyper.adversary), SlicePatches(hyper.adversary))
    rows = torch.arange(len(low.clean))
    return Served(adversarial.fit(run, network, adversary, cycle.between(drawn, hyper), [rows]), hyper.side)


def evaluate(predict: Predict, hyper: Hyper) -> Evaluation:
    """All that a denoiser is measured by, and what goes there and back."""
    assert isinstance(predict, Predictor)
    found = denoising.evaluate(predict, hyper)
    panels = slices.panels(_there_and_back(predict, predict.beside("back"), hyper))
    return replace(found, pictures=found.pictures | {"there-and-back": panels})


def _there_and_back(forth: Predict, back: Predict, hyper: Hyper) -> dict[str, NDArray[np.float32]]:
    """A slice of the second patient, by the names that the source's programs give."""
    low, full = denoising.shown_pair("quarter dose", hyper)
    made, same = (forth({"slice": image})["denoised"] for image in (low, full))
    again = back({"slice": made, "drawn": _numbers(made.shape)})["noisier"]
    named = {"real_A: quarter dose": low, "fake_B: translated": made, "rec_A: there and back": again}
    return {name: image[0] for name, image in (named | {"real_B: full dose": full, "idt_A: of real_B": same}).items()}


def _numbers(shape: tuple[int, ...]) -> NDArray[np.float32]:
    return np.random.default_rng(1).standard_normal(shape, dtype=np.float32)


def _back_examples() -> Arrays:
    slice = denoising.examples()["slice"]
    return {"slice": slice, "drawn": _numbers(slice.shape)}


BACK = SideGraph(
    of=lambda served: served.back,  # type: ignore[arg-type, return-value]
    inputs=(
        denoising.INPUT,
        Declared(
            name="drawn",
            dtype="float32",
            shape=("batch", "height", "width"),
            description="standard normal numbers that become noise",
        ),
    ),
    outputs=(
        Declared(
            name="noisier",
            dtype="float32",
            shape=("batch", "height", "width"),
            unit="HU",
            description="the slice as a low dose might have shown it",
        ),
    ),
    examples=_back_examples,
    max_batch=1,
)

RECIPE = denoising.recipe(
    description="Low-dose CT slices made to look like slices of the full dose, learned without pairs: a CycleGAN.",
    spacing_mm=(0.5, 0.75),
    caution="This model is there for comparison: it takes fine structure for noise, and makes some slices worse.",
    hyper=Hyper(),
    train=train,
    evaluate=evaluate,
    trial={"validation": (23, 25), "sets": 1, "adversary": 8, "laying": 4},
    graphs={"back": BACK},
)

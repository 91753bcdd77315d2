"""Low-dose CT slices made to look like slices of the full dose, with no pairs to learn from: a CycleGAN.

Network: forth goes the network of `ct-denoiser` with half its channels, which finds the noise in the slice and bounds
what it takes (`Tempered`); back go five convolutions that lay noise over a slice, made of numbers drawn at random, for
what was taken cannot be found again. Two discriminators look at patches, through three windows and at the detail. 0.2 M
parameters; the way back lies beside what is served, to show what comes back.
Sources: Zhu et al., Unpaired image-to-image translation using cycle-consistent adversarial networks, ICCV 2017; Kang et
al., Cycle-consistent adversarial denoising network for multiphase coronary CT angiography, Med. Phys. 46(2), 2019;
Almahairi et al., Augmented CycleGAN, ICML 2018 (random numbers on the way back).
Data, dose: those of `ct-denoiser`. Every other training slice of the first patient is shown at a low dose only, and the
others as they are; no slice and no drawn body is on both sides. The second patient only measures the result.
Training: a discriminator's verdict, what is lost there and back as means over 4x4 pixels, since noise need not come
back as it was, and what changes of slices that are of the full dose already. The weights served are a running average.
Expected: less than `ct-denoiser`, which is told the truth; no cell of the grid harmed, as the correction is bounded.
Run time: 10 minutes on one core, and 5 for the noise.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.functional import avg_pool2d

from service.bundle import Arrays, CtDenoising, Tolerance
from service.bundle import Tensor as Declared
from training.data import Volume, chest_ct
from training.export.parity import Predictor
from training.given import ct as given
from training.images import ct_pairs
from training.images.ct_pairs import Pairs
from training.kinds import adversarial, cycle, denoising
from training.kinds.denoising import Split
from training.measures import ct
from training.measures.evaluation import Evaluation, Predict
from training.networks.cycle import Both, Cycle, Patches
from training.networks.denoiser import Denoiser, Tempered, detail, windowed
from training.recipe import Recipe, SideGraph
from training.report import slices
from training.run import Run

# B batch, C channels, H height, W width

DETAIL_HU = 20.0  # one unit of what differs from the mean about it
LAID_HU = 30.0  # one unit of what the way back lays over a slice


@dataclass(frozen=True, kw_only=True)
class Hyper(cycle.Hyper, Split):
    """`again` and `identity` are per HU. Each domain has `sets` of parts of slices, 8 in each."""

    epochs: int = 12
    batch: int = 4
    rate: float = 5e-4
    adversary_rate: float = 5e-4
    average_decay: float = 0.99
    again: float = 0.05
    identity: float = 0.02
    widths: tuple[int, ...] = (16, 32, 64)
    adversary: int = 32
    laying: int = 24  # channels of the way back
    patch: int = 96  # pixels
    crops: int = 2  # patches drawn from each part in an epoch
    sets: int = 56


class Laying(nn.Module):
    """Slices [B, H, W] in HU to the same with noise, made of numbers drawn at random, or of those that are given."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(5, width, 3, padding=1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(width, width, 5, padding=2), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(width, width, 5, padding=2), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.2)),
            nn.Conv2d(width, 1, 3, padding=1),
        )

    def forward(self, slice: Tensor, drawn: Tensor | None = None) -> Tensor:
        drawn_BHW = torch.randn_like(slice) if drawn is None else drawn
        seen_BCHW = torch.cat([_seen(slice), drawn_BHW[:, None]], dim=1)
        noisier_BHW: Tensor = slice + LAID_HU * self.layers(seen_BCHW)[:, 0]
        return noisier_BHW


class SlicePatches(Patches):
    """Slices in HU to how real each part of them looks."""

    def __init__(self, width: int) -> None:
        super().__init__(width, channels=4, normalised=False)

    def seen(self, picture_BHW: Tensor) -> Tensor:
        return _seen(picture_BHW)


def _seen(slice_BHW: Tensor) -> Tensor:
    """Through three windows, and what differs from the mean about it [B, 4, H, W]."""
    hu_B1HW = slice_BHW[:, None]
    return torch.cat([windowed(hu_B1HW), detail(hu_B1HW, slice_BHW.new_tensor(DETAIL_HU))], dim=1)


class Coarse(Cycle):
    """What has come back is looked at as means over 4x4 pixels: its noise is another one."""

    def lost(self, before: Tensor, after: Tensor) -> Tensor:
        return F.l1_loss(avg_pool2d(after, 4), avg_pool2d(before, 4))


class Served(Tempered):
    """The way forth, and the network of the way back beside it."""

    def __init__(self, network: Cycle, widths: tuple[int, ...]) -> None:
        super().__init__(widths)
        self.load_state_dict(network.forth.state_dict())
        self.back = network.back


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
    network = Coarse(Denoiser(hyper.widths), Laying(hyper.laying))
    adversary = Both(SlicePatches(hyper.adversary), SlicePatches(hyper.adversary))
    rows = torch.arange(len(low.clean)).repeat(hyper.crops)
    return Served(adversarial.fit(run, network, adversary, cycle.between(drawn, hyper), [rows]), hyper.widths)


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

RECIPE = Recipe(
    description="Low-dose CT slices made to look like slices of the full dose, learned without pairs: a CycleGAN.",
    task=CtDenoising(
        window=ct.WIDE,
        spacing_mm=(0.5, 1.25),
        caution="This model is there for comparison: it learned what slices look like, and never what they showed.",
    ),
    axes=denoising.AXES,
    hyper=Hyper(),
    sources=("chest-ct", "phantom-ct"),
    inputs=(denoising.INPUT,),
    outputs=(denoising.OUTPUT,),
    train=train,
    evaluate=evaluate,
    parts={name: denoising.part(name) for name in denoising.PARTS},
    scores=denoising.scores,
    given=given.folder,
    examples=denoising.examples,
    training_outputs=denoising.training_outputs,
    tolerance=Tolerance(atol=0.01, rtol=1e-4),
    max_batch=1,
    trial={"validation": (23, 25), "sets": 1, "widths": (8, 16), "adversary": 8, "laying": 4},
    graphs={"back": BACK},
)

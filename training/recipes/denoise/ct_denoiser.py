"""A residual U-Net that takes the noise out of CT slices, and leaves a slice alone that has next to none.

Network: it finds the noise about each place in the slice itself, in three bands of its spectrum, by a harmonic mean
that the calmest neighbours decide; the correction is a multiple of what was found, and shrinks to nothing with it. The
slice is shown through three windows (lung, soft tissue, bone), as a radiologist looks at it, and as detail in units of
its noise, to a U-Net of residual blocks at 1/2, 1/4 and 1/8 of the resolution.
What is served bounds the correction, see `Tempered`: next to nothing is left out, what stands out is held back, and no
more than 20 HU are taken anywhere, so that slices with more noise keep some of it, and their faint edges. Padding below
-1024 HU stays as it is. 0.6 M parameters, any size from 32x32.
Sources: Ronneberger et al., U-Net, MICCAI 2015; Zhang et al., FFDNet, IEEE Trans. Image Process. 27(9), 2018 (a network
that knows the noise level); Chen et al., Low-dose CT with a residual encoder-decoder, IEEE Trans. Med. Imaging 36(12),
2017.
Data: CT of two patients' chests, 5 mm slices, BSD-3-Clause, and drawn anatomy (`training/images/anatomy.py`): chests,
abdomens, heads and breasts with lesions of known contrast. The first patient trains the network; 6 neighbouring slices,
15 mm away from the rest, validate it. The second patient only measures the result: the intervals speak of that
patient's slices, not of other patients.
Dose: scanners with fan and parallel beams, 240 to 1160 views, kernels from soft to sharp and doses over a range of 1 to
33 (`training/images/scanner.py`, `ct_pairs.py`), at pixels of 0.35 to 1.4 mm. The noise alone goes through the
reconstruction and is laid over the slice, which is the reference: nothing asks the network to undo blur. A patient's
slice keeps the noise of its own scan, which nobody can predict and which limits every figure. Figures are of 360 views,
a kernel that a Hann window ends at 0.8 of the highest frequency, and 400,000 photons per ray as the normal dose: a
"quarter dose" is this simulator's and not any scanner's.
Training: 48 epochs by the error in units of the noise, begun with the weights of an earlier version; then 12 that also
weigh what edges lose, while the learning rate falls to nothing.
Harm: FAINT_HU, UNEVEN and MOST_HU of `training/networks/denoiser.py` and the sizes of pixels that are taken were chosen
so that no cell of the grid of `training/measures/no_harm.py` is worse after than before. It shows drawn bodies and
validation slices. At 0.4 and 0.45 mm faint edges in the strongest noise lost more than the 5 % that are let through.
Expected: PSNR on the second patient rises by 3.8 dB at a quarter of the normal dose and by 3.5 dB at a tenth, where the
20 HU are the bound; the version before took 4.4 and 5.8 dB, and damaged slices of other pixels and without noise. Faint
lesions lose contrast: of 20 HU, those of 5 mm keep 41 % and those of 12 mm 73 % at a quarter of the dose.
Run time: two hours on half a core, a quarter of an hour of it for the noise to learn from. `evaluate` takes ten
minutes; `evaluate ct-denoiser --part grid` measures the harm alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from torch.optim.lr_scheduler import LambdaLR

from service.bundle import Bundle, CtDenoising, Tolerance
from training.data import Volume, chest_ct
from training.export.weights import weights_in
from training.images import ct_pairs
from training.images.ct_pairs import Pairs
from training.kinds import denoising
from training.kinds.denoising import Check, Split, checked
from training.measures import ct
from training.networks.denoiser import Denoiser, Tempered
from training.recipe import Recipe
from training.run import Run
from training.schedule import running_average

# B batch, C channels, H rows, W columns

LEAST_HU = 2.0  # of noise, below which errors count no more for it
EDGE_HU, FEW_EDGES = 15.0, 1e5  # per pixel: what is less steep is no edge; squared and summed: less is hardly looked at


@dataclass(frozen=True, kw_only=True)
class Hyper(Split):
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


def training_pairs(run: Run[Hyper], volume: Volume) -> Pairs:
    """Made once and kept beside the checkpoint; the file's name tells which they are."""
    hyper = run.hyper
    kept = run.directory / f"pairs-{hyper.seed}-{hyper.sets}.pt"
    if not kept.exists():
        ct_pairs.make(volume, hyper.training(len(volume.hu)), hyper.sets, hyper.seed).save(kept)
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
    learned, checks = training_pairs(run, volume), denoising.checks(volume, hyper)
    network = Denoiser(hyper.widths)
    if run.start:
        begin(network, run.start)
    early = run.part("early", epochs=hyper.early_epochs, learning_rate=hyper.early_rate, edges=0.0)
    found = fit(early, network, learned, checks, falling(hyper.falling_from))
    steps = hyper.epochs * -(-len(learned.clean) * hyper.crops // hyper.batch)
    served = Tempered(hyper.widths)
    served.load_state_dict(fit(run, found, learned, checks, half_cosine(steps)).state_dict())
    return served


def falling(begin: int) -> Callable[[int], float]:
    """The share of the learning rate at each step: all of it after 100, and less and less from `begin` on."""
    return lambda step: min((step + 1) / 100, 1.0, (begin / (step + 1)) ** 0.5)


def half_cosine(steps: int) -> Callable[[int], float]:
    return lambda step: 0.5 + 0.5 * math.cos(math.pi * min(step / steps, 1.0))


def fit(
    run: Run[Hyper], network: nn.Module, learned: Pairs, checks: list[Check], share: Callable[[int], float]
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
        run.log(train_loss=float(torch.stack(losses).mean()), **checked(average.module, checks, run.device))
    return average.module


RECIPE = Recipe(
    description="Takes the noise out of low-dose CT slices with a residual U-Net that knows how much there is.",
    task=CtDenoising(window=ct.WIDE, spacing_mm=(0.5, 1.25)),
    axes=denoising.AXES,
    hyper=Hyper(),
    sources=("chest-ct", "phantom-ct"),
    inputs=(denoising.INPUT,),
    outputs=(denoising.OUTPUT,),
    train=train,
    evaluate=denoising.evaluate,
    parts={name: denoising.part(name) for name in denoising.PARTS},
    examples=denoising.examples,
    tolerance=Tolerance(atol=0.01, rtol=1e-4),
    max_batch=1,  # more fit no cache and take no less time per slice, but four times the memory
    warm={"early_rate": 4e-4},
    trial={"validation": (23, 25), "sets": 1},
)

"""How networks learn to take the noise out of CT slices: the pairs, what an error costs, and the loop."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d
from torch.optim.lr_scheduler import LambdaLR

from service.bundle import Bundle
from training.data import Volume, chest_ct
from training.export.weights import weights_in
from training.images import ct_pairs, own_noise
from training.images.ct_pairs import Pairs
from training.images.own_noise import Recorrupted
from training.kinds import denoising
from training.kinds.denoising import Check, Split, checked
from training.networks.denoiser import Denoiser
from training.run import Run
from training.schedule import running_average

# B batch, P parts of a gradient, H height, W width

LEAST_HU, FIRST_HU = 2.0, 10.0  # of noise, below which errors count no more for it; and at first
EDGE_HU, FEW_EDGES = 15.0, 1e5  # per pixel: what is less steep is no edge; squared and summed: less is hardly looked at
ABOUT, FEW_LESIONS = 25, 50.0  # pixels about a lesion that it is compared with; less of them hardly counts
LOUD_HU = 10.0  # of noise, at which a lesion counts half
EDGES_MAY, LESIONS_MAY = 0.03, 0.25  # shares that may be lost or won at no cost


Cost = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]  # denoised, clean, lesions [B, H, W]; noise in HU [B]


@dataclass(frozen=True, kw_only=True)
class Learning(Split):
    epochs: int = 12  # in which the learning rate falls to nothing along a half-cosine
    learning_rate: float = 3e-4
    early_epochs: int = 48  # before those
    early_rate: float = 1e-3
    falling_from: int = 1000  # early steps after which the rate falls with the square root of their number
    batch: int = 8
    average: float = 0.995  # decay of the running average of the weights, which is what is served
    coarse: float = 0.3  # weight of the error of means over 4x4 pixels: of faint lesions, and of coarse noise
    edges: float = 20.0  # weight of what is lost of edges, after the early epochs
    lesions: float = 1.0  # weight of what is lost of lesions' contrast, after the early epochs
    widths: tuple[int, ...] = (32, 64, 128)
    patch: int = 96  # pixels
    crops: int = 1  # patches drawn from each part in an epoch
    sets: int = 480  # of parts of slices, 8 in each


def training_pairs(run: Run[Learning], volume: Volume) -> Pairs:
    """Made once and kept beside the checkpoint; the file's name tells which they are."""
    hyper = run.hyper
    kind, make = (Recorrupted, own_noise.make) if volume.noisy else (Pairs, ct_pairs.make)
    kept = run.directory / f"{'own-' * volume.noisy}pairs-{hyper.seed}-{hyper.sets}.pt"
    if not kept.exists():
        make(volume, hyper.training(len(volume.hu)), hyper.sets, hyper.seed).save(kept)
    return kind.load(kept)


def loss_of(denoised_BHW: Tensor, clean_BHW: Tensor, deviation_B: Tensor, coarse: float) -> Tensor:
    """Root mean square error of each patch in units of the noise in its part, averaged: no dose drowns another."""
    error_BHW = denoised_BHW - clean_BHW
    unit_B = deviation_B.square() + LEAST_HU**2

    def relative(x_BHW: Tensor) -> Tensor:
        return (x_BHW.square().mean((1, 2)) / unit_B + 1e-4).sqrt().mean()

    return relative(error_BHW) + coarse * relative(avg_pool2d(error_BHW, 4))


def lost_edges(denoised_BHW: Tensor, clean_BHW: Tensor) -> Tensor:
    """The square of the share of their steepness that the edges of each patch have lost or won beyond what they may,
    averaged.

    What noise is left along an edge knows nothing of its direction, and hardly counts.
    """
    along_BPHW, error_BPHW = (_slopes(x_BHW) for x_BHW in (clean_BHW, denoised_BHW - clean_BHW))
    smooth_BPHW = _slopes(avg_pool2d(clean_BHW, 3, 1, padding=1, count_include_pad=False))
    edge_B1HW = smooth_BPHW.square().sum(1, keepdim=True) > EDGE_HU**2
    lost_B, there_B = ((x * along_BPHW * edge_B1HW).sum((1, 2, 3)) for x in (error_BPHW, along_BPHW))
    return (lost_B / (there_B + FEW_EDGES)).abs().sub(EDGES_MAY).clamp(min=0).square().mean()


def _slopes(x_BHW: Tensor) -> Tensor:
    """In HU per pixel, down and to the right [B, 2, H, W]."""
    down_BHW, right_BHW = x_BHW[:, 2:, 1:-1] - x_BHW[:, :-2, 1:-1], x_BHW[:, 1:-1, 2:] - x_BHW[:, 1:-1, :-2]
    return torch.stack([down_BHW, right_BHW], dim=1) / 2


def lost_lesions(error_BHW: Tensor, lesions_BHW: Tensor, deviation_B: Tensor) -> Tensor:
    """The square of the share of their contrast that the lesions of all patches have lost or won beyond what they may.

    Of each alone nobody could tell what is lost from the noise that is left, and the more noise, the less one counts.
    """
    about_BHW = avg_pool2d(lesions_BHW, ABOUT, 1, padding=ABOUT // 2, count_include_pad=False)
    raised_BHW = lesions_BHW - about_BHW
    there_B = (lesions_BHW * raised_BHW).sum((1, 2)).clamp(min=1).sqrt()
    lost_B = (error_BHW * raised_BHW).sum((1, 2)) / there_B
    counts_B = LOUD_HU / (LOUD_HU + deviation_B)
    lost = (counts_B * lost_B).sum() / ((counts_B * there_B).sum() + FEW_LESIONS)
    return lost.abs().sub(LESIONS_MAY).clamp(min=0).square()


def first_cost(denoised: Tensor, clean: Tensor, lesions: Tensor, deviation: Tensor) -> Tensor:
    """Mean square error in units of the noise: its root keeps who knows nothing yet from changing anything."""
    return ((denoised - clean).square().mean((1, 2)) / (deviation.square() + FIRST_HU**2)).mean()


def cost_of(hyper: Learning) -> Cost:
    """Of the noise that is left, and of what is taken with it."""

    def cost(denoised: Tensor, clean: Tensor, lesions: Tensor, deviation: Tensor) -> Tensor:
        left = loss_of(denoised, clean, deviation, hyper.coarse)
        edges, faint = lost_edges(denoised, clean), lost_lesions(denoised - clean, lesions, deviation)
        return left + hyper.edges * edges + hyper.lesions * faint

    return cost


def falling(begin: int) -> Callable[[int], float]:
    """The share of the learning rate at each step: all of it after 100, and less and less from `begin` on."""
    return lambda step: min((step + 1) / 100, 1.0, (begin / (step + 1)) ** 0.5)


def half_cosine(hyper: Learning, learned: Pairs) -> Callable[[int], float]:
    """Falls to nothing over all steps."""
    steps = hyper.epochs * -(-len(learned.clean) * hyper.crops // hyper.batch)
    return lambda step: 0.5 + 0.5 * math.cos(math.pi * min(step / steps, 1.0))


def begin(network: Denoiser, start: Bundle) -> None:
    """With the bundle's weights; one from before the network knew its noise has none for what reads it."""
    own = network.state_dict()
    network.load_state_dict(own | {name: x for name, x in weights_in(start.graph).items() if name in own})


def train(run: Run[Learning], begun: Callable[[], nn.Module], teacher: nn.Module | None = None) -> nn.Module:
    """The network in two stages: first roughly, at a rate that stays high; then for all that it costs.

    With a `teacher` the first stage learns what that one gives for the same slices (Romero et al., FitNets, ICLR 2015,
    let a smaller network learn by such an error): it has no noise of its own, which clean slices of a patient have.
    """
    hyper = run.hyper
    volume = chest_ct()[0]
    learned, checks = training_pairs(run, volume), denoising.checks(volume, hyper)
    early = run.part("early", epochs=hyper.early_epochs, learning_rate=hyper.early_rate)
    found = fit(early, begun(), learned, checks, falling(hyper.falling_from), first_cost, teacher)
    return fit(run, found, learned, checks, half_cosine(hyper, learned), cost_of(hyper))


def fit(
    run: Run[Learning],
    network: nn.Module,
    learned: Pairs,
    checks: list[Check],
    share: Callable[[int], float],
    cost: Cost,
    teacher: nn.Module | None = None,
) -> nn.Module:
    """The running average of the network's weights, after all epochs; `share` is that of the learning rate.

    What a `teacher` gives stands for the clean slices.
    """
    hyper = run.hyper
    network.to(run.device)
    if teacher:
        teacher.to(run.device)
        teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a tenth faster
    average = running_average(network, hyper.average)
    optimizer = torch.optim.Adam(network.parameters(), lr=hyper.learning_rate)
    scheduler = LambdaLR(optimizer, share)
    rows = torch.arange(len(learned.clean)).repeat(hyper.crops)
    for _ in run.epochs(network=network, average=average, optimizer=optimizer, scheduler=scheduler):
        losses = []
        for (chosen,) in run.batches(rows, size=hyper.batch):
            low, clean, lesions, deviation = (x.to(run.device) for x in ct_pairs.batch(learned, chosen, hyper.patch))
            with torch.autocast(run.device.type, torch.bfloat16):  # halves the time; HU stay float32
                denoised = network(low)
                target = clean if teacher is None else _taught(teacher, low)
            loss = cost(denoised, target, lesions, deviation)
            run.step(loss, optimizer)
            scheduler.step()
            average.update_parameters(network)
            losses.append(loss.detach())
        run.log(train_loss=float(torch.stack(losses).mean()), **checked(average.module, checks, run.device))
    return average.module


@torch.no_grad()
def _taught(teacher: nn.Module, low: Tensor) -> Tensor:
    denoised: Tensor = teacher(low)
    return denoised

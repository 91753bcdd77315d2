"""Networks that carry noise to pictures: conditional flow matching, then fewer steps of the guided flow.

A teacher learns the velocity of straight lines from noise to pictures (Lipman et al., Flow matching for generative
modeling, ICLR 2023), its output conditioned as by Karras et al. (Elucidating the design space of diffusion-based
generative models, NeurIPS 2022), some rows without their label. Its flow is guided towards the label (Ho and Salimans,
Classifier-free diffusion guidance, 2022). A student learns to go as far in one of a few steps as the guided teacher
in several, with or without label apart (Salimans and Ho, Progressive distillation, ICLR 2022; Meng et al., On
distillation of guided diffusion models, CVPR 2023).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.data import Images
from training.networks.unet import UNet
from training.run import Run
from training.schedule import one_cycle, running_average

# B batch, H height, W width, K steps, L labels, M numbers that modulate

Loss = Callable[["Flow", Tensor, Tensor, Tensor], Tensor]
"""Of a flow on noise, pictures [B, H, W] and labels [B]."""


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """`epochs` and `learning_rate` are the student's; it makes `steps`, each of so many `substeps` of its teacher's.

    Times are drawn as the logistic function of normal draws of `time_mean` and `time_deviation`.
    """

    seed: int = 1
    epochs: int = 2
    learning_rate: float = 5e-4
    steps: int = 6
    substeps: int = 1
    guidance: float = 0.5
    teacher_epochs: int = 10
    teacher_learning_rate: float = 2e-3
    batch: int = 128
    average_decay: float = 0.999
    without_label: float = 0.1
    time_mean: float = 0.3
    time_deviation: float = 1.4
    fine: int = 32
    coarse: int = 96
    depth: int = 3
    validation: int = 5000
    bfloat16: bool = True


STUDENT = {"learning_rate": 0.0, "steps": 0, "substeps": 0, "guidance": 0.0}  # what a teacher's training knows not of


class Flow(nn.Module):
    """The velocity of pictures [B, 28, 28] of mean 0 and deviation 1 on their way from noise, time 0, to time 1."""

    def __init__(self, labels: int, hyper: Hyper) -> None:
        super().__init__()
        self.any = labels  # the label that stands for any
        self.network = UNet(labels, hyper.fine, hyper.coarse, hyper.depth)
        self.brief = hyper.bfloat16

    def raw(self, place_BHW: Tensor, time_B: Tensor, label_B: Tensor) -> Tensor:
        """The network's output, of deviation 1 at every time."""
        with torch.autocast(place_BHW.device.type, torch.bfloat16, enabled=self.brief):
            modulation_BM = self.network.modulation(time_B, label_B)
            raw_BHW: Tensor = self.network(place_BHW / _spread(time_B), modulation_BM)
        return raw_BHW.float()

    def velocity(self, place_BHW: Tensor, time_B: Tensor, label_B: Tensor) -> Tensor:
        return outward(place_BHW, time_B, self.raw(place_BHW, time_B, label_B))

    def guided(self, place_BHW: Tensor, time_B: Tensor, label_B: Tensor, guidance: float) -> Tensor:
        """The velocity, and `guidance` times what the label makes of it."""
        twice = torch.cat([place_BHW, place_BHW]), torch.cat([time_B, time_B])
        labels = torch.cat([label_B, torch.full_like(label_B, self.any)])
        towards_BHW, anywhere_BHW = self.velocity(*twice, labels).chunk(2)
        return towards_BHW + guidance * (towards_BHW - anywhere_BHW)


def _spread(time_B: Tensor) -> Tensor:
    """Deviation [B, 1, 1] of a place at that time."""
    time_B11 = time_B[:, None, None]
    return (time_B11**2 + (1 - time_B11) ** 2).sqrt()


def outward(place_BHW: Tensor, time_B: Tensor, raw_BHW: Tensor) -> Tensor:
    """The velocity that a network's output stands for."""
    spread_B11 = _spread(time_B)
    return (2 * time_B[:, None, None] - 1) / spread_B11**2 * place_BHW + raw_BHW / spread_B11


def inward(place_BHW: Tensor, time_B: Tensor, velocity_BHW: Tensor) -> Tensor:
    """What a network should have given where the velocity is this."""
    spread_B11 = _spread(time_B)
    return spread_B11 * velocity_BHW - (2 * time_B[:, None, None] - 1) / spread_B11 * place_BHW


class Sampler(nn.Module):
    """Noise [B, 784] and labels [B] to grey levels [B, 28, 28] in equal steps of a flow.

    What modulates the network is the same for every sample of a label, so that it is looked up and not computed.
    """

    table: Tensor
    times: Tensor

    def __init__(self, flow: Flow, steps: int, mean: float, deviation: float) -> None:
        super().__init__()
        self.network, self.steps, self.mean, self.deviation = flow.network, steps, mean, deviation
        labels = torch.arange(flow.any)
        self.register_buffer("times", torch.arange(steps) / steps)
        with torch.no_grad():
            rows = [self.network.modulation(time.expand(flow.any), labels) for time in self.times]
        self.register_buffer("table", torch.stack(rows))  # [K, L, M]

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        place_BHW = latent.reshape(-1, 28, 28)
        for step in range(self.steps):
            time_1 = self.times[step, None]
            raw_BHW = self.network(place_BHW / _spread(time_1), self.table[step][label])
            place_BHW = place_BHW + outward(place_BHW, time_1, raw_BHW) / self.steps
        return (self.mean + self.deviation * place_BHW).clamp(0, 255)


def fit(run: Run[Hyper], images: Images, mean: float, deviation: float) -> Sampler:
    """Train teacher and student; `mean` and `deviation` are those of the training pixels."""
    hyper = run.hyper
    pictures = (torch.from_numpy(images.pixels).to(run.device, torch.float32) - mean) / deviation
    labels = torch.from_numpy(images.labels).to(run.device)
    part = run.part("teacher", epochs=hyper.teacher_epochs, **STUDENT)
    teacher = fit_teacher(part, pictures, labels)
    student = fit_student(run, teacher, pictures, labels)
    return Sampler(student.cpu(), hyper.steps, mean, deviation)


def fit_teacher(run: Run[Hyper], pictures: Tensor, labels: Tensor) -> Flow:
    """The flow along straight lines from noise to pictures."""
    hyper = run.hyper
    flow = Flow(int(labels.max()) + 1, hyper)

    def loss(flow: Flow, noise_BHW: Tensor, picture_BHW: Tensor, label_B: Tensor) -> Tensor:
        time_B = torch.sigmoid(hyper.time_mean + hyper.time_deviation * torch.randn(len(label_B), device=run.device))
        unknown_B = torch.rand(len(label_B), device=run.device) < hyper.without_label
        place_BHW = between(noise_BHW, picture_BHW, time_B)
        raw_BHW = flow.raw(place_BHW, time_B, torch.where(unknown_B, flow.any, label_B))
        return F.mse_loss(raw_BHW, inward(place_BHW, time_B, picture_BHW - noise_BHW))

    return _fitted(run, flow, pictures, labels, loss, hyper.teacher_learning_rate)


def fit_student(run: Run[Hyper], teacher: Flow, pictures: Tensor, labels: Tensor) -> Flow:
    """A copy of the teacher that goes straight to where the guided teacher comes at the end of each step."""
    hyper = run.hyper

    def loss(flow: Flow, noise_BHW: Tensor, picture_BHW: Tensor, label_B: Tensor) -> Tensor:
        time_B = torch.randint(hyper.steps, label_B.shape, device=run.device) / hyper.steps
        place_BHW = between(noise_BHW, picture_BHW, time_B)
        with torch.no_grad():
            end_BHW = carried(teacher, place_BHW, time_B, label_B, hyper)
        wanted_BHW = inward(place_BHW, time_B, (end_BHW - place_BHW) * hyper.steps)
        return F.mse_loss(flow.raw(place_BHW, time_B, label_B), wanted_BHW)

    return _fitted(run, copy.deepcopy(teacher), pictures, labels, loss, hyper.learning_rate)


def between(noise_BHW: Tensor, picture_BHW: Tensor, time_B: Tensor) -> Tensor:
    return torch.lerp(noise_BHW, picture_BHW, time_B[:, None, None])


def carried(teacher: Flow, place_BHW: Tensor, time_B: Tensor, label_B: Tensor, hyper: Hyper) -> Tensor:
    """Where the guided teacher carries a place in one of the student's steps, by the midpoint rule."""
    length = 1 / (hyper.steps * hyper.substeps)
    for _ in range(hyper.substeps):
        half_BHW = place_BHW + length / 2 * teacher.guided(place_BHW, time_B, label_B, hyper.guidance)
        velocity_BHW = teacher.guided(half_BHW, time_B + length / 2, label_B, hyper.guidance)
        place_BHW, time_B = place_BHW + length * velocity_BHW, time_B + length
    return place_BHW


def _fitted(run: Run[Hyper], flow: Flow, pictures: Tensor, labels: Tensor, loss: Loss, learning_rate: float) -> Flow:
    """The running average of a flow's weights on their way down the mean of `loss`."""
    hyper, held = run.hyper, run.hyper.validation
    flow = flow.to(run.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = running_average(flow, hyper.average_decay)
    averaged = cast(Flow, average.module)
    optimizer = torch.optim.Adam(flow.parameters(), lr=learning_rate)
    scheduler = one_cycle(optimizer, epochs=hyper.epochs, rows=len(pictures) - held, batch=hyper.batch)
    for _ in run.epochs(flow=flow, average=average, optimizer=optimizer, scheduler=scheduler):
        losses = []
        for picture, label in run.batches(pictures[held:], labels[held:], size=hyper.batch):
            current = loss(flow, torch.randn_like(picture), picture, label)
            run.step(current, optimizer)
            scheduler.step()
            average.update_parameters(flow)
            losses.append(current.detach())
        with torch.no_grad():
            seen = loss(averaged, torch.randn_like(pictures[:held]), pictures[:held], labels[:held])
        run.log(train_loss=float(torch.stack(losses).mean()), validation_loss=float(seen))
    return averaged

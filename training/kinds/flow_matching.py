"""Networks that carry noise to pictures: conditional flow matching.

A network learns the velocity of straight lines from noise to pictures (Lipman et al., Flow matching for generative
modeling, ICLR 2023), its output conditioned as by Karras et al. (Elucidating the design space of diffusion-based
generative models, NeurIPS 2022), some rows without their label. Sampling follows the flow in a few steps, guided
towards the label (Ho and Salimans, Classifier-free diffusion guidance, 2022) in some of them, for at the ends it only
costs variety (Kynkäänniemi et al., Applying guidance in a limited interval, NeurIPS 2024).
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim.lr_scheduler import LinearLR

from training.data import Images
from training.networks.unet import UNet
from training.run import Run
from training.schedule import running_average

# B batch, H height, W width, K steps, L labels, M numbers that modulate


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """Samples are drawn in `steps`. In training, times are the logistic function of normal draws.

    The learning rate rises for `warm_up` steps and stays, so that more epochs go on where fewer ended: what anneals is
    the average of the weights.
    """

    seed: int = 1
    epochs: int = 14
    batch: int = 64
    learning_rate: float = 1e-3
    warm_up: int = 200
    average_decay: float = 0.999
    without_label: float = 0.1
    time_mean: float = 0.3
    time_deviation: float = 1.4
    fine: int = 32
    coarse: int = 96
    depth: int = 3
    validation: int = 5000
    steps: int = 8
    bfloat16: bool = True


class Flow(nn.Module):
    """The velocity of pictures [B, 28, 28] of mean 0 and deviation 1 on their way from noise, time 0, to time 1."""

    def __init__(self, labels: int, hyper: Hyper) -> None:
        super().__init__()
        self.any = labels  # the label that stands for any
        self.network = UNet(labels, hyper.fine, hyper.coarse, hyper.depth)
        self.brief = hyper.bfloat16

    def forward(self, place_BHW: Tensor, time_B: Tensor, label_B: Tensor) -> Tensor:
        """What stands for the velocity, of deviation 1 at every time."""
        with torch.autocast(place_BHW.device.type, torch.bfloat16, enabled=self.brief):
            modulation_BM = self.network.modulation(time_B, label_B)
            raw_BHW: Tensor = self.network(place_BHW / spread(time_B), modulation_BM)
        return raw_BHW.float()


def spread(time_B: Tensor) -> Tensor:
    """Deviation [B, 1, 1] of a place at that time."""
    time_B11 = time_B[:, None, None]
    return (time_B11**2 + (1 - time_B11) ** 2).sqrt()


def velocity(place_BHW: Tensor, time_B: Tensor, raw_BHW: Tensor) -> Tensor:
    """The velocity that a network's output stands for."""
    spread_B11 = spread(time_B)
    return (2 * time_B[:, None, None] - 1) / spread_B11**2 * place_BHW + raw_BHW / spread_B11


def wanted(place_BHW: Tensor, time_B: Tensor, velocity_BHW: Tensor) -> Tensor:
    """What a network should give where the velocity is this."""
    spread_B11 = spread(time_B)
    return spread_B11 * velocity_BHW - (2 * time_B[:, None, None] - 1) / spread_B11 * place_BHW


class Sampler(nn.Module):
    """Noise [B, 784] and labels [B] to grey levels [B, 28, 28] in equal steps.

    In those that begin at a time of `guided`, `guidance` times what the label makes of the velocity is added to it.
    What modulates the network is the same for every sample of a label, so that it is looked up and not computed.
    """

    table: Tensor

    def __init__(
        self, flow: Flow, steps: int, guidance: float, guided: tuple[float, float], *, mean: float, deviation: float
    ) -> None:
        super().__init__()
        self.network, self.any, self.guidance, self.guided = flow.network, flow.any, guidance, guided
        self.times, self.mean, self.deviation = [step / steps for step in range(steps)], mean, deviation
        labels = torch.arange(flow.any + 1)
        with torch.no_grad():
            rows = [self.network.modulation(torch.full(labels.shape, time), labels) for time in self.times]
        self.register_buffer("table", torch.stack(rows))  # [K, L + 1, M]

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        place_BHW = latent.reshape(-1, 28, 28)
        for step, time in enumerate(self.times):
            time_1 = torch.full((1,), time)
            seen_BHW = place_BHW / spread(time_1)
            raw_BHW = self.network(seen_BHW, self.table[step][label])
            if self.guided[0] <= time <= self.guided[1]:
                anyhow_BHW = self.network(seen_BHW, self.table[step][self.any].expand(len(label), -1))
                raw_BHW = raw_BHW + self.guidance * (raw_BHW - anyhow_BHW)
            place_BHW = place_BHW + velocity(place_BHW, time_1, raw_BHW) / len(self.times)
        return (self.mean + self.deviation * place_BHW).clamp(0, 255)


def fit(run: Run[Hyper], images: Images, mean: float, deviation: float) -> Flow:
    """The running average of a flow; `mean` and `deviation` are those of the training pixels."""
    hyper, held = run.hyper, run.hyper.validation
    pictures = (torch.from_numpy(images.pixels).to(run.device, torch.float32) - mean) / deviation
    labels = torch.from_numpy(images.labels).to(run.device)
    flow = Flow(int(labels.max()) + 1, hyper).to(run.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = running_average(flow, hyper.average_decay)
    averaged = cast(Flow, average.module)
    optimizer = torch.optim.Adam(flow.parameters(), lr=hyper.learning_rate)
    scheduler = LinearLR(optimizer, 1 / hyper.warm_up, total_iters=hyper.warm_up)
    for _ in run.epochs(flow=flow, average=average, optimizer=optimizer, scheduler=scheduler):
        losses = []
        for picture, label in run.batches(pictures[held:], labels[held:], size=hyper.batch):
            current = loss(flow, picture, label, hyper)
            run.step(current, optimizer)
            scheduler.step()
            average.update_parameters(flow)
            losses.append(current.detach())
        with torch.no_grad():
            seen = loss(averaged, pictures[:held], labels[:held], hyper)
        run.log(train_loss=float(torch.stack(losses).mean()), validation_loss=float(seen))
    return averaged


def loss(flow: Flow, picture_BHW: Tensor, label_B: Tensor, hyper: Hyper) -> Tensor:
    """The mean square of what is missing to the velocity at random places of lines from noise to pictures."""
    noise_BHW, device = torch.randn_like(picture_BHW), label_B.device
    time_B = torch.sigmoid(hyper.time_mean + hyper.time_deviation * torch.randn(len(label_B), device=device))
    unknown_B = torch.rand(len(label_B), device=device) < hyper.without_label
    place_BHW = torch.lerp(noise_BHW, picture_BHW, time_B[:, None, None])
    raw_BHW = flow(place_BHW, time_B, torch.where(unknown_B, flow.any, label_B))
    return F.mse_loss(raw_BHW, wanted(place_BHW, time_B, picture_BHW - noise_BHW))

"""Networks that learn by deceiving another: one loop for all that imitate pictures, codes or another domain."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim.lr_scheduler import LinearLR

from training.data import Images
from training.kinds.autoencoding import Autoencoder
from training.networks.adversaries import Adversary
from training.run import Run, Stateful
from training.schedule import running_average

# B batch, C pixels or code


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """`rate` is that of the network that is served, `adversary_rate` that of the one that tells apart.

    Both fall in a line to nothing over the training; what is served is a running average.
    """

    seed: int = 1
    epochs: int = 20
    batch: int = 128
    rate: float = 5e-4
    adversary_rate: float = 5e-4
    momentum: float = 0.5
    average_decay: float = 0.998


@dataclass(frozen=True, kw_only=True)
class DenseHyper(Hyper):
    """`noise` is added to all that the adversary sees, `reconstruction` is its weight beside the deception."""

    latent: int = 64
    noise: float = 0.0
    reconstruction: float = 20.0
    wide: int = 512
    narrow: int = 256


Move = Callable[..., tuple[Any, Any, Tensor]]
"""Of the network and a batch of every tensor: what it made, what is real, and its loss beside the deception."""

H = TypeVar("H", bound=Hyper)
N = TypeVar("N", bound=nn.Module)


def of_pictures(latent: int) -> Move:
    """A network that draws imitates pictures."""

    def move(network: nn.Module, pixels_BC: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        code_BC = torch.randn(len(pixels_BC), latent, device=pixels_BC.device)
        return network(code_BC).flatten(1) / 255, pixels_BC, pixels_BC.new_zeros(())

    return move


def of_codes(weight: float) -> Move:
    """The codes of an autoencoder imitate its prior, while it draws its images again."""

    def move(network: Autoencoder, pixels_BC: Tensor, label_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        code_BC = network.code(pixels_BC, label_B)
        missing = F.binary_cross_entropy_with_logits(network.decoder(code_BC, label_B), pixels_BC)
        return code_BC, torch.randn_like(code_BC), weight * missing

    return move


def rows(images: Images) -> tuple[Tensor, Tensor]:
    """Pixels from 0 to 1 [N, C] and labels [N]."""
    return torch.from_numpy(images.pixels).flatten(1).float() / 255, torch.from_numpy(images.labels)


class Player:
    """One side: its module, optimiser and falling learning rate."""

    def __init__(self, module: nn.Module, rate: float, momentum: float, steps: int) -> None:
        self.module = module
        self.optimizer = torch.optim.Adam(module.parameters(), lr=rate, betas=(momentum, 0.999))
        self.schedule = LinearLR(self.optimizer, 1.0, 0.02, total_iters=steps)

    def state(self, name: str) -> dict[str, Stateful]:
        return {name: self.module, f"{name}_optimizer": self.optimizer, f"{name}_schedule": self.schedule}


def fit(run: Run[H], network: N, adversary: Adversary, move: Move, rows: Sequence[Tensor]) -> N:
    """The running average of the network, which took turns with its adversary on batches of `rows`."""
    hyper, tensors = run.hyper, [tensor.to(run.device) for tensor in rows]
    network, adversary = network.to(run.device), adversary.to(run.device)
    average, steps = running_average(network, hyper.average_decay), hyper.epochs * -(-len(tensors[0]) // hyper.batch)
    own = Player(network, hyper.rate, hyper.momentum, steps)
    other = Player(adversary, hyper.adversary_rate, hyper.momentum, steps)
    for _ in run.epochs(average=average, **own.state("network"), **other.state("adversary")):
        losses = []
        for batch in run.batches(*tensors, size=hyper.batch):
            made, real, beside = move(network, *batch)
            apart = adversary.told_apart(made, real)
            run.step(apart, other.optimizer)
            deceived = adversary.deceived(made, real)
            run.step(deceived + beside, own.optimizer)
            for player in (own, other):
                player.schedule.step()
            average.update_parameters(network)
            losses.append(torch.stack([apart.detach(), deceived.detach(), beside.detach()]))
        names = "adversary_loss", "deception_loss", "other_loss"
        run.log(**dict(zip(names, torch.stack(losses).mean(0).tolist(), strict=True)))
    return cast(N, average.module)

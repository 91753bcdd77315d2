"""Networks that learn by deceiving another: one loop for those that imitate pictures and those that imitate a prior."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from service.bundle import Arrays
from training.data import Images, mnist
from training.kinds import generation
from training.networks.dense import Discriminator
from training.recipe import SideGraph
from training.run import Run
from training.schedule import running_average

# B batch, C pixels or code, H height, W width


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """`rate` is that of the network that is served, `adversary_rate` that of the one that tells apart.

    Both fall in a line to nothing over the training.
    """

    seed: int = 1
    epochs: int = 5
    batch: int = 64
    rate: float = 3e-4
    adversary_rate: float = 3e-4
    momentum: float = 0.5
    average_decay: float = 0.998
    latent: int = 64
    noise: float = 0.0
    reconstruction: float = 20.0  # weight beside the deception
    wide: int = 512
    narrow: int = 256


Move = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]
"""Of a network, images in [0, 1] [B, H, W] and labels [B]: rows that it made, real ones [B, C], and its other loss."""


class Drawn(nn.Module):
    """Latent codes, and labels where the decoder takes them, to grey levels [B, 28, 28]."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        return 255 * torch.sigmoid(self.decoder(latent, label)).reshape(-1, 28, 28)


class Autoencoder(Drawn):
    """What draws, and an encoder from images in [0, 1] [B, H, W] to its latent codes [B, C]."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__(decoder)
        self.encoder = encoder


class Encoding(nn.Module):
    """An autoencoder the other way: grey levels to their latent code and what is drawn of it again."""

    def __init__(self, autoencoder: nn.Module) -> None:
        super().__init__()
        self.autoencoder = autoencoder

    def forward(self, image: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        code_BC = self.autoencoder.encoder(image.flatten(1) / 255)  # type: ignore[operator]
        return code_BC, self.autoencoder(code_BC, label)


def encode(latent: int, labelled: bool) -> SideGraph:
    """The graph beside the decoder that encodes pictures, with their labels where the decoder takes them."""

    def examples() -> Arrays:
        shown = mnist().test
        return {"image": shown.pixels[:4].astype(np.float32)} | ({"label": shown.labels[:4]} if labelled else {})

    picture = generation.image()
    drawn = picture.model_copy(update={"name": "reconstruction", "description": "drawn again from its code"})
    return SideGraph(
        of=Encoding,
        inputs=(picture, generation.label("the digit that it shows")) if labelled else (picture,),
        outputs=(generation.latent(latent).model_copy(update={"description": "of the picture"}), drawn),
        examples=examples,
    )


def of_pictures(latent: int) -> Move:
    """A network that draws imitates pictures."""

    def move(network: nn.Module, image_BHW: Tensor, _: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        code_BC = torch.randn(len(image_BHW), latent, device=image_BHW.device)
        return network(code_BC).flatten(1) / 255, image_BHW.flatten(1), torch.zeros((), device=image_BHW.device)

    return move


def of_codes(weight: float, labelled: bool) -> Move:
    """The codes of an autoencoder imitate its prior, while it draws its images again."""

    def move(network: nn.Module, image_BHW: Tensor, label_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pixels_BC = image_BHW.flatten(1)
        code_BC = network.encoder(pixels_BC)  # type: ignore[operator]
        logits_BC = network.decoder(code_BC, label_B if labelled else None)  # type: ignore[operator]
        missing = F.binary_cross_entropy_with_logits(logits_BC, pixels_BC)
        return code_BC, torch.randn_like(code_BC), weight * missing

    return move


def fit(run: Run[Hyper], network: nn.Module, adversary: Discriminator, move: Move, images: Images) -> nn.Module:
    """The running average of the network's weights."""
    hyper, device = run.hyper, run.device
    pictures = torch.from_numpy(images.pixels).to(device, torch.float32) / 255
    labels = torch.from_numpy(images.labels).to(device)
    network, adversary = network.to(device), adversary.to(device)
    average = running_average(network, hyper.average_decay)
    players = (network, hyper.rate), (adversary, hyper.adversary_rate)
    optimizer, opposing = (
        torch.optim.Adam(player.parameters(), lr=rate, betas=(hyper.momentum, 0.999)) for player, rate in players
    )
    steps = hyper.epochs * -(-len(pictures) // hyper.batch)
    falling, with_it = (
        torch.optim.lr_scheduler.LinearLR(one, 1.0, 0.02, total_iters=steps) for one in (optimizer, opposing)
    )
    state = {"network": network, "adversary": adversary, "average": average}
    for _ in run.epochs(**state, optimizer=optimizer, opposing=opposing, falling=falling, with_it=with_it):
        losses = []
        for picture, label in run.batches(pictures, labels, size=hyper.batch):
            made, real, other = move(network, picture, label)
            apart = adversary.told_apart(made, real)
            run.step(apart, opposing)
            deceived = adversary.deceived(made)
            run.step(deceived + other, optimizer)
            for schedule in (falling, with_it):
                schedule.step()
            average.update_parameters(network)
            losses.append(torch.stack([apart.detach(), deceived.detach(), other.detach()]))
        adversary_loss, deception, other_loss = torch.stack(losses).mean(0).tolist()
        run.log(adversary_loss=adversary_loss, deception_loss=deception, other_loss=other_loss)
    return average.module

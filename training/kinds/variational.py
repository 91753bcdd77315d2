"""Autoencoders whose codes are uncertain: the evidence lower bound, with and without labels.

Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014. The likelihood is Bernoulli's, with grey levels as
probabilities of white.
"""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.data import mnist
from training.kinds import adversarial
from training.kinds.autoencoding import Autoencoder
from training.run import Run
from training.schedule import one_cycle

# B batch, C pixels, L latent


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """`truncation` was chosen on samples of another seed than those that are measured."""

    seed: int = 1
    epochs: int = 15
    batch: int = 256
    learning_rate: float = 2e-3
    latent: int = 8
    truncation: float = 1.0
    validation: int = 5000


H = TypeVar("H", bound=Hyper)


def drawn_near(mean_BL: Tensor, log_variance_BL: Tensor) -> tuple[Tensor, Tensor]:
    """Codes [B, L] of a Gaussian posterior, and the mean of its divergence from the prior in nats."""
    latent_BL = mean_BL + torch.exp(log_variance_BL / 2) * torch.randn_like(mean_BL)
    divergence_BL = (mean_BL**2 + log_variance_BL.exp() - 1 - log_variance_BL) / 2
    return latent_BL, divergence_BL.sum(1).mean()


def evidence(network: Autoencoder, pixels_BC: Tensor, label_B: Tensor) -> tuple[Tensor, Tensor]:
    """Reconstruction and divergence terms of the evidence lower bound in nats, each a mean over the batch."""
    latent_BL, divergence = drawn_near(*network.encoder(pixels_BC, label_B).chunk(2, 1))
    logit_BC = network.decoder(latent_BL, label_B)
    reconstruction = -F.binary_cross_entropy_with_logits(logit_BC, pixels_BC, reduction="sum") / len(pixels_BC)
    return reconstruction, divergence


def fit(run: Run[H], encoder: nn.Module, decoder: nn.Module) -> nn.Module:
    """Pixels [B, 784] and labels to mean and log variance [B, 2 L], and codes [B, L] and labels to pixels."""
    hyper, held = run.hyper, run.hyper.validation
    network = Autoencoder(encoder, decoder, hyper.latent, hyper.truncation).to(run.device)
    pixels, digits = (tensor.to(run.device) for tensor in adversarial.rows(mnist().train))
    optimizer = torch.optim.Adam(network.parameters(), lr=hyper.learning_rate)
    scheduler = one_cycle(optimizer, epochs=hyper.epochs, rows=len(pixels) - held, batch=hyper.batch)
    for _ in run.epochs(network=network, optimizer=optimizer, scheduler=scheduler):
        terms = []
        for picture, label in run.batches(pixels[held:], digits[held:], size=hyper.batch):
            reconstruction, divergence = evidence(network, picture, label)
            run.step(divergence - reconstruction, optimizer)
            scheduler.step()
            terms.append(torch.stack([reconstruction.detach(), divergence.detach()]))
        with torch.no_grad():
            seen = torch.stack(evidence(network, pixels[:held], digits[:held]))
        figures = {"train": torch.stack(terms).mean(0), "validation": seen}
        run.log(
            **{f"{part}_ELBO_nats": float(found[0] - found[1]) for part, found in figures.items()},
            **{f"{part}_divergence_nats": float(found[1]) for part, found in figures.items()},
        )
    return network

"""Conditional autoencoders whose pictures deceive by the features that two adversaries see in them: CVAE-GAN."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from training.data import Images
from training.kinds import adversarial
from training.kinds.autoencoding import Autoencoder
from training.kinds.generation import LABELS
from training.kinds.variational import drawn_near
from training.networks.adversaries import Observer
from training.networks.convolutional import Painted, Seen
from training.networks.dense import PIXELS
from training.run import Run

# B batch, C pixels or code


@dataclass(frozen=True, kw_only=True)
class Hyper(adversarial.DenseHyper):
    """`divergence` and `reconstruction` are weights beside the deception."""

    epochs: int = 5
    latent: int = 16
    noise: float = 0.2
    rate: float = 1e-3
    divergence: float = 0.005
    reconstruction: float = 20.0


def fit(run: Run[Hyper], images: Images) -> nn.Module:
    hyper = run.hyper

    def move(network: Autoencoder, pixels_BC: Tensor, label_B: Tensor) -> tuple[object, object, Tensor]:
        code_BC, divergence = drawn_near(*network.encoder(pixels_BC, label_B).chunk(2, 1))
        asked_B = label_B[torch.randperm(len(label_B)).to(label_B.device)]
        again_BC = torch.sigmoid(network.decoder(code_BC, label_B))
        drawn_BC = torch.sigmoid(network.decoder(torch.randn_like(code_BC), asked_B))
        missing = F.mse_loss(again_BC, pixels_BC)
        made, real = (drawn_BC, asked_B, again_BC), (pixels_BC, label_B)
        return made, real, hyper.reconstruction * missing + hyper.divergence * divergence

    network = Autoencoder(Seen(2 * hyper.latent, LABELS), Painted(hyper.latent, LABELS), hyper.latent)
    observer = Observer(PIXELS, LABELS, hyper.noise, (hyper.wide, hyper.narrow))
    return adversarial.fit(run, network, observer, move, adversarial.rows(images))

"""Handwritten digits from the first generative adversarial network, made not to collapse.

Network: dense generator 64-256-512-784, SiLU, and a dense discriminator of the same widths with noise on its pictures
(Sønderby et al., Amortised MAP inference for image super-resolution, ICLR 2017); Adam with learning rates that fall
to nothing; the generator served is a running average.
Source: Goodfellow et al., Generative adversarial nets, NeurIPS 2014.
Data: MNIST, 60,000 + 10,000 digits of 28x28; its authors state no licence.
Expected: all ten digits, none of them under 5 %. Run time: 2 minutes on one core.
"""

from torch import nn

from training.data import mnist
from training.kinds import adversarial, generation
from training.kinds.adversarial import Drawn, Hyper
from training.networks.dense import PIXELS, Dense, Discriminator
from training.run import Run

HYPER = Hyper(noise=0.2)


def train(run: Run[Hyper]) -> nn.Module:
    hyper = run.hyper
    network = Drawn(Dense(hyper.latent, (hyper.narrow, hyper.wide), PIXELS))
    adversary = Discriminator(PIXELS, hyper.noise, (hyper.wide, hyper.narrow))
    return adversarial.fit(run, network, adversary, adversarial.of_pictures(hyper.latent), mnist().train)


RECIPE = generation.recipe(
    HYPER.latent,
    description="Draws handwritten digits: a dense generative adversarial network trained on MNIST.",
    hyper=HYPER,
    train=train,
    source_figure="a log-likelihood of 225 by Parzen windows, not compared",
)

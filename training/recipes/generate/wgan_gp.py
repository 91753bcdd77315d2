"""Handwritten digits from a Wasserstein network with a gradient penalty and two time scales.

Network: the dense generator of `gan` and a dense critic without noise, whose learning rate is four times the
generator's (Heusel et al., GANs trained by a two time-scale update rule, NeurIPS 2017), so that one step of each in
turn is enough.
Source: Gulrajani et al., Improved training of Wasserstein GANs, NeurIPS 2017.
Data: MNIST, 60,000 + 10,000 digits of 28x28; its authors state no licence.
Expected: all ten digits, none of them under 5 %. Run time: 2 minutes on one core.
"""

from torch import nn

from training.data import mnist
from training.kinds import adversarial, generation
from training.kinds.adversarial import Drawn, Hyper
from training.networks.dense import PIXELS, Critic, Dense
from training.run import Run

HYPER = Hyper(rate=2e-4, adversary_rate=8e-4)


def train(run: Run[Hyper]) -> nn.Module:
    hyper = run.hyper
    network = Drawn(Dense(hyper.latent, (hyper.narrow, hyper.wide), PIXELS))
    adversary = Critic(PIXELS, (hyper.wide, hyper.narrow))
    return adversarial.fit(run, network, adversary, adversarial.of_pictures(hyper.latent), mnist().train)


RECIPE = generation.recipe(
    HYPER.latent,
    description="Draws handwritten digits: a Wasserstein network with a gradient penalty, trained on MNIST.",
    hyper=HYPER,
    train=train,
)

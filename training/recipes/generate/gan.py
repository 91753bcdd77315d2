"""Handwritten digits from the first generative adversarial network, made not to collapse.

Network: dense generator 64-192-256-784, SiLU, and a dense discriminator of 512 and 256 that compares drawn with real
digits in pairs, is kept flat around both, and sees each beside the mean of its batch; Adam with learning rates that
fall to nothing; the generator served is a running average. A discriminator with noise on its pictures instead was
measured, too: there the generator drew little but one kind of digit, recall 0.004, 880 times the floor.
Source: Goodfellow et al., Generative adversarial nets, NeurIPS 2014.
Data: MNIST, 60,000 + 10,000 digits of 28x28; its authors state no licence.
Expected: all ten digits, the rarest of them 5 % where 10 % would be even. Run time: 6 minutes on one core.
"""

from torch import nn

from training.data import mnist
from training.kinds import adversarial, generation
from training.kinds.adversarial import DenseHyper
from training.kinds.autoencoding import Drawn
from training.networks.adversaries import Steadied
from training.networks.dense import PIXELS, Dense
from training.run import Run

HYPER = DenseHyper(epochs=9, batch=64, rate=5e-4, adversary_rate=3e-4)
GENERATOR = 192, 256


def train(run: Run[DenseHyper]) -> nn.Module:
    hyper = run.hyper
    network = Drawn(Dense(hyper.latent, GENERATOR, PIXELS))
    adversary = Steadied(PIXELS, (hyper.wide, hyper.narrow))
    move = adversarial.of_pictures(hyper.latent)
    return adversarial.fit(run, network, adversary, move, adversarial.rows(mnist().train))


RECIPE = generation.recipe(
    HYPER.latent,
    asks=False,
    description="Draws handwritten digits: a dense generative adversarial network trained on MNIST.",
    hyper=HYPER,
    train=train,
    source_figure="collapses: mostly 3s",
)

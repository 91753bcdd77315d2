"""Handwritten digits in a plane: an adversarial autoencoder whose codes of two numbers are normally distributed.

Network: dense encoder 784-512-256-2 and mirrored decoder; a discriminator of 128 and 128 tells codes from draws of a
standard normal, and the encoder deceives it. The weights served are a running average.
Source: Makhzani et al., Adversarial autoencoders, ICLR 2016 workshop.
Data: MNIST, 60,000 + 10,000 digits of 28x28; its authors state no licence.
Expected: all ten digits, none of them under 5 %. Run time: 1 minute on one core.
"""

from torch import nn

from training.data import mnist
from training.kinds import adversarial, generation
from training.kinds.adversarial import Autoencoder, Hyper
from training.networks.dense import PIXELS, Dense, Discriminator
from training.run import Run

HYPER = Hyper(epochs=8, latent=2, rate=1e-3, batch=100, noise=0.1)


def train(run: Run[Hyper]) -> nn.Module:
    hyper = run.hyper
    encoder = Dense(PIXELS, (hyper.wide, hyper.narrow), hyper.latent)
    decoder = Dense(hyper.latent, (hyper.narrow, hyper.wide), PIXELS)
    adversary, move = Discriminator(hyper.latent, hyper.noise), adversarial.of_codes(hyper.reconstruction, False)
    return adversarial.fit(run, Autoencoder(encoder, decoder), adversary, move, mnist().train)


RECIPE = generation.recipe(
    HYPER.latent,
    asks=False,
    description="Draws handwritten digits from codes of two numbers: an adversarial autoencoder.",
    hyper=HYPER,
    train=train,
    graphs={"encode": adversarial.encode(HYPER.latent, False)},
)

"""Handwritten digits in a plane: an adversarial autoencoder whose codes of two numbers are normally distributed.

Network: small convolutional encoder to the code, and decoder, of 0.06 M parameters each; a discriminator of 128 and
128 tells codes from draws of a standard normal, and the encoder deceives it. The weights served are a running average.
Source: Makhzani et al., Adversarial autoencoders, ICLR 2016 workshop.
Data: MNIST, 60,000 + 10,000 digits of 28x28; its authors state no licence.
Expected: ten digits that overlap in the plane, blurred, none under 4 %. Run time: 4 minutes on one core.
"""

from torch import nn

from training.data import mnist
from training.kinds import adversarial, autoencoding, generation
from training.kinds.adversarial import DenseHyper
from training.kinds.autoencoding import Autoencoder
from training.networks.adversaries import Discriminator
from training.networks.convolutional import Painted, Seen
from training.run import Run

HYPER = DenseHyper(epochs=12, latent=2, rate=2e-3, noise=0.1)


def train(run: Run[DenseHyper]) -> nn.Module:
    hyper = run.hyper
    network = Autoencoder(Seen(hyper.latent), Painted(hyper.latent), hyper.latent)
    adversary = Discriminator(hyper.latent, hyper.noise)
    move = adversarial.of_codes(hyper.reconstruction)
    return adversarial.fit(run, network, adversary, move, adversarial.rows(mnist().train))


RECIPE = generation.recipe(
    HYPER.latent,
    asks=False,
    description="Draws handwritten digits, in a plane of codes: an adversarial autoencoder trained on MNIST.",
    hyper=HYPER,
    train=train,
    graphs={"encode": autoencoding.encode(HYPER.latent, asks=False)},
)

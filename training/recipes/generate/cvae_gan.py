"""Handwritten digits of a chosen label from a CVAE-GAN, an autoencoder that two networks judge.

Network: small convolutional encoder and decoder of 0.07 M parameters each, the label in the biases of both; a
discriminator and a classifier of 512 and 256, whose inner features of drawn and of real pictures are to agree: in the
mean for codes drawn at random, in pairs for those of pictures. The weights served are a running average.
Source: Bao et al., CVAE-GAN: fine-grained image generation through asymmetric training, ICCV 2017.
Data: MNIST, 60,000 + 10,000 digits of 28x28; its authors state no licence.
Expected: 99 % of the samples read as asked, with little variety. Run time: 5 minutes on one core.
"""

from torch import nn

from training.data import mnist
from training.kinds import autoencoding, generation, matching
from training.kinds.generation import DIGITS
from training.kinds.matching import Hyper
from training.run import Run

HYPER = Hyper()


def train(run: Run[Hyper]) -> nn.Module:
    return matching.fit(run, mnist().train)


RECIPE = generation.recipe(
    HYPER.latent,
    asks=True,
    domain=DIGITS,
    description="Draws handwritten digits of a chosen label: a CVAE-GAN trained on MNIST.",
    hyper=HYPER,
    train=train,
    graphs={"encode": autoencoding.encode(HYPER.latent, asks=True, domain=DIGITS)},
)

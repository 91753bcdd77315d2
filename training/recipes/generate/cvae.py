"""A conditional variational autoencoder that draws handwritten digits on demand.

Network: dense encoder 784-512-256 to a Gaussian posterior over the latent code, mirrored decoder, the label in the
biases of both.
Source: Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014; Sohn, Lee and Yan, Learning structured output
representation using deep conditional generative models, NeurIPS 2015.
5,000 training digits are set aside to validate choices.
Data: MNIST, 60,000 + 10,000 digits of 28x28; its authors state no licence.
Expected: 99 % of the samples read as asked, with little variety. Run time: 2 minutes on one core.
"""

from dataclasses import dataclass

from torch import nn

from training.kinds import autoencoding, generation, variational
from training.kinds.generation import LABELS
from training.networks.dense import PIXELS, Dense
from training.run import Run


@dataclass(frozen=True, kw_only=True)
class Hyper(variational.Hyper):
    truncation: float = 0.8
    wide: int = 512
    narrow: int = 256


HYPER = Hyper()


def train(run: Run[Hyper]) -> nn.Module:
    hyper = run.hyper
    encoder = Dense(PIXELS, (hyper.wide, hyper.narrow), 2 * hyper.latent, LABELS)
    decoder = Dense(hyper.latent, (hyper.narrow, hyper.wide), PIXELS, LABELS)
    return variational.fit(run, encoder, decoder)


RECIPE = generation.recipe(
    HYPER.latent,
    asks=True,
    description="Draws handwritten digits of a chosen label: a conditional variational autoencoder trained on MNIST.",
    hyper=HYPER,
    train=train,
    graphs={"encode": autoencoding.encode(HYPER.latent, asks=True)},
)

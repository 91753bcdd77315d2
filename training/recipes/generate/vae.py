"""A variational autoencoder that draws handwritten digits.

Network: small convolutional encoder to a Gaussian posterior over the latent code of 12 numbers, and decoder, of 0.06 M
parameters each.
Source: Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014.
5,000 training digits are set aside to validate choices.
Data: MNIST, 60,000 + 10,000 digits of 28x28; its authors state no licence.
Expected: all ten digits, none of them under 5 %, blurred. Run time: 3 minutes on one core.
"""

from torch import nn

from training.kinds import autoencoding, generation, variational
from training.kinds.variational import Hyper
from training.networks.convolutional import Painted, Seen
from training.run import Run

HYPER = Hyper(epochs=10, latent=12)


def train(run: Run[Hyper]) -> nn.Module:
    latent = run.hyper.latent
    return variational.fit(run, Seen(2 * latent), Painted(latent))


RECIPE = generation.recipe(
    HYPER.latent,
    asks=False,
    description="Draws handwritten digits: a variational autoencoder trained on MNIST.",
    hyper=HYPER,
    train=train,
    graphs={"encode": autoencoding.encode(HYPER.latent, asks=False)},
)

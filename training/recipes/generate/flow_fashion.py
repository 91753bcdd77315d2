"""Pictures of clothes by conditional flow matching: noise is carried to a picture in eight steps of a small U-Net.

Network: that of `flow` with 64 channels over 7x7 places, 0.4 M parameters; its steps and its guidance, which were
chosen for digits. 5,000 training pictures are set aside. The models that judge the samples took no part in training.
Source: Lipman et al., Flow matching for generative modeling, ICLR 2023.
Data: Fashion-MNIST, 60,000 + 10,000 pictures of 28x28; its authors state the MIT licence.
Expected: 90 % of the samples read as asked. Run time: 16 minutes on one core.
"""

from torch import nn

from service.bundle import Tolerance
from training.data import fashion_mnist
from training.kinds import flow_matching, generation
from training.kinds.flow_matching import Hyper
from training.kinds.generation import GARMENTS
from training.networks.blocks import FASHION_MNIST
from training.run import Run

LATENT = 28 * 28
GUIDANCE, GUIDED = 0.5, (0.1, 0.5)  # in steps that begin at these times


def train(run: Run[Hyper]) -> nn.Module:
    mean, deviation = FASHION_MNIST
    flow = flow_matching.fit(run, fashion_mnist().train, mean, deviation).cpu()
    return flow_matching.Sampler(flow, run.hyper.steps, GUIDANCE, GUIDED, mean=mean, deviation=deviation)


RECIPE = generation.recipe(
    LATENT,
    asks=True,
    domain=GARMENTS,
    description="Draws pieces of clothing of a chosen label, by flow matching on Fashion-MNIST.",
    hyper=Hyper(coarse=64),
    train=train,
    tolerance=Tolerance(atol=0.1, rtol=1e-4),
    max_batch=16,
    trial={"validation": 100, "batch": 32, "fine": 8, "coarse": 16, "depth": 1, "steps": 2},
)

"""Handwritten digits by conditional flow matching: noise is carried to a digit in eight steps of a small U-Net.

Network: U-Net over 14x14 and 7x7 places, 0.7 M parameters; the steps are unrolled in the graph, which looks at a sample
without its label, too, in the steps that are guided (`training/kinds/flow_matching.py` names the sources). 5,000
training digits are set aside; steps and guidance were chosen with samples compared with them. The models that judge
the samples took no part in training.
Source: Lipman et al., Flow matching for generative modeling, ICLR 2023.
Data: MNIST, 60,000 + 10,000 digits of 28x28; its authors state no licence.
Expected: 99 % of the samples read as asked. Run time: 35 minutes on one core.
"""

from torch import nn

from service.bundle import Tolerance
from training.data import mnist
from training.kinds import flow_matching, generation
from training.kinds.flow_matching import Hyper
from training.networks.blocks import MNIST
from training.run import Run

LATENT = 28 * 28
GUIDANCE, GUIDED = 0.5, (0.1, 0.5)  # in steps that begin at these times


def train(run: Run[Hyper]) -> nn.Module:
    mean, deviation = MNIST
    flow = flow_matching.fit(run, mnist().train, mean, deviation).cpu()
    return flow_matching.Sampler(flow, run.hyper.steps, GUIDANCE, GUIDED, mean=mean, deviation=deviation)


RECIPE = generation.recipe(
    LATENT,
    asks=True,
    description="Draws handwritten digits of a chosen label, by flow matching on MNIST.",
    hyper=Hyper(),
    train=train,
    tolerance=Tolerance(atol=0.1, rtol=1e-4),
    max_batch=16,
    trial={"validation": 100, "batch": 32, "fine": 8, "coarse": 16, "depth": 1, "steps": 2},
)

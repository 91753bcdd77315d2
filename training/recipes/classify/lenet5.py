"""LeNet-5, the network that read cheques, on the digits it was published with.

Network: conv 6@5x5, pool 2, conv 16@5x5, pool 2, dense 120-84-10, tanh in between, soft-max; 61,706 parameters.
Source: LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, Proc. IEEE 86(11),
1998. As there: tanh and average pooling. Unlike there: pooling has no weights of its own, the second convolution sees
all six maps, and a dense soft-max replaces the radial basis functions. Trained as all classifiers here are, each digit
shifted, turned, scaled and sheared a little every time it is seen.
Data: MNIST, 60,000 + 10,000 digits of 28x28; its authors state no licence.
Expected: 99.3 % of the test digits; the paper's figure is 99.05 % without distortions and 99.2 % with them.
Run time: 13 minutes on one core.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from service.bundle import DigitClassification
from training.data import mnist
from training.export.weights import begin
from training.images.augmentation import Affine
from training.kinds import classification
from training.networks.blocks import MNIST, Standardise
from training.run import Run

# B batch, H height, W width, K classes


@dataclass(frozen=True, kw_only=True)
class Hyper(classification.Hyper):
    epochs: int = 30
    learning_rate: float = 5e-3


class LeNet5(nn.Module):
    """float32 [B, 28, 28], 0 black to 255 white, to class scores [B, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Standardise(*MNIST),
            *(nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2)),
            *(nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten()),
            *(nn.Linear(16 * 5 * 5, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10)),
        )

    def forward(self, image_BHW: Tensor) -> Tensor:
        scores_BK: Tensor = self.layers(image_BHW)
        return scores_BK


def train(run: Run[Hyper]) -> nn.Module:
    return classification.fit(run, begin(run, LeNet5()), *classification.grey(mnist().train), augment=Affine())


RECIPE = classification.recipe(
    mnist,
    DigitClassification(labels=tuple(range(10))),
    description="Reads handwritten digits with LeNet-5, the first convolutional network in wide use.",
    hyper=Hyper(),
    sources=("mnist",),
    train=train,
    warm=classification.WARM,
    source_figure="99.05 %, with distortions 99.2 % (the paper)",
)

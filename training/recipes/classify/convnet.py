"""A small convolutional network for handwritten digits.

Network: conv 10@5x5, ReLU, max-pool 2, conv 20@3x3, ReLU, dense 500, ReLU, dense 10, soft-max; 1.0 M parameters.
Source: LeCun et al., Gradient-based learning applied to document recognition, Proc. IEEE 86(11), 1998, in the
smaller form that courses use. Trained as they do (Adam, batch 512, pixels standardised by 0.1307 and 0.3081), and
beyond them: each digit is shifted, turned, scaled and sheared a little every time it is seen, the learning rate
follows one cycle (Smith and Topin, 2018), dropout on the dense layer, and the weights served are a running average.
5,000 training digits are set aside to validate choices; the 10,000 test digits only measure the result.
Data: MNIST, 60,000 + 10,000 digits of 28x28; its authors state no licence.
Expected: 99.6 % of the test digits. Run time: 11 minutes on one core.
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
    epochs: int = 40
    batch: int = 512
    dropout: float = 0.4
    rotation: float = 10.0  # degrees, standard deviations from here on
    shift: float = 1.2  # pixels
    scale: float = 0.08
    shear: float = 0.10


class ConvNet(nn.Module):
    """float32 [B, 28, 28], 0 black to 255 white, to class scores [B, 10]."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            Standardise(*MNIST),
            *(nn.Conv2d(1, 10, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(10, 20, 3), nn.ReLU(), nn.Flatten()),
        )
        self.dense = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(20 * 10 * 10, 500), nn.ReLU(), nn.Dropout(dropout), nn.Linear(500, 10)
        )

    def forward(self, image_BHW: Tensor) -> Tensor:
        scores_BK: Tensor = self.dense(self.convolutions(image_BHW))
        return scores_BK


def train(run: Run[Hyper]) -> nn.Module:
    hyper = run.hyper
    affine = Affine(rotation=hyper.rotation, shift=hyper.shift, scale=hyper.scale, shear=hyper.shear)
    network = begin(run, ConvNet(hyper.dropout))
    return classification.fit(run, network, *classification.grey(mnist().train), augment=affine)


RECIPE = classification.recipe(
    mnist,
    DigitClassification(labels=tuple(range(10))),
    description="Reads handwritten digits with a small convolutional network trained on MNIST.",
    hyper=Hyper(),
    sources=("mnist",),
    train=train,
    warm=classification.WARM,
    source_figure="about 99 %",
)

"""A multi-layer perceptron for pictures of clothes: what dense layers alone can do.

Network: 784-512-512-10 with ReLU, soft-max; 0.67 M parameters.
Source: the network that PyTorch's introductory tutorial trains on Fashion-MNIST. Here it also has dropout, sees shifted
and mirrored pictures, one cycle of the learning rate (Smith and Topin, 2018), and the weights served are a running
average.
5,000 training pictures are set aside to validate choices; the 10,000 test pictures only measure the result.
Data: Fashion-MNIST, 60,000 + 10,000 pictures of 28x28 (Xiao, Rasul, Vollgraf, 2017), MIT licence.
Expected: 90.1 % of the test pictures; the source states no figure. Run time: 5 minutes on one core.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from service.bundle import ImageClassification
from training.data import CLOTHES, fashion_mnist
from training.export.weights import begin
from training.images.augmentation import mirrored, shifted
from training.kinds import classification
from training.networks.blocks import FASHION_MNIST, Standardise
from training.run import Run

# B batch, H height, W width


@dataclass(frozen=True, kw_only=True)
class Hyper(classification.Hyper):
    epochs: int = 40
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    dropout: float = 0.1
    reach: int = 1  # pixels a picture is shifted by, at most


class Perceptron(nn.Sequential):
    """float32 [B, 28, 28], 0 black to 255 white, to class scores [B, 10]."""

    def __init__(self, dropout: float) -> None:
        super().__init__(
            *(Standardise(*FASHION_MNIST), nn.Flatten()),
            *(nn.Linear(28 * 28, 512), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(512, 512), nn.ReLU(), nn.Dropout(dropout)),
            nn.Linear(512, 10),
        )


def train(run: Run[Hyper]) -> nn.Module:
    def augment(image_BHW: Tensor) -> Tensor:
        return mirrored(shifted(image_BHW, run.hyper.reach))

    network, data = begin(run, Perceptron(run.hyper.dropout)), fashion_mnist().train
    return classification.fit(run, network, *classification.grey(data), augment=augment)


RECIPE = classification.recipe(
    fashion_mnist,
    ImageClassification(labels=CLOTHES),
    description="Names pieces of clothing with a multi-layer perceptron trained on Fashion-MNIST.",
    hyper=Hyper(),
    sources=("fashion-mnist",),
    inputs=(classification.image(description="a piece of clothing, light on black"),),
    train=train,
    warm=classification.WARM,
)

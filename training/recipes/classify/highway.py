"""Four highway layers, each of which learns how much of its input to carry on unchanged.

Network: dense 128 from the pixels, four highway layers of 128, dense 10, soft-max; 233,866 parameters.
A highway layer gives H(x) T(x) + x (1 - T(x)): H an affine map with ReLU, T the transform gate, an affine map with a
sigmoid whose bias starts at -1, so that the layer first carries most of its input (section 2.2).
Source: Srivastava, Greff, Schmidhuber, Training very deep networks, NIPS 2015.
Data: MNIST, 60,000 + 10,000 digits of 28x28; its authors state no licence.
Expected: 99.0 % of the test digits; the source got 77 %. Run time: 3 minutes on one core.
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from service.bundle import DigitClassification
from training.data import mnist
from training.export.weights import begin
from training.images.augmentation import Affine
from training.kinds import classification
from training.networks.blocks import MNIST, Standardise
from training.run import Run

# B batch, D width, H height, W width of the image, K classes


@dataclass(frozen=True, kw_only=True)
class Hyper(classification.Hyper):
    epochs: int = 30
    width: int = 128
    gate_bias: float = -1.0


class Highway(nn.Module):
    def __init__(self, width: int, gate_bias: float) -> None:
        super().__init__()
        self.transform, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.constant_(self.gate.bias, gate_bias)

    def forward(self, x_BD: Tensor) -> Tensor:
        gate_BD: Tensor = self.gate(x_BD).sigmoid()
        return F.relu(self.transform(x_BD)) * gate_BD + x_BD * (1 - gate_BD)


class HighwayNetwork(nn.Module):
    """float32 [B, 28, 28], 0 black to 255 white, to class scores [B, 10]."""

    def __init__(self, width: int, gate_bias: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(Standardise(*MNIST), nn.Flatten(), nn.Linear(28 * 28, width), nn.ReLU()),
            *(Highway(width, gate_bias) for _ in range(4)),
            nn.Linear(width, 10),
        )

    def forward(self, image_BHW: Tensor) -> Tensor:
        scores_BK: Tensor = self.layers(image_BHW)
        return scores_BK


def train(run: Run[Hyper]) -> nn.Module:
    network = HighwayNetwork(run.hyper.width, run.hyper.gate_bias)
    return classification.fit(run, begin(run, network), *classification.grey(mnist().train), augment=Affine())


RECIPE = classification.recipe(
    mnist,
    DigitClassification(labels=tuple(range(10))),
    description="Reads handwritten digits with four highway layers.",
    hyper=Hyper(),
    sources=("mnist",),
    train=train,
    warm=classification.WARM,
    source_figure="77 %",
)

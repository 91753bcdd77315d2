"""A recurrent network of convolutions that looks at the same small digit twice.

Network: a convolutional update-gate RNN with 32 maps, two time steps, then dense 64 with ReLU, dense 10, soft-max;
53,578 parameters. At each step c = tanh(conv(x) + conv(h)), g = sigmoid(conv(x) + conv(h)), and the state becomes
g h + (1 - g) c; the convolutions of the image x are 5x5, those of the previous state h are 3x3 and pad it with zeros.
Source: Collins, Sohl-Dickstein, Sussillo, Capacity and trainability in recurrent neural networks, ICLR 2017: the UGRNN,
its products with matrices made convolutions, the bias of its gate starting at 1.
Data: the 1,797 digits of 8x8 that scikit-learn brings, the test set of UCI's optdigits (CC BY 4.0): the first 1,437
to train with, 200 of them to validate, the last 360 to measure the result.
Expected: 98 % of the test digits, all ten classes; the source told 0 from 1, with difficulty.
Run time: 1 minute on one core.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from service.bundle import DigitClassification
from training.data import small_digits
from training.export.weights import begin
from training.images.augmentation import Affine
from training.kinds import classification
from training.networks.blocks import Standardise
from training.run import Run

# B batch, C channels, H height, W width, K classes

INK = (4.89, 6.01)  # mean and standard deviation of the training pixels, in levels of 0 to 16


@dataclass(frozen=True, kw_only=True)
class Hyper(classification.Hyper):
    epochs: int = 200
    batch: int = 64
    learning_rate: float = 5e-3
    average_decay: float = 0.99
    validation: int = 200
    width: int = 32
    steps: int = 2
    dropout: float = 0.3


class UpdateGate(nn.Module):
    """Images [B, 1, 8, 8] to the state [B, C, 4, 4] after some steps of looking at them."""

    def __init__(self, width: int, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.seen = nn.Conv2d(1, 2 * width, 5)  # candidate c and gate g in one
        self.state = nn.Conv2d(width, 2 * width, 3, padding=1, bias=False)
        nn.init.constant_(self.seen.bias[width:], 1.0)  # type: ignore[index]

    def forward(self, image_BCHW: Tensor) -> Tensor:
        seen_BCHW = self.seen(image_BCHW)
        state_BCHW = torch.zeros_like(seen_BCHW.chunk(2, dim=1)[0])
        for _ in range(self.steps):
            candidate_BCHW, gate_BCHW = (seen_BCHW + self.state(state_BCHW)).chunk(2, dim=1)
            gate_BCHW = gate_BCHW.sigmoid()
            state_BCHW = gate_BCHW * state_BCHW + (1 - gate_BCHW) * candidate_BCHW.tanh()
        return state_BCHW


class ConvUrnn(nn.Module):
    """float32 [B, 8, 8], 0 black to 16 white, to class scores [B, 10]."""

    def __init__(self, width: int, steps: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(Standardise(*INK), UpdateGate(width, steps), nn.Flatten(), nn.Dropout(dropout)),
            *(nn.Linear(width * 4 * 4, 64), nn.ReLU(), nn.Dropout(dropout), nn.Linear(64, 10)),
        )

    def forward(self, image_BHW: Tensor) -> Tensor:
        scores_BK: Tensor = self.layers(image_BHW)
        return scores_BK


def train(run: Run[Hyper]) -> nn.Module:
    network = ConvUrnn(run.hyper.width, run.hyper.steps, run.hyper.dropout)
    augment = Affine(rotation=8, shift=0.3)
    return classification.fit(run, begin(run, network), *classification.grey(small_digits().train), augment=augment)


RECIPE = classification.recipe(
    small_digits,
    DigitClassification(labels=tuple(range(10)), pictures=False),
    description="Reads handwritten digits of 8x8 pixels with a convolutional update-gate recurrent network.",
    hyper=Hyper(),
    sources=("small-digits",),
    inputs=(classification.image(8, white=16),),
    train=train,
    warm=classification.WARM,
    spot_check=classification.spot_check(small_digits, 100),
    source_figure='0 from 1, "with difficulty"',
)

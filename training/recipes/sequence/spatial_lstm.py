"""Digits read by a spatial LSTM, whose every place hears of the place to its left and of the one above.

Network: 7x7 patches of 4x4 pixels; a cell of 48 units at each with an input gate, an output gate and a forget gate for
either neighbour's memory. Places of one diagonal do not hear of each other: the rows are skewed so that a diagonal is a
column, and 13 steps do for 49 places. The last state and the mean of all of them go through a linear layer.
Source: Graves, Fernandez and Schmidhuber, Multi-dimensional recurrent neural networks, ICANN 2007; skewing: van den
Oord, Kalchbrenner and Kavukcuoglu, Pixel recurrent neural networks, ICML 2016.
Data: MNIST, 60,000 + 10,000 digits of 28x28; its authors state no licence. 5,000 training digits validate.
Expected: 98.1 % of the test digits. Run time: 4 minutes on one core.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from service.bundle import DigitClassification
from training.data import mnist
from training.images.augmentation import Affine
from training.kinds import classification
from training.networks.blocks import MNIST, Standardise
from training.run import Run

# B batch, D diagonals, R rows, F pixels of a patch, H hidden units, K classes

SIDE, PATCH = 7, 4


@dataclass(frozen=True, kw_only=True)
class Hyper(classification.Hyper):
    epochs: int = 4
    learning_rate: float = 8e-3
    average_decay: float = 0.99
    width: int = 48
    dropout: float = 0.2


class SpatialLstm(nn.Module):
    """Patches [B, R, R, F] to hidden states [B, D, R, H], a diagonal's by their rows; 0 where there is no place."""

    place: Tensor
    there: Tensor

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.seen = nn.Linear(inputs, 5 * width)
        self.left, self.upper = (nn.Linear(width, 5 * width, bias=False) for _ in range(2))
        column_DR = torch.arange(2 * SIDE - 1)[:, None] - torch.arange(SIDE)
        there_DR = (column_DR >= 0) & (column_DR < SIDE)
        self.register_buffer("place", (torch.arange(SIDE) * SIDE + column_DR.clamp(0, SIDE - 1)).flatten(), False)
        self.register_buffer("there", there_DR[:, :, None].float(), False)

    def forward(self, patches_BRRF: Tensor) -> Tensor:
        skewed_BPF = patches_BRRF.flatten(1, 2)[:, self.place]
        skewed_BDRF = skewed_BPF.reshape(-1, 2 * SIDE - 1, SIDE, skewed_BPF.shape[-1])
        seen_BDRG = self.seen(skewed_BDRF)
        state_BRH = memory_BRH = torch.zeros_like(seen_BDRG[:, 0, :, : self.width])
        found = []
        for diagonal in range(2 * SIDE - 1):
            gates_BRG = seen_BDRG[:, diagonal] + self.left(state_BRH) + self.upper(_below(state_BRH))
            write, keep_left, keep_upper, show, new = gates_BRG.chunk(5, 2)
            memory_BRH = keep_left.sigmoid() * memory_BRH + keep_upper.sigmoid() * _below(memory_BRH)
            memory_BRH = (memory_BRH + write.sigmoid() * new.tanh()) * self.there[diagonal]
            state_BRH = show.sigmoid() * memory_BRH.tanh()
            found.append(state_BRH)
        return torch.stack(found, 1)


def _below(x_BRH: Tensor) -> Tensor:
    """Every row's in the row below it."""
    return torch.cat([torch.zeros_like(x_BRH[:, :1]), x_BRH[:, :-1]], 1)


class Reader(nn.Module):
    """Images [B, 28, 28] to class scores [B, K]."""

    def __init__(self, hyper: Hyper) -> None:
        super().__init__()
        self.standardise, self.layer = Standardise(*MNIST), SpatialLstm(PATCH * PATCH, hyper.width)
        self.last = nn.Sequential(nn.Dropout(hyper.dropout), nn.Linear(2 * hyper.width, 10))

    def forward(self, image_BHW: Tensor) -> Tensor:
        patches = self.standardise(image_BHW).reshape(-1, SIDE, PATCH, SIDE, PATCH)
        state_BDRH = self.layer(patches.permute(0, 1, 3, 2, 4).flatten(3))
        mean_BH = state_BDRH.sum((1, 2)) / SIDE**2
        scores_BK: Tensor = self.last(torch.cat([state_BDRH[:, -1, -1], mean_BH], 1))
        return scores_BK


def train(run: Run[Hyper]) -> nn.Module:
    images, labels = classification.grey(mnist().train)
    return classification.fit(run, Reader(run.hyper), images, labels, augment=Affine(rotation=8, shift=1.5))


RECIPE = classification.recipe(
    mnist,
    DigitClassification(labels=tuple(range(10))),
    description="Reads handwritten digits with a two-dimensional LSTM, diagonal by diagonal.",
    hyper=Hyper(),
    sources=("mnist",),
    train=train,
    source_figure="none: forward pass only",
)

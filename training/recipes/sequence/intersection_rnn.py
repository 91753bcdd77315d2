"""Running sums of numbers, by an intersection RNN.

Network: numbers embedded in 32 dimensions through a +RNN: a step makes a new output and a new state of what comes in
and of the state, and two gates say how much of each is new and how much is what came in, or the state before. A linear
layer reads the sum. The running sum so far is all that the state has to hold.
Source: Collins, Sohl-Dickstein and Sussillo, Capacity and trainability in recurrent neural networks, ICLR 2017: the
intersection RNN, its outputs through a ReLU, its states through tanh, the biases of the gates at first 1.
Data: none but what is drawn: numbers from 0 to 1, 50 to a sequence, read 10 at a time.
Expected: a root mean squared error of 0.05, where sums go up to 30. Run time: 2 minutes.
Limits: sums beyond about 35 were never seen in training.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.kinds import carried
from training.kinds.carried import Hyper

# B batch, T steps of a window, H hidden units

SCALE = 10.0  # of the sums, so that the network's outputs are about 1


class Intersection(nn.Module):
    """Windows [B, T] and states [B, H] to the running sums [B, T] and the next states."""

    def __init__(self, hyper: Hyper) -> None:
        super().__init__()
        width = hyper.width
        self.embedding, self.out = nn.Linear(1, width), nn.Linear(width, 1)
        self.seen, self.state = nn.Linear(width, 4 * width), nn.Linear(width, 4 * width, bias=False)
        nn.init.constant_(self.seen.bias[2 * width :], 1.0)

    def forward(self, numbers: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        found = []
        for number_B1 in numbers.split(1, 1):  # type: ignore[no-untyped-call]
            seen_BH = self.embedding(number_B1)
            output_BH, new_BH, depth_BH, time_BH = (self.seen(seen_BH) + self.state(state)).chunk(4, 1)
            depth_BH, time_BH = depth_BH.sigmoid(), time_BH.sigmoid()
            output_BH = depth_BH * seen_BH + (1 - depth_BH) * output_BH.relu()
            state = time_BH * state + (1 - time_BH) * new_BH.tanh()
            found.append(self.out(output_BH))
        return SCALE * torch.cat(found, 1), state


def draw(seed: int, count: int, steps: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    numbers_NS = np.random.default_rng(seed).uniform(0, 1, (count, steps)).astype(np.float32)
    return numbers_NS, numbers_NS.cumsum(1, dtype=np.float64).astype(np.float32)


RECIPE = carried.recipe(
    Intersection,
    draw,
    Hyper(width=32, epochs=25),
    ("numbers", "sums"),
    ((0, 1), (0, 50)),
    windows=5,
    slight=0.017,  # two deviations of three seeds
    description="Adds numbers up as they come, window by window; the state goes out and is sent back.",
    source_figure='"output close to truth"',
)

"""The cosine of a wave from its sine, by a recurrent network that carries its state from window to window.

Network: one recurrent layer of 64 units with tanh, and a linear layer for every step. A sine alone does not tell its
cosine, for it has two; the state knows whether it rises, so the first step of a sequence is a guess.
Source: the PyTorch handbook's chapter on recurrent networks: hidden size 64, windows of 10 steps, sine to cosine.
Data: none but what is drawn: waves that begin anywhere, with 20 to 40 steps in each.
Expected: a root mean squared error of 0.05 over 20 windows, all but a little of it in the first step, a guess; root
and sign of two sines, of which one may lie behind a turn, have 0.055. Run time: a minute.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.kinds import carried
from training.kinds.carried import Hyper

# B batch, T steps of a window, H hidden units


class Waves(nn.Module):
    """Windows [B, T] and states [B, H] to what belongs to the windows [B, T] and the next states."""

    def __init__(self, hyper: Hyper) -> None:
        super().__init__()
        self.seen, self.state = nn.Linear(1, hyper.width), nn.Linear(hyper.width, hyper.width, bias=False)
        nn.init.orthogonal_(self.state.weight)
        self.out = nn.Linear(hyper.width, 1)

    def forward(self, sine: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        found = []
        for value_B1 in sine.split(1, 1):  # type: ignore[no-untyped-call]
            state = torch.tanh(self.seen(value_B1) + self.state(state))
            found.append(self.out(state))
        return torch.cat(found, 1), state


def draw(seed: int, count: int, steps: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    generator = np.random.default_rng(seed)
    begins_N1, length_N1 = generator.uniform(0, 2 * np.pi, (count, 1)), generator.uniform(20, 40, (count, 1))
    angle_NS = begins_N1 + 2 * np.pi / length_N1 * np.arange(steps)
    return np.sin(angle_NS).astype(np.float32), np.cos(angle_NS).astype(np.float32)


def on_the_circle(sine_NS: NDArray[np.float32]) -> NDArray[np.float32]:
    """The root of what the square of a sine leaves of 1, above 0 where the wave has risen; 0 at first."""
    risen_NS = np.sign(np.diff(sine_NS, axis=1, prepend=sine_NS[:, :1]))
    size_NS: NDArray[np.float32] = np.sqrt(1 - np.square(sine_NS).clip(max=1))
    return risen_NS * size_NS


RECIPE = carried.recipe(
    Waves,
    draw,
    Hyper(steps=200),
    ("sine", "cosine"),
    ((-1, 1), (-1, 1)),
    windows=20,
    slight=0.004,  # two deviations of three seeds
    rule=("two sines and the circle", on_the_circle),
    description="Gives the cosine of a wave for windows of its sine; the state goes out and is sent back.",
    source_figure="none: a plot",
)

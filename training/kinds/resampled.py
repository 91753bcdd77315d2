"""How far an additive model is to be trusted: models of rows drawn anew, which collapse into one table of steps.

The bootstrap of Efron and Tibshirani (An Introduction to the Bootstrap, 1993): each model is fitted to as many rows,
drawn with replacement, under the same penalty and the same line. All are moved so that their mean is the model itself:
a penalised fit of fewer different rows is not centred at it.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from training.kinds.additive import Additive, Choice, Shapes, fit

# R resamples, N or B rows, K steps, A attributes

LEVEL = 0.95


class Spread(NamedTuple):
    """Of resampled models, less their mean: weights of the steps [K, R] and biases [R]."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logit(self, steps_NK: NDArray[np.float64]) -> NDArray[np.float64]:
        """How far each of them is from the model [N, R]."""
        return np.asarray(steps_NK @ self.weight + self.bias)


def resample(
    steps_NK: NDArray[np.float64], y_N: NDArray[np.int64], shapes: Shapes, penalty: float, count: int, seed: int
) -> Spread:
    generator = np.random.default_rng(seed)
    drawn = (generator.integers(len(y_N), size=len(y_N)) for _ in range(count))
    fits = [fit(steps_NK[rows], y_N[rows], shapes, penalty) for rows in drawn]
    weight_RK, bias_R = np.array([one.weight for one in fits]), np.array([one.bias for one in fits])
    return Spread((weight_RK - weight_RK.mean(0)).T, bias_R - bias_R.mean())


class Resampled(Additive):
    """An additive model with what its resampled ones differ by."""

    spread: Tensor
    offset: Tensor

    def __init__(self, shapes: Shapes, x_NA: Tensor, choice: Choice, spread: Spread, widening: float = 1.0) -> None:
        """The intervals are `widening` times as wide as the resampled models say."""
        super().__init__(shapes, x_NA, choice)
        scale = widening * choice.slope
        self.register_buffer("spread", torch.from_numpy(scale * spread.weight).float())
        self.register_buffer("offset", torch.from_numpy(scale * spread.bias).float())


class Interval(nn.Module):
    """Rows [B, A] to the interval of their probability [B, 2]: all resampled models but the outer ones lie in it."""

    def __init__(self, model: Resampled) -> None:
        super().__init__()
        self.model, self.place = model, outer(len(model.offset)) + 1

    def forward(self, row: Tensor) -> Tensor:
        logit_B = torch.logit(self.model(row)[0], 1e-6)
        moved_BR = self.model.steps(row).flatten(1) @ self.model.spread + self.model.offset
        low_B = -torch.topk(-moved_BR, self.place).values[:, -1].clamp(min=0)
        high_B = torch.topk(moved_BR, self.place).values[:, -1].clamp(min=0)
        return torch.sigmoid(logit_B[:, None] + torch.stack([low_B, high_B], dim=1))


def ends(moved_NR: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From and to of the interval [N], relative to the model: what `Interval` has in the graph."""
    ordered, place = np.sort(moved_NR, axis=1), outer(moved_NR.shape[1])
    return np.minimum(ordered[:, place], 0), np.maximum(ordered[:, -1 - place], 0)


def outer(count: int) -> int:
    """How many of `count` models lie beyond each end of the interval."""
    return int(count * (1 - LEVEL) / 2)

"""Additive models of a yes-or-no event: each attribute adds to the log-odds by a step function of its own.

Steps are penalised: those of an ordered attribute from each level to the next, so that its shape is smooth, and those
of another each by itself. A shape that must rise or fall has steps of one sign. With log-odds that are a sum, what an
attribute adds is all that it does.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.model_selection import StratifiedKFold
from torch import Tensor, nn

from service.bundle import Attribute

# B or N rows, A attributes, L levels, K steps = A x L

FAR = 1e30  # no number is as large: where an attribute has fewer levels than another
PENALTIES = 4.0, 8.0, 16.0, 32.0


class Shapes(NamedTuple):
    """Where levels begin [A, L], which attributes are ordered [A], and the sign of their steps [A], 0 for either."""

    start: NDArray[np.float64]
    ordered: NDArray[np.bool_]
    sign: NDArray[np.float64]

    @classmethod
    def of(cls, attributes: Sequence[Attribute], ordered: set[str], signs: dict[str, int]) -> "Shapes":
        levels = [one.levels or tuple(range(len(one.values))) for one in attributes]
        most = max(map(len, levels))
        start = np.array([[*one, *[FAR] * (most - len(one))] for one in levels], np.float64)
        names = [one.name for one in attributes]
        return cls(
            start,
            np.array([bool(one.levels) or one.name in ordered for one in attributes]),
            np.array([float(signs.get(name, 0)) for name in names]),
        )

    def steps(self, x_NA: NDArray[np.floating]) -> NDArray[np.float64]:
        """[N, K]: 1 for each step that a row has taken."""
        with torch.no_grad():
            steps_NAL: Tensor = Steps(self)(torch.from_numpy(x_NA).double())
        return np.asarray(steps_NAL.numpy().reshape(len(x_NA), -1), np.float64)


class Steps(nn.Module):
    """Rows [B, A] to the steps that they have taken [B, A, L]: of an ordered attribute all up to its level."""

    start: Tensor
    single: Tensor

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        self.register_buffer("start", torch.from_numpy(shapes.start))
        self.register_buffer("single", torch.from_numpy(~shapes.ordered).double()[:, None])

    def forward(self, row: Tensor) -> Tensor:
        reached_BAL = (row[:, :, None] >= self.start.to(row.dtype)).to(row.dtype)
        beyond_BAL = torch.cat([reached_BAL[:, :, 1:], torch.zeros_like(reached_BAL[:, :, :1])], dim=2)
        return reached_BAL - self.single.to(row.dtype) * beyond_BAL


class Fit(NamedTuple):
    """Weights of the steps [K] and the log-odds of a row that has taken none."""

    weight: NDArray[np.float64]
    bias: float

    def logit(self, steps_NK: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(steps_NK @ self.weight + self.bias)


def fit(steps_NK: NDArray[np.float64], y_N: NDArray[np.int64], shapes: Shapes, penalty: float) -> Fit:
    """The steps that are likeliest less half of `penalty` times their sum of squares, each of its attribute's sign."""
    used = np.ptp(steps_NK, axis=0) > 0
    mean = steps_NK[:, used].mean(0)
    x_NU = steps_NK[:, used] - mean
    sign = np.repeat(shapes.sign, shapes.start.shape[1])[used]
    bounds = [(0 if one > 0 else None, 0 if one < 0 else None) for one in sign]

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = x_NU @ w[1:] + w[0]
        wrong = expit(z) - y_N
        value = (np.logaddexp(0, z) - y_N * z).sum() + penalty / 2 * (w[1:] @ w[1:])
        return value, np.concatenate([[wrong.sum()], wrong @ x_NU + penalty * w[1:]])

    best = minimize(loss, np.zeros(1 + len(mean)), jac=True, method="L-BFGS-B", bounds=[(None, None), *bounds]).x
    weight = np.zeros(steps_NK.shape[1])
    weight[used] = best[1:]
    return Fit(weight, float(best[0] - mean @ best[1:]))


class Choice(NamedTuple):
    """A penalty, and the line that its log-odds need to mean what they say."""

    penalty: float
    slope: float
    offset: float


def choose(steps_NK: NDArray[np.float64], y_N: NDArray[np.int64], shapes: Shapes, seed: int) -> Choice:
    """What predicts best in five folds of these rows, by the log-likelihood after calibration (Platt, 1999)."""
    found = []
    for penalty in PENALTIES:
        z_N = np.empty(len(y_N))
        for known, held in StratifiedKFold(5, shuffle=True, random_state=seed).split(steps_NK, y_N):
            z_N[held] = fit(steps_NK[known], y_N[known], shapes, penalty).logit(steps_NK[held])
        line = minimize(_misfit, [1.0, 0.0], args=(z_N, y_N), method="L-BFGS-B")
        found.append((float(line.fun), Choice(penalty, float(line.x[0]), float(line.x[1]))))
    return min(found)[1]


def _misfit(line: NDArray[np.float64], z_N: NDArray[np.float64], y_N: NDArray[np.int64]) -> float:
    z = line[0] * z_N + line[1]
    return float((np.logaddexp(0, z) - y_N * z).sum())


class Additive(nn.Module):
    """Rows [B, A] to the probability [B] and what each attribute adds to its log-odds, relative to the mean [B, A]."""

    mean: Tensor
    upper: Tensor
    lower: Tensor
    line: Tensor

    def __init__(self, shapes: Shapes, x_NA: Tensor, choice: Choice) -> None:
        """`x_NA` are the rows that are fitted, whose mean is the reference."""
        super().__init__()
        self.steps = Steps(shapes)
        self.register_buffer("mean", self.steps(x_NA.double()).mean(0).float())
        sign = torch.from_numpy(shapes.sign).float()[:, None]
        self.register_buffer("lower", torch.where(sign > 0, 0.0, -torch.inf))
        self.register_buffer("upper", torch.where(sign < 0, 0.0, torch.inf))
        self.register_buffer("line", torch.tensor([choice.slope, choice.offset]))
        self.weight = nn.Parameter(torch.zeros_like(self.mean))
        self.bias = nn.Parameter(torch.zeros(()))

    def added(self, steps_BAL: Tensor) -> Tensor:
        """What taken steps add to the log-odds before calibration."""
        return ((steps_BAL - self.mean) * self.weight).sum(2)

    def clamp(self) -> None:
        """Take steps of the wrong sign back."""
        with torch.no_grad():
            self.weight.copy_(torch.minimum(torch.maximum(self.weight, self.lower), self.upper))

    def forward(self, row: Tensor) -> tuple[Tensor, Tensor]:
        contributions_BA = self.line[0] * self.added(self.steps(row))
        logit_B = contributions_BA.sum(1) + self.line[0] * self.bias + self.line[1]
        return torch.sigmoid(logit_B), contributions_BA


class Alternatives(nn.Module):
    """What each attribute of a row would add at each of its levels: [B, A] -> [B, A, L]; the same for every row."""

    table: Tensor

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        assert isinstance(model, Additive)
        level_LA = torch.where(model.steps.start < FAR / 2, model.steps.start, 0).T.float()
        with torch.no_grad():
            table_LA = torch.stack([model(one[None])[1][0] for one in level_LA])
        self.register_buffer("table", table_LA.T.contiguous())

    def forward(self, row: Tensor) -> Tensor:
        return self.table[None] + 0 * row[:, :, None]

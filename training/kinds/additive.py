"""Additive models of a yes-or-no event: each attribute adds to the log-odds by a step function of its own.

It is the mean of two members. In the first steps are penalised: those of an ordered attribute from each level to the
next, so that its shape is smooth, and those of another each by itself. In the second an attribute has a straight line
over its levels, or a few single levels, which varies less from sample to sample. Lines are steps, too: the two collapse
into one table. A shape that must rise or fall has steps of one sign. With log-odds that are a sum, what an attribute
adds is all that it does.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.model_selection import StratifiedKFold
from torch import Tensor, nn

from service.bundle import Attribute

# B or N rows, A attributes, L levels, K steps = A x L, J lines

FAR = 1e30  # no number is as large: where an attribute has fewer levels than another
PENALTIES = 4.0, 8.0, 16.0, 32.0
LINE_PENALTY = 50.0  # of a line whose levels are scaled to a deviation of 1


class Shapes(NamedTuple):
    """Where levels begin [A, L], which attributes are ordered [A], and the sign of their steps [A], 0 for either.

    `lines` [K, J] says what of each line a step is.
    """

    start: NDArray[np.float64]
    ordered: NDArray[np.bool_]
    sign: NDArray[np.float64]
    lines: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        attributes: Sequence[Attribute],
        ordered: set[str],
        signs: dict[str, int],
        single: Mapping[str, tuple[str, ...]],
    ) -> "Shapes":
        """`single` attributes have these codes in place of a line."""
        levels = [one.levels or tuple(range(len(one.values))) for one in attributes]
        most = max(map(len, levels))
        start = np.array([[*one, *[FAR] * (most - len(one))] for one in levels], np.float64)
        is_ordered = np.array([bool(one.levels) or one.name in ordered for one in attributes])
        lines = []
        for place, one in enumerate(attributes):
            whole = np.zeros((len(attributes), most))
            codes = [one.codes.index(code) for code in single.get(one.name, ())]
            straight = np.minimum(np.arange(most), 1 if is_ordered[place] else most)
            for shape in np.eye(most)[codes] if codes else [straight]:
                line = whole.copy()
                line[place] = shape
                lines.append(line.ravel())
        sign = np.array([float(signs.get(one.name, 0)) for one in attributes])
        return cls(start, is_ordered, sign, np.column_stack(lines))

    @property
    def step_sign(self) -> NDArray[np.float64]:
        """[K]"""
        return np.repeat(self.sign, self.start.shape[1])

    @property
    def line_sign(self) -> NDArray[np.float64]:
        """[J]"""
        return np.asarray(np.sign(self.step_sign @ self.lines))

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
    """The mean of the two members."""
    jagged = likeliest(steps_NK, y_N, penalty, shapes.step_sign)
    lines_NJ = steps_NK @ shapes.lines
    scale_J = lines_scale(lines_NJ)
    straight = likeliest(lines_NJ / scale_J, y_N, LINE_PENALTY, shapes.line_sign)
    weight = (jagged.weight + shapes.lines @ (straight.weight / scale_J)) / 2
    return Fit(weight, (jagged.bias + straight.bias) / 2)


def lines_scale(lines_NJ: NDArray[np.float64]) -> NDArray[np.float64]:
    """The deviation of each line; 1 where it has none."""
    deviation = lines_NJ.std(0)
    return np.where(deviation > 0, deviation, 1)


def likeliest(x_NK: NDArray[np.float64], y_N: NDArray[np.int64], penalty: float, sign_K: NDArray[np.float64]) -> Fit:
    """Weights that are likeliest less half of `penalty` times their sum of squares, each of its sign."""
    used = np.ptp(x_NK, axis=0) > 0
    mean = x_NK[:, used].mean(0)
    x_NU = x_NK[:, used] - mean
    bounds = [(0 if one > 0 else None, 0 if one < 0 else None) for one in sign_K[used]]

    def loss(w: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = x_NU @ w[1:] + w[0]
        wrong = expit(z) - y_N
        value = (np.logaddexp(0, z) - y_N * z).sum() + penalty / 2 * (w[1:] @ w[1:])
        return value, np.concatenate([[wrong.sum()], wrong @ x_NU + penalty * w[1:]])

    best = minimize(loss, np.zeros(1 + len(mean)), jac=True, method="L-BFGS-B", bounds=[(None, None), *bounds]).x
    weight = np.zeros(x_NK.shape[1])
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
    lines: Tensor
    upper: Tensor
    lower: Tensor
    line_upper: Tensor
    line_lower: Tensor
    line: Tensor

    def __init__(self, shapes: Shapes, x_NA: Tensor, choice: Choice) -> None:
        """`x_NA` are the rows that are fitted, whose mean is the reference."""
        super().__init__()
        self.steps = Steps(shapes)
        steps_NK = self.steps(x_NA.double()).flatten(1)
        self.register_buffer("mean", steps_NK.mean(0).float())
        scale_J = torch.from_numpy(lines_scale(steps_NK.numpy() @ shapes.lines))
        self.register_buffer("lines", (torch.from_numpy(shapes.lines) / scale_J).float())
        for name, signs in (("", shapes.step_sign), ("line_", shapes.line_sign)):
            sign = torch.from_numpy(signs).float()
            self.register_buffer(f"{name}lower", torch.where(sign > 0, 0.0, -torch.inf))
            self.register_buffer(f"{name}upper", torch.where(sign < 0, 0.0, torch.inf))
        self.register_buffer("line", torch.tensor([choice.slope, choice.offset]))
        self.jagged = nn.Parameter(torch.zeros_like(self.mean))
        self.straight = nn.Parameter(torch.zeros(self.lines.shape[1]))
        self.bias = nn.Parameter(torch.zeros(2))

    def members(self, steps_BAL: Tensor) -> Tensor:
        """The log-odds of both before calibration [2, B]."""
        weights_2K = torch.stack([self.jagged, self.lines @ self.straight])
        return weights_2K @ (steps_BAL.flatten(1) - self.mean).T + self.bias[:, None]

    def penalty(self, of_steps: float) -> Tensor:
        return of_steps / 2 * self.jagged.square().sum() + LINE_PENALTY / 2 * self.straight.square().sum()

    def clamp(self) -> None:
        """Take steps and lines of the wrong sign back."""
        with torch.no_grad():
            self.jagged.copy_(torch.minimum(torch.maximum(self.jagged, self.lower), self.upper))
            self.straight.copy_(torch.minimum(torch.maximum(self.straight, self.line_lower), self.line_upper))

    def forward(self, row: Tensor) -> tuple[Tensor, Tensor]:
        weight_K = (self.jagged + self.lines @ self.straight) / 2
        steps_BAL = self.steps(row)
        shares_BK = (steps_BAL.flatten(1) - self.mean) * weight_K
        contributions_BA = self.line[0] * shares_BK.reshape(steps_BAL.shape).sum(2)
        logit_B = contributions_BA.sum(1) + self.line[0] * self.bias.sum() / 2 + self.line[1]
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

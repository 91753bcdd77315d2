"""Draws of a normal distribution cut to what was observed, and of Johnson's, fitted by four quantiles.

Slifker and Shapiro, "The Johnson System: Selection and Parameter Estimation", Technometrics 22:239, 1980. The inverse
of the normal distribution: P. J. Acklam, 2003, right to 1.15e-9.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

# [..., Y] observations along the last axis, [..., D] draws

Z = 0.524  # the quantiles of a standard normal at -3 Z, -Z, Z and 3 Z are those that are fitted
NEAR = 1e-3  # how near to the log-normal, which lies between the two families, either may come
LEAST = 0.02  # of the middle distance: the least distance of outer quantiles that few observations leave
_A = (
    *(-3.969683028665376e1, 2.209460984245205e2, -2.759285104469687e2),
    *(1.383577518672690e2, -3.066479806614716e1, 2.506628277459239),
)
_B = (
    *(-5.447609879822406e1, 1.615858368580409e2, -1.556989798598866e2),
    *(6.680131188771972e1, -1.328068155288572e1, 1.0),
)
_C = (
    *(-7.784894002430293e-3, -3.223964580411365e-1, -2.400758277161838),
    *(-2.549732539343734, 4.374664141464968, 2.938163982698783),
)
_D = 7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1.0
_TAIL = 0.02425


def normal(z: Tensor) -> Tensor:
    """The standard normal distribution at z."""
    return (1 + torch.erf(z * 0.5**0.5)) / 2


def inverse_normal(p: Tensor) -> Tensor:
    """Where the standard normal distribution is p."""
    q = p - 0.5
    square = q * q
    middle = q * _polynomial(_A, square) / _polynomial(_B, square)
    tail = torch.sqrt(-2 * torch.log(torch.minimum(p, 1 - p).clamp(1e-12, _TAIL)))
    outer = _polynomial(_C, tail) / _polynomial(_D, tail)
    return torch.where(q.abs() <= 0.5 - _TAIL, middle, torch.where(q < 0, outer, -outer))


def _polynomial(coefficients: Sequence[float], x: Tensor) -> Tensor:
    """The highest power first."""
    value = torch.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


def quantile(ordered: Tensor, share: Tensor) -> Tensor:
    """Median-unbiased quantiles [..., Q] of values in order [..., Y] (Hyndman and Fan, 1996, number 8)."""
    count = ordered.shape[-1]
    place_Q = (share * (count + 1 / 3) - 2 / 3).clamp(0, count - 1)
    low_Q = place_Q.floor().to(torch.int64)
    high_Q = (low_Q + 1).clamp(max=count - 1)
    low, high = ordered.index_select(-1, low_Q), ordered.index_select(-1, high_Q)
    return low + (place_Q - low_Q) * (high - low)


def truncated_normal(observed: Tensor, uniform: Tensor) -> Tensor:
    """Draws of the normal distribution with their mean and deviation, between the least and the largest of them."""
    mean = observed.mean(-1, keepdim=True)
    count = observed.shape[-1]
    deviation = torch.sqrt(((observed - mean) ** 2).sum(-1, keepdim=True) / (count - 1)).clamp(min=1e-6)
    low, high = observed.amin(-1, keepdim=True), observed.amax(-1, keepdim=True)
    below, above = normal((low - mean) / deviation), normal((high - mean) / deviation)
    drawn = mean + deviation * inverse_normal(below + uniform * (above - below))
    return torch.minimum(torch.maximum(drawn, low), high)


class Fit(NamedTuple):
    """Johnson's parameters of both families, and which of the two it is."""

    eta: Tensor
    gamma: Tensor
    scale: Tensor
    place: Tensor
    unbounded: Tensor


def fit(observed: Tensor) -> Fit:
    """Johnson's distribution through four quantiles of the observations [..., Y]; parameters [..., 1]."""
    ordered = observed.sort(-1).values
    share = normal(torch.tensor([-3 * Z, -Z, Z, 3 * Z], device=observed.device))
    outer_low, low, high, outer_high = torch.split(quantile(ordered, share), 1, dim=-1)
    p = (high - low).clamp(min=1e-6)
    m, n = ((one / p).clamp(min=LEAST) for one in (outer_high - high, low - outer_low))
    middle, ratio = (high + low) / 2, m * n
    unbounded, bounded = _unbounded(m, n, p, middle), _bounded(1 / m, 1 / n, p, middle)
    which = ratio > 1
    eta, gamma, scale, place = (torch.where(which, a, b) for a, b in zip(unbounded, bounded, strict=True))
    return Fit(eta, gamma, scale, place, which)


def _unbounded(m: Tensor, n: Tensor, p: Tensor, middle: Tensor) -> tuple[Tensor, ...]:
    """SU, where m n > 1; `m` and `n` are in units of p."""
    beyond = (m * n - 1).clamp(min=NEAR)
    total = (m + n).clamp(min=2 + NEAR)
    eta = 2 * Z / torch.acosh(total / 2)
    gamma = eta * torch.asinh((n - m) / (2 * beyond.sqrt()))
    scale = 2 * p * beyond.sqrt() / ((total - 2) * (total + 2).sqrt())
    return eta, gamma, scale, middle + p * (n - m) / (2 * (total - 2))


def _bounded(m: Tensor, n: Tensor, p: Tensor, middle: Tensor) -> tuple[Tensor, ...]:
    """SB, where m n > 1 of what is given here: p in units of the outer distances."""
    beyond = (m * n - 1).clamp(min=NEAR)
    product = ((1 + m) * (1 + n)).clamp(min=4 + NEAR)
    eta = Z / torch.acosh(product.sqrt() / 2)
    gamma = eta * torch.asinh((n - m) * (product - 4).sqrt() / (2 * beyond))
    scale = p * ((product - 2) ** 2 - 4).sqrt() / beyond
    return eta, gamma, scale, middle - scale / 2 + p * (n - m) / (2 * beyond)


def johnson(observed: Tensor, uniform: Tensor) -> Tensor:
    """Draws of Johnson's distribution, no farther beyond the observations than these lie apart."""
    found = fit(observed)
    z = (inverse_normal(uniform) - found.gamma) / found.eta
    shape = torch.where(found.unbounded, torch.sinh(z.clamp(-20, 20)), torch.sigmoid(z))
    low, high = observed.amin(-1, keepdim=True), observed.amax(-1, keepdim=True)
    drawn = found.place + found.scale * shape
    return torch.minimum(torch.maximum(drawn, 2 * low - high), 2 * high - low)

"""Twelve optimisers from the same weights.

A network with 32 hidden units tells the digits 0 and 1 of MNIST apart; all begin with the same weights and see the
same batches of 64, in the same order, but gradient descent, which has the same 1,024 in each step. The learning rate
of each is the one of four whose cost on 2,000 digits that are set aside is least after a fifth of the steps; the
table is of 2,000 others. "Noise training" adds noise to the pictures, "gradient noise" to the gradients, by a
variance that decays (Neelakantan et al., 2015), and "noisy Adam" to those that Adam takes.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn, optim
from torch.nn.functional import binary_cross_entropy_with_logits

from training.data import mnist
from training.report.pictures import png
from training.studies import Findings, Table

STEPS, BATCH, SET_ASIDE = 300, 64, 2000
RATES = 0.001, 0.01, 0.1, 1.0

# B pictures of a batch


class Method(NamedTuple):
    make: Callable[..., optim.Optimizer]
    pictures: float = 0.0  # deviation of the noise on them
    gradients: float = 0.0  # variance of the noise on these in the first step
    whole: bool = False  # the same 1,024 pictures in each step


METHODS = {
    "gradient descent": Method(optim.SGD, whole=True),
    "SGD": Method(optim.SGD),
    "momentum": Method(partial(optim.SGD, momentum=0.9)),
    "Nesterov": Method(partial(optim.SGD, momentum=0.9, nesterov=True)),
    "Adagrad": Method(optim.Adagrad),
    "Adadelta": Method(partial(optim.Adadelta, rho=0.95)),
    "RMSProp": Method(optim.RMSprop),
    "Adam": Method(optim.Adam),
    "Nadam": Method(optim.NAdam),
    "noise training": Method(optim.SGD, pictures=0.3),
    "gradient noise": Method(optim.SGD, gradients=0.01),
    "noisy Adam": Method(optim.Adam, gradients=0.01),
}


def study() -> Findings:
    x, y = _digits(mnist().train)
    shuffled = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    held, chosen, known = shuffled[:SET_ASIDE], shuffled[SET_ASIDE : 2 * SET_ASIDE], shuffled[2 * SET_ASIDE :]
    curves, rows = {}, []
    for name, method in METHODS.items():
        tried = {rate: _trained(method, rate, x[known], y[known], STEPS // 5)[0] for rate in RATES}
        best = min(RATES, key=lambda rate: _cost(tried[rate], x[chosen], y[chosen]))
        network, curve = _trained(method, best, x[known], y[known], STEPS)
        right = ((network(x[held])[:, 0] > 0) == (y[held] > 0.5)).float().mean().item()
        curves[name] = curve
        rows.append(
            [
                name,
                f"{best:g}",
                float(np.mean(curve[STEPS // 10 - 10 : STEPS // 10])),
                _cost(network, x[held], y[held]),
                f"{right:.2%}",
            ]
        )
    head = (
        "optimiser",
        "learning rate",
        f"training cost after {STEPS // 10} steps",
        f"held-out cost after {STEPS}",
        "right",
    )
    return Findings({"Costs": Table(head, rows)}, {"training-cost": _draw(curves)})


def _digits(images: object) -> tuple[Tensor, Tensor]:
    pixels, labels = images.pixels, images.labels  # type: ignore[attr-defined]
    few = np.flatnonzero(labels < 2)
    return torch.from_numpy(pixels[few].reshape(len(few), -1)).float() / 255, torch.from_numpy(labels[few]).float()


def _trained(method: Method, rate: float, x: Tensor, y: Tensor, steps: int) -> tuple[nn.Module, list[float]]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(784, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer, generator = method.make(network.parameters(), lr=rate), torch.Generator().manual_seed(1)
    curve = []
    for step in range(steps):
        rows = torch.arange(1024) if method.whole else torch.randint(len(x), (BATCH,), generator=generator)
        x_B = x[rows] + method.pictures * torch.randn(len(rows), x.shape[1]) if method.pictures else x[rows]
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(network(x_B)[:, 0], y[rows])
        loss.backward()  # type: ignore[no-untyped-call]
        if method.gradients:
            for parameter in network.parameters():
                assert parameter.grad is not None
                parameter.grad += (method.gradients / (1 + step) ** 0.55) ** 0.5 * torch.randn(parameter.shape)
        optimizer.step()
        curve.append(loss.item())
    return network, curve


def _cost(network: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return float(binary_cross_entropy_with_logits(network(x)[:, 0], y))


def _draw(curves: dict[str, list[float]]) -> bytes:
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for place, (name, curve) in enumerate(curves.items()):
        smooth = np.convolve(curve, np.ones(10) / 10, "valid")
        axes.plot(smooth, label=name, linestyle=("-", "--", ":")[place // 4], color=f"C{place % 4}")
    axes.set(yscale="log", xlabel="step", ylabel="training cost, mean of 10 steps")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=7, ncols=2)
    return png(figure)

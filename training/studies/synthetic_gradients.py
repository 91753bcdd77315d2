"""Synthetic gradients against back-propagation, each with and without noise on the gradients.

A network 64-64-64-10 reads 8x8 digits. With decoupled neural interfaces (Jaderberg et al., 2017) a layer does not wait
for those above it: a linear model of its output and the label guesses the gradient, the layer takes the guess, and the
model learns from the gradient that comes down later, itself partly a guess. Same weights, same batches, Adam, five
seeds. The source found decoupled training without noise to have the lowest cost; here it has not reached that of
back-propagation after 400 steps, though on digits that it does not know it is no worse.
"""

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from training.data import small_digits
from training.networks.decoupled import decoupled_cost, silent
from training.report.pictures import BLUE, ORANGE, png
from training.studies import Findings, Table

STEPS, BATCH, SEEDS, RATE, NOISE = 400, 64, 5, 0.005, 0.01
KINDS = {
    "back-propagation": (False, False),
    "back-propagation, noise": (False, True),
    "synthetic gradients": (True, False),
    "synthetic gradients, noise": (True, True),
}

# B digits, H hidden units


def study() -> Findings:
    split = small_digits()
    train, test = (
        (torch.from_numpy(part.pixels.reshape(len(part), -1)).float() / 16, torch.from_numpy(part.labels))
        for part in (split.train, split.test)
    )
    rows, curves = [], {}
    for name, (decoupled, noisy) in KINDS.items():
        runs = [_trained(train, test, decoupled, noisy, seed) for seed in range(SEEDS)]
        curves[name] = np.mean([curve for curve, _, _ in runs], axis=0)
        costs, shares = [cost for _, cost, _ in runs], [share for _, _, share in runs]
        rows.append(
            [
                name,
                float(curves[name][-50:].mean()),
                float(np.mean(costs)),
                float(np.std(costs, ddof=1)),
                f"{np.mean(shares):.1%}",
            ]
        )
    head = ("training", "training cost at the end", "test cost", "deviation over seeds", "test digits right")
    return Findings({"Costs": Table(head, rows)}, {"training-cost": _draw(curves)})


class Layers(nn.Module):
    """Hidden layers, an output layer, and a guess of the gradient for each hidden one."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Sequential(nn.Linear(64, 64), nn.ReLU()) for _ in range(2))
        self.output = nn.Linear(64, 10)
        self.guesses = nn.ModuleList(silent(nn.Linear(64 + 10, 64)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.hidden:
            x = layer(x)
        logits: Tensor = self.output(x)
        return logits


def _decoupled(network: Layers, x: Tensor, y: Tensor) -> Tensor:
    """The cost, whose gradient is a guess for the hidden layers."""
    label = one_hot(y, 10).float()
    guesses = [lambda out, guess=guess: guess(torch.cat([out, label], dim=1)) for guess in network.guesses]
    return decoupled_cost([*network.hidden, network.output], guesses, lambda out: cross_entropy(out, y), x)


def _trained(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], decoupled: bool, noisy: bool, seed: int
) -> tuple[list[float], float, float]:
    torch.manual_seed(seed)
    network = Layers()
    optimizer, curve = torch.optim.Adam(network.parameters(), lr=RATE), []
    generator = torch.Generator().manual_seed(seed)
    for step in range(STEPS):
        rows = torch.randint(len(train[0]), (BATCH,), generator=generator)
        optimizer.zero_grad()
        x, y = train[0][rows], train[1][rows]
        cost = _decoupled(network, x, y) if decoupled else cross_entropy(network(x), y)
        cost.backward()  # type: ignore[no-untyped-call]
        if noisy:
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter.grad += NOISE / (1 + step) ** 0.275 * torch.randn(parameter.shape)
        optimizer.step()
        curve.append(cost.item())
    with torch.no_grad():
        logits = network(test[0])
        return curve, float(cross_entropy(logits, test[1])), float((logits.argmax(1) == test[1]).float().mean())


def _draw(curves: dict[str, np.ndarray]) -> bytes:
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for name, curve in curves.items():
        colour = ORANGE if "synthetic" in name else BLUE
        axes.plot(
            np.convolve(curve, np.ones(20) / 20, "valid"),
            color=colour,
            label=name,
            linestyle="--" if "noise" in name else "-",
        )
    axes.set(yscale="log", xlabel="step", ylabel="training cost")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return png(figure)

"""Networks that read a sequence window by window: the state comes in, and goes out to be sent with the next window.

The service keeps nothing between requests, so a client may go on at any worker, and branch off or go back as it likes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from service.bundle import Arrays, TensorPrediction
from service.bundle import Tensor as Declared
from training.measures import outputs
from training.measures.evaluation import Evaluation, Predict, bootstrapped
from training.measures.paired import Scores
from training.recipe import Recipe
from training.report.pictures import BLUE, ORANGE, png
from training.run import Run
from training.schedule import one_cycle

# B batch, T steps of a window, H hidden units, N sequences, S steps of a sequence

Draw = Callable[[int, int, int], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""Of a seed, a count of sequences and of their steps: what goes in [N, S], and what should come out [N, S]."""
Rule = tuple[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]]
"""The strongest simple alternative to a network: what it is called, and what it makes of what goes in [N, S]."""


@dataclass(frozen=True, kw_only=True)
class Hyper:
    """A batch of new sequences for every step of the optimiser, which goes through all their windows."""

    seed: int = 1
    epochs: int = 15
    steps: int = 40
    batch: int = 64
    learning_rate: float = 5e-3
    window: int = 10
    windows: int = 5
    width: int = 64


def fit(run: Run[Any], network: nn.Module, draw: Draw) -> nn.Module:
    """Least squares over all windows of a sequence, the state carried from one to the next."""
    hyper: Hyper = run.hyper
    network = network.to(run.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=hyper.learning_rate)
    scheduler = one_cycle(optimizer, epochs=hyper.epochs, rows=hyper.steps, batch=1)
    for epoch in run.epochs(network=network, optimizer=optimizer, scheduler=scheduler):
        losses = []
        rows = torch.arange(epoch * hyper.steps, (epoch + 1) * hyper.steps)
        for (seed,) in run.batches(rows, size=1):
            drawn = draw(int(seed), hyper.batch, hyper.window * hyper.windows)
            given_NS, wanted_NS = (torch.from_numpy(array).to(run.device) for array in drawn)
            loss = (through(network, given_NS, hyper) - wanted_NS).square().mean()
            run.step(loss, optimizer)
            scheduler.step()
            losses.append(loss.detach())
        run.log(train_squared_error=float(torch.stack(losses).mean()))
    return network


def through(network: nn.Module, given_NS: Tensor, hyper: Hyper) -> Tensor:
    """What comes out of all windows [N, S]."""
    state_NH, found = given_NS.new_zeros(len(given_NS), hyper.width), []
    for window_NT in given_NS.split(hyper.window, 1):  # type: ignore[no-untyped-call]
        wanted_NT, state_NH = network(window_NT, state_NH)
        found.append(wanted_NT)
    return torch.cat(found, 1)


def measured(draw: Draw, hyper: Hyper, windows: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sequences of so many windows of another seed [N, S]: what goes in, and what should come out."""
    return draw(10**9, 200, windows * hyper.window)


def scores(
    predict: Predict, draw: Draw, hyper: Hyper, names: tuple[str, str], windows: int, slight: float = 0.0
) -> Scores:
    given_NS, wanted_NS = measured(draw, hyper, windows)
    squares_N = np.square(followed(predict, given_NS, hyper, names) - wanted_NS).mean(1)
    return Scores(statistic=root_mean, given=(squares_N,), error=True, items="sequences", slight=slight)


def root_mean(squares_N: NDArray[Any]) -> float:
    return float(np.sqrt(squares_N.mean()))


def evaluate(
    predict: Predict, draw: Draw, hyper: Hyper, names: tuple[str, str], windows: int, rule: Rule | None = None
) -> Evaluation:
    """The error over sequences of so many windows, by a client that sends the state back; and that of the rule."""
    given_NS, wanted_NS = measured(draw, hyper, windows)
    carried_NS, forgetting_NS = (followed(predict, given_NS, hyper, names, carry) for carry in (True, False))
    headline = "root mean squared error"

    def error(name: str, found_NS: NDArray[Any], why: str, first: int = 0) -> Any:
        squares_N = np.square(found_NS - wanted_NS)[:, first:].mean(1)
        return bootstrapped(name, root_mean, squares_N, split="drawn anew", description=why)

    return Evaluation(
        metrics=(
            error(headline, carried_NS, f"{windows} windows of {hyper.window} steps, the state sent back"),
            error(f"{headline} in the last window", carried_NS, "of the same sequences", -hyper.window),
            *([error(f"{headline} of {rule[0]}", rule[1](given_NS), "without a network")] if rule else []),
            error(f"{headline} of windows without the state", forgetting_NS, "where each begins with zeros"),
            error(f"{headline} of the mean", np.full_like(wanted_NS, wanted_NS.mean()), "of all that should come out"),
        ),
        pictures={"a-sequence": _drawn(given_NS[0], wanted_NS[0], carried_NS[0], names)},
    )


def followed(
    predict: Predict, given_NS: NDArray[np.float32], hyper: Hyper, names: tuple[str, str], carry: bool = True
) -> NDArray[np.float32]:
    """What comes out of all windows [N, S], one request after the other."""
    state_NH, found = np.zeros((len(given_NS), hyper.width), np.float32), []
    for start in range(0, given_NS.shape[1], hyper.window):
        answer = predict({names[0]: given_NS[:, start : start + hyper.window], "state": state_NH})
        found.append(answer[names[1]])
        if carry:
            state_NH = answer["next_state"]
    return np.concatenate(found, 1)


def _drawn(given_S: NDArray[Any], wanted_S: NDArray[Any], found_S: NDArray[Any], names: tuple[str, str]) -> bytes:
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    axes = figure.subplots()
    axes.plot(given_S, color="grey", linewidth=0.8, label=names[0])
    axes.plot(wanted_S, color=ORANGE, label=f"true {names[1]}")
    axes.plot(found_S, ".", color=BLUE, markersize=3, label=names[1])
    axes.set(xlabel="step")
    axes.legend(frameon=False)
    return png(figure)


def recipe(
    network: Callable[[Hyper], nn.Module],
    draw: Draw,
    hyper: Hyper,
    names: tuple[str, str],
    ranges: tuple[tuple[float, float], tuple[float, float]],
    windows: int,
    slight: float,
    rule: Rule | None = None,
    **fields: Any,
) -> Recipe[Any]:
    """The recipe of such a network; `names` are those of what goes in and comes out, `fields` Recipe's.

    `slight` is the difference in the error that another seed may make.
    """
    given_NS, _ = draw(0, 4, hyper.window)
    (given, wanted), window, state = names, ("batch", hyper.window), ("batch", hyper.width)

    def examples() -> Arrays:
        states_NH = np.random.default_rng(0).uniform(-0.5, 0.5, (len(given_NS), hyper.width)).astype(np.float32)
        states_NH[:2] = 0
        return {given: given_NS, "state": states_NH}

    def training_outputs(predict: Predict) -> Arrays:
        """Window by window."""
        sequences_NS, _ = draw(0, outputs.ROWS // windows, windows * hyper.window)
        return {wanted: followed(predict, sequences_NS, hyper, names).reshape(-1, hyper.window)}

    usual: dict[str, Any] = {
        "task": TensorPrediction(),
        "sources": (),
        "inputs": (
            Declared(name=given, dtype="float32", shape=window, range=ranges[0], description="a window of a sequence"),
            Declared(name="state", dtype="float32", shape=state, description="0 first, and then the last next_state"),
        ),
        "outputs": (
            Declared(name=wanted, dtype="float32", shape=window),
            Declared(name="next_state", dtype="float32", shape=state, description="to send with the next window"),
        ),
        "train": lambda run: fit(run, network(run.hyper), draw),
        "evaluate": lambda predict, hyper: evaluate(predict, draw, hyper, names, windows, rule),
        "scores": lambda predict, hyper: scores(predict, draw, hyper, names, windows, slight),
        "examples": examples,
        "training_outputs": training_outputs,
        "trial": {"steps": 1, "batch": 4, "windows": 2},
    }
    return Recipe(hyper=hyper, **(usual | fields))

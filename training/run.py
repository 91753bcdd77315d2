"""One training: its seed, device, progress, checkpoint and learning curve, so that recipes hold none of it."""

import copy
import csv
import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor
from torch.optim import Optimizer

from service.bundle import Bundle
from training import processes
from training.commit import ROOT, git_commit

CHECKPOINT, CURVE = "checkpoint.pt", "curve.csv"


class RunError(Exception):
    """A training that cannot start or go on. The message says why and what to do."""


class Hyper(Protocol):
    """What every recipe's frozen dataclass of hyper-parameters has."""

    @property
    def seed(self) -> int: ...

    @property
    def epochs(self) -> int: ...


class Stateful(Protocol):
    """A network, optimiser, scheduler or weight average: anything that a checkpoint can hold."""

    def state_dict(self) -> Any: ...

    def load_state_dict(self, state: Any, /) -> Any: ...


H = TypeVar("H", bound=Hyper)


def runs_directory() -> Path:
    return Path(os.environ.get("QUARTET_RUNS") or ROOT / "runs")


class Run(Generic[H]):
    """The course of one training, deterministic under its seed.

        for epoch in run.epochs(network=network, optimizer=optimizer):
            for x, y in run.batches(images, labels, size=512):
                run.step(loss(network(x), y), optimizer)
            run.log(train_loss=..., validation_accuracy=...)

    Every epoch seeds the generators from (seed, epoch) and ends in a checkpoint, so that a run that was
    stopped and started again gives the weights of one that was not. `git_commit` is that of its first epoch. Where
    torchrun started several processes, each is given a share of every batch, and they make one step together.
    """

    def __init__(
        self,
        name: str,
        hyper: H,
        *,
        device: str = "cpu",
        fresh: bool = False,
        max_steps: int | None = None,
        start: Bundle | None = None,
    ) -> None:
        """Seed the process for initial weights; with `fresh`, forget the earlier run.

        `max_steps` ends every loop after that many optimiser steps and writes no checkpoint: a trial run. `start` is
        the bundle whose weights the training begins with, where it does not begin with random ones.
        """
        self.name, self.hyper, self.max_steps, self.start = name, hyper, max_steps, start
        self.device = _device(device)
        self.directory = runs_directory() / name
        self.processes = processes.count()
        self._fresh = fresh
        torch.use_deterministic_algorithms(True)
        self._begin()

    def part(self, name: str, **changes: Any) -> Self:
        """A training of its own within this one, such as a teacher's, with its own checkpoint and `changes` of hyper.

        Its time counts as this one's, too.
        """
        part = copy.copy(self)
        part.name, part.directory = f"{self.name}/{name}", self.directory / name
        part.hyper = dataclasses.replace(self.hyper, **changes)  # type: ignore[type-var]
        part._begin()
        self._parts.append(part)
        return part

    def _begin(self) -> None:
        """Nothing is trained yet; the generators are those of the initial weights."""
        self.steps, self._seconds = 0, 0.0
        self.git_commit = git_commit()
        self.curve: list[dict[str, float]] = []
        self._parts: list[Self] = []
        self._epoch = 0
        self._weight = 1 / processes.count()  # of this process's rows in a batch
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn(f"[bold]{self.name}"),
            BarColumn(),
            TextColumn("epoch {task.completed:.1f}/{task.total}  {task.description}"),
            TimeRemainingColumn(),
            console=console,
            disable=not (console.is_terminal and processes.first()),
        )
        self._bar = self._progress.add_task("", total=self.hyper.epochs)
        self.directory.mkdir(parents=True, exist_ok=True)
        if self._fresh and processes.first():
            (self.directory / CHECKPOINT).unlink(missing_ok=True)
        processes.wait()
        self._seed(0)

    @property
    def seconds(self) -> float:
        """Time spent on epochs, those of earlier starts and of the parts included."""
        return self._seconds + sum(part.seconds for part in self._parts)

    @property
    def finished(self) -> bool:
        """Whether `max_steps` are done."""
        return self.max_steps is not None and self.steps >= self.max_steps

    def epochs(self, **state: Stateful) -> Iterator[int]:
        """The epochs still to do, counted from 0. All of `state` is saved after each and restored before the first.

        Raises RunError when the checkpoint found belongs to other hyper-parameters, another network or another device.
        """
        first = self._restore(state) if self.max_steps is None else 0
        if first == self.hyper.epochs:
            print(f"{self.name} is trained already; --fresh trains it anew", file=sys.stderr)
        self._progress.update(self._bar, completed=first)
        with self._progress:
            for epoch in range(first, self.hyper.epochs):
                self._epoch = epoch
                self._seed(epoch + 1)
                started, earlier = time.monotonic(), self._seconds
                yield epoch
                self._seconds = earlier + time.monotonic() - started
                self._progress.update(self._bar, completed=epoch + 1)
                if self.finished:
                    break
                self._save(state)
        self._seed(0)  # what comes next draws the same numbers whether these epochs ran or were restored

    def batches(self, *tensors: Tensor, size: int) -> Iterator[tuple[Tensor, ...]]:
        """Rows of `tensors` in a new random order, `size` at a time, the last batch maybe smaller.

        Of several processes each is given its share of the `size`.
        """
        order = processes.agreed(torch.randperm(len(tensors[0])).to(tensors[0].device))
        for start in range(0, len(order), size):
            if self.finished:
                return
            rows, self._weight = processes.share(order[start : start + size])
            yield tuple(tensor[rows] for tensor in tensors)
            self._progress.update(self._bar, completed=self._epoch + min(1.0, (start + size) / len(order)))
        self._weight = 1 / processes.count()

    def step(self, loss: Tensor, optimizer: Optimizer) -> None:
        """One step down the gradient of `loss`."""
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        processes.add_up((one for group in optimizer.param_groups for one in group["params"]), self._weight)
        optimizer.step()
        self.steps += 1

    def log(self, **figures: float) -> None:
        """Add a row to the learning curve. `train_x` and `validation_x` are drawn in one panel, x.

        Raises RunError on a figure that is not finite: the training has diverged.
        """
        told = processes.mean({name: float(figure) for name, figure in figures.items()}, self.device)
        row = {"epoch": self._epoch + 1} | told
        text = "  ".join(f"{name} {figure:.4g}" for name, figure in row.items() if name != "epoch")
        if not np.isfinite(list(row.values())).all():
            raise RunError(f"{self.name} diverged in epoch {self._epoch + 1} ({text}): lower its learning rate")
        self.curve.append(row)
        self._progress.update(self._bar, description=text)
        if not self._progress.console.is_terminal and processes.first():
            print(f"{self.name}  epoch {self._epoch + 1}/{self.hyper.epochs}  {text}", file=sys.stderr, flush=True)

    @property
    def _start_version(self) -> str | None:
        return self.start.manifest.version if self.start else None

    def _seed(self, stream: int) -> None:
        """Seed torch's global generators for one stretch of the run: 0 is before the first epoch."""
        state = np.random.SeedSequence([self.hyper.seed, stream]).generate_state(1, np.uint64)
        torch.manual_seed(int(state[0] >> np.uint64(1)))

    def _save(self, state: dict[str, Stateful]) -> None:
        if not processes.first():
            return
        checkpoint = {
            "hyper": _fields(self.hyper),
            "git_commit": self.git_commit,
            "device": self.device.type,
            "start": self._start_version,
            "epoch": self._epoch + 1,
            "steps": self.steps,
            "seconds": self._seconds,
            "curve": self.curve,
            "state": {name: part.state_dict() for name, part in state.items()},
        }
        staged = self.directory / f"{CHECKPOINT}.staged"
        torch.save(checkpoint, staged)
        staged.replace(self.directory / CHECKPOINT)
        _write_curve(self.directory / CURVE, self.curve)

    def _restore(self, state: dict[str, Stateful]) -> int:
        """Load the checkpoint, if there is one, into `state`; the number of epochs done."""
        path = self.directory / CHECKPOINT
        if not path.exists():
            return 0
        advice = "start over with --fresh"
        try:
            checkpoint = torch.load(path, map_location=self.device, weights_only=True)
        except Exception as error:
            raise RunError(f"{path} cannot be read ({type(error).__name__}): {advice}") from error
        if checkpoint["hyper"] != _fields(self.hyper):
            raise RunError(f"{path} was trained with other hyper-parameters than the recipe has now: {advice}")
        # Before checkpoints said where they were trained, it was on the CPU.
        if (device := checkpoint.get("device", "cpu")) != self.device.type:
            raise RunError(f"{path} was trained on {device} and not on {self.device.type}: {advice}")
        if (start := checkpoint.get("start")) != self._start_version:
            begun = f"with the weights of version {start}" if start else "with random weights"
            raise RunError(f"{path} was begun {begun}: {advice}")
        try:
            for name, part in state.items():
                part.load_state_dict(checkpoint["state"][name])
        except (KeyError, RuntimeError, ValueError) as error:
            raise RunError(f"{path} does not fit the recipe's network: {advice}") from error
        self.git_commit = checkpoint.get("git_commit", "unknown")
        self.steps, self._seconds, self.curve = checkpoint["steps"], checkpoint["seconds"], checkpoint["curve"]
        return int(checkpoint["epoch"])


def recorded(hyper: Hyper) -> dict[str, Any]:
    """Hyper-parameters as a manifest holds them: what JSON gives back of them, lists for tuples."""
    return json.loads(json.dumps(_fields(hyper)))  # type: ignore[no-any-return]


def _device(name: str) -> torch.device:
    if name == "cuda":
        # cuBLAS is deterministic only with this set before its first use.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        if not torch.cuda.is_available():
            raise RunError("device cuda: PyTorch sees no CUDA GPU here; leave --device out to train on the CPU")
    return torch.device(name)


def _fields(hyper: Hyper) -> dict[str, Any]:
    return dataclasses.asdict(hyper)  # type: ignore[call-overload, no-any-return]


def _write_curve(path: Path, rows: list[dict[str, float]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)

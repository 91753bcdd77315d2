"""Training a recipe again: under other seeds, and in the variants that it declares."""

import shlex
from dataclasses import dataclass, replace
from typing import Any

from service.bundle import Metric, Provenance
from training.export.store import committed, retrained
from training.recipe import Recipe
from training.report.repeats import Repeats, Training
from training.run import Run, RunError, recorded


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """What to repeat. `epochs` shortens or lengthens every training; the runs go on where they were stopped."""

    recipe: Recipe[Any]
    seeds: int = 3
    epochs: int | None = None
    device: str = "cpu"
    fresh: bool = False

    @property
    def command(self) -> str:
        words = ["python", "-m", "training", "repeat", self.recipe.name, "--seeds", str(self.seeds)]
        words += ["--epochs", str(self.epochs)] if self.epochs is not None else []
        return shlex.join([*words, *(["--device", self.device] if self.device != "cpu" else [])])

    def repeat(self) -> Repeats:
        """Train every variant under every seed, from the recipe's own seed on; RunError for less than two seeds."""
        if self.seeds < 2:
            raise RunError(f"--seeds {self.seeds}: a spread needs two seeds or more")
        first = self.recipe.hyper.seed
        seeds = range(first, first + self.seeds)
        shared = {"epochs": self.epochs} if self.epochs is not None else {}
        trainings, metric = [], committed(self.recipe.name).manifest.metrics[0]
        for variant, changes in (self.recipe.variants or {"the recipe": {}}).items():
            values = tuple(self._figure(variant, shared | changes, seed).value for seed in seeds)
            trainings.append(Training(name=variant, changes=shared | changes, values=values))
        return Repeats(
            command=self.command, metric=metric.name, unit=metric.unit, seeds=tuple(seeds), trainings=tuple(trainings)
        )

    def is_of(self, provenance: Provenance, hyper: Any) -> bool:
        """Whether a bundle was trained from nothing with `hyper` on this kind of device; a GPU's has its own name."""
        device = "cpu" if provenance.device == "cpu" else "cuda"
        same = recorded(hyper) == provenance.hyperparameters and device == self.device
        return same and provenance.start is None

    def _figure(self, variant: str, changes: dict[str, Any], seed: int) -> Metric:
        """The headline figure of one training, that of the committed bundle where this is its training."""
        hyper = replace(self.recipe.hyper, seed=seed, **changes)
        manifest = committed(self.recipe.name).manifest
        if self.is_of(manifest.provenance, hyper):
            return manifest.metrics[0]
        length = f"{self.epochs}-epochs" if self.epochs is not None else "full"
        name = "/".join([self.recipe.name, "repeats", length, variant.replace(" ", "-"), f"seed-{seed}"])
        run = Run(name, hyper, device=self.device, fresh=self.fresh)
        figure = retrained(self.recipe, run)
        print(f"{name}: {figure.name} {figure.value:.4g} [{figure.low:.4g}, {figure.high:.4g}]", flush=True)
        return figure

"""The recipe: everything that makes one model, in one file below `training/recipes`.

The model's name is the file's: `training/recipes/ct_denoiser.py` makes the bundle `ct-denoiser`.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal

from torch import nn

from service.bundle import Arrays, Metric, Task, Tensor, Tolerance
from training import recipes
from training.evaluation import Evaluation, Predict
from training.run import H, Run

Family = Literal["classify", "regress", "denoise", "generate", "sequence", "analyse"]


class RecipeError(Exception):
    """A recipe that does not exist, or a file that declares none."""


@dataclass(frozen=True, kw_only=True)
class Recipe(Generic[H]):
    """What a recipe's module declares as `RECIPE`.

    train     the *served* module: the network with its pre- and post-processing arithmetic, which takes the
              tensors of `inputs` in their order and gives those of `outputs`
    evaluate  held-out figures and pictures, measured through the exported graph; a figure of anything else, such as
              models trained again for a cross-validation, says so in its `split` or description
    examples  about four real inputs: they trace the export and become the golden inputs
    sources   names in `training.data.SOURCES`
    trial     hyper-parameters to change for a trial of a few steps, where all the data would take long
    variants  hyper-parameters to change for each kind of training that `repeat` compares, the recipe's own first
    spot_check     one of the figures on a part of its samples that is always the same, measured in a second
    explain        from the served module, one that takes the same inputs and gives the tensors of `explanation`
    source_figure  what the source reports, in its words; nothing where it reports none
    """

    family: Family
    description: str
    task: Task
    hyper: H
    sources: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    train: Callable[[Run[H]], nn.Module]
    evaluate: Callable[[Predict, H], Evaluation]
    examples: Callable[[], Arrays]
    tolerance: Tolerance = Tolerance()
    max_batch: int = 64
    trial: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    spot_check: Callable[[Predict], Metric] | None = None
    source_figure: str = ""
    explain: Callable[[nn.Module], nn.Module] | None = None
    explanation: tuple[Tensor, ...] = ()

    @property
    def name(self) -> str:
        return _name(self.train.__module__.rpartition(".")[2])

    @property
    def path(self) -> str:
        """The recipe's file, from the repository's root."""
        return self.train.__module__.replace(".", "/") + ".py"

    @property
    def about(self) -> str:
        """The header of the recipe's file: what, source, data, licence, expected figure."""
        return (importlib.import_module(self.train.__module__).__doc__ or "").strip()


def names() -> list[str]:
    """The names of all recipes, sorted."""
    return sorted(_name(module.name) for module in pkgutil.iter_modules(recipes.__path__))


def load(name: str) -> Recipe[Any]:
    """The recipe called `name`. Raises RecipeError with the names there are, or where its file declares no RECIPE."""
    if name not in names():
        raise RecipeError(f"there is no recipe {name!r}; there are {', '.join(names())}")
    module = importlib.import_module(f"{recipes.__name__}.{name.replace('-', '_')}")
    if not isinstance(found := getattr(module, "RECIPE", None), Recipe):
        raise RecipeError(f"{module.__file__} declares no RECIPE: each file beside it makes one model")
    return found


def _name(stem: str) -> str:
    return stem.replace("_", "-")

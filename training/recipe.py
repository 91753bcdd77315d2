"""The recipe: everything that makes one model, in one file below `training/recipes`.

The model's family is the folder's name and its own name the file's: `training/recipes/denoise/ct_denoiser.py` makes the
bundle `ct-denoiser`. A recipe with parts that serve no other is a package of that name.
"""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, get_args

from onnx import ModelProto
from torch import nn

from service.bundle import Arrays, Asset, Axis, Bundle, Cascade, Family, Metric, TaskSpec, Tensor, Tolerance
from training import recipes
from training.data.given import Given, use
from training.measures.evaluation import Evaluation, Predict
from training.measures.paired import Rows, Scores
from training.run import H, Run


class RecipeError(Exception):
    """A recipe that does not exist, or a file that declares none."""


@dataclass(frozen=True, kw_only=True)
class SideGraph:
    """A graph beside the main one.

    of        from the served module, one that takes the tensors of `inputs` and gives those of `outputs`
    inputs    those of the main graph, where nothing is said
    examples  about four real inputs; those of the main graph, where nothing is said
    """

    of: Callable[[nn.Module], nn.Module]
    outputs: tuple[Tensor, ...]
    inputs: tuple[Tensor, ...] = ()
    examples: Callable[[], Arrays] | None = None
    max_batch: int = 64


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What a bundle becomes that has learned more rows: the served module, its figures, and the assets that change."""

    module: nn.Module
    evaluation: Evaluation
    assets: dict[str, tuple[Asset, bytes]]


@dataclass(frozen=True, kw_only=True)
class Recipe(Generic[H]):
    """What a recipe's module declares as `RECIPE`.

    train     the *served* module: the network with its pre- and post-processing arithmetic, which takes the
              tensors of `inputs` in their order, or what `front` makes of them, and gives those of `outputs`
    evaluate  held-out figures and pictures, measured through the exported graph; a figure of anything else, such as
              models trained again for a cross-validation, says so in its `split` or description
    chosen_by figures of validation data that chose something of the recipe; `evaluate` prints and does not compare them
    parts     of `evaluate` by name, where measuring all takes long: each gives some of the figures
    examples  about four real inputs: they trace the export and become the golden inputs
    sources   names in `training.data.SOURCES`
    trial     hyper-parameters to change for a trial of a few steps, where all the data would take long
    warm      hyper-parameters to change where training begins with the weights of a bundle, `run.start`; nothing where
              `train` always begins with random ones
    variants  hyper-parameters to change for each kind of training that `repeat` compares, the recipe's own first
    spot_check     one of the figures on a part of its samples that is always the same, measured in a second
    rows           of the headline figure, where it is a share: each by itself, to compare two models row by row
    axes           what the names in the tensors' shapes mean
    front          of the served module, a graph that makes what the module takes of `inputs`; nothing where it takes
                   these. PyTorch has no tensors of texts
    cascade        which of these graphs answers what the main one is unsure of
    graphs         what lies beside the main graph, by name; `explanation` shows the inside of a classifier
    assets         files that the service reads beside the graphs: by name, the record and the bytes
    restore        from a bundle, the served module with its weights, to export it anew; nothing where it cannot be
    update         from a bundle and a file of new rows, without training anew; nothing where that cannot be
    training_outputs  for some of the training data, the reference for the drift of outputs; nothing where they have the
                   unit of whoever asks
    given          of the recipe and a path, data from outside in place of its own (training/given); nothing where it
                   takes none
    scores         what the headline figure is computed of, where it is no share: to compare two models by resampling
    source_figure  what the source reports, in its words; nothing where it reports none
    module         the recipe's module, which `load` fills in
    data           the data from outside, which `load` fills in
    """

    description: str
    task: TaskSpec
    hyper: H
    sources: tuple[str, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    train: Callable[[Run[H]], nn.Module]
    evaluate: Callable[[Predict, H], Evaluation]
    examples: Callable[[], Arrays]
    chosen_by: Callable[[Predict, H], list[Metric]] | None = None
    parts: dict[str, Callable[[Predict, H], list[Metric]]] = field(default_factory=dict)
    tolerance: Tolerance = Tolerance()
    max_batch: int = 64
    trial: dict[str, Any] = field(default_factory=dict)
    warm: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    spot_check: Callable[[Predict], Metric] | None = None
    rows: Callable[[Predict], Rows] | None = None
    scores: Callable[[Predict, H], Scores] | None = None
    source_figure: str = ""
    axes: dict[str, Axis] = field(default_factory=dict)
    front: Callable[[nn.Module], ModelProto] | None = None
    cascade: Cascade | None = None
    graphs: dict[str, SideGraph] = field(default_factory=dict)
    assets: Callable[[], dict[str, tuple[Asset, bytes]]] | None = None
    restore: Callable[[Bundle], nn.Module] | None = None
    update: Callable[[Bundle, Path], Learned] | None = None
    training_outputs: Callable[[Predict], Arrays] | None = None
    given: Callable[["Recipe[Any]", Path], Given] | None = None

    module: str = ""
    data: Given | None = None

    @property
    def name(self) -> str:
        return _name(self.module)

    @property
    def family(self) -> Family:
        family: Family = self.module.split(".")[-2]  # type: ignore[assignment]  # a folder of `names`
        return family

    def hyper_from(self, start: object | None) -> Any:
        """The hyper-parameters of a training that begins with the weights of a bundle, or with none of them: None."""
        return self.hyper if start is None else replace(self.hyper, **self.warm)  # type: ignore[type-var]

    @property
    def run_name(self) -> str:
        """What its trainings are called: other data is another training."""
        return f"{self.name}/data-{self.data.source.sha256[:12]}" if self.data else self.name

    def with_data(self, path: Path) -> "Recipe[H]":
        """This recipe with data from outside in place of its own, in this process from now on.

        Raises RecipeError where it takes none, and DataError with all that is wrong with the data.
        """
        if self.given is None:
            raise RecipeError(f"{self.name} takes no data from outside: leave --data out")
        found = self.given(self, path)
        use(found)
        names = tuple(found.source.name if name == found.replaces else name for name in self.sources)
        taken = {name: value for name, value in found.hyper.items() if hasattr(self.hyper, name)}
        return replace(self, sources=names, data=found, hyper=replace(self.hyper, **taken))  # type: ignore[type-var]

    def part(self, name: str) -> Callable[[Predict, H], list[Metric]]:
        """A part of `evaluate`. Raises RecipeError with the names there are."""
        if name not in self.parts:
            there = f"there are {', '.join(self.parts)}" if self.parts else "it is measured in one"
            raise RecipeError(f"{self.name} has no part {name!r}: {there}")
        return self.parts[name]

    @property
    def path(self) -> str:
        """The recipe's file, or the package's, from the repository's root."""
        file = Path(importlib.import_module(self.module).__file__ or "")
        return file.relative_to(Path(__file__).parents[1]).as_posix()

    @property
    def about(self) -> str:
        """The header of the recipe's file: what, source, data, licence, expected figure."""
        return (importlib.import_module(self.module).__doc__ or "").strip()


def names() -> list[str]:
    """The names of all recipes, sorted."""
    return sorted(_modules())


def load(name: str, data: Path | None = None) -> Recipe[Any]:
    """The recipe called `name`, with `data` from outside in place of its own where some is given.

    Raises RecipeError with the names there are, or where its file declares no RECIPE.
    """
    modules = _modules()
    if name not in modules:
        raise RecipeError(f"there is no recipe {name!r}; there are {', '.join(sorted(modules))}")
    module = importlib.import_module(modules[name])
    if not isinstance(found := getattr(module, "RECIPE", None), Recipe):
        raise RecipeError(f"{module.__file__} declares no RECIPE: each file beside it makes one model")
    made = replace(found, module=module.__name__)
    return made if data is None else made.with_data(data)


def _modules() -> dict[str, str]:
    """The module of each recipe by the recipe's name."""
    found = {}
    for family in get_args(Family):
        folders = [str(Path(root) / family) for root in recipes.__path__]
        for module in pkgutil.iter_modules(folders, f"{recipes.__name__}.{family}."):
            found[_name(module.name)] = module.name
    return found


def _name(module: str) -> str:
    return module.rpartition(".")[2].replace("_", "-")

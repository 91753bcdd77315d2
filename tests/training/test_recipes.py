"""What holds for every recipe: it trains, deterministically, and its graph computes what PyTorch does."""

import dataclasses
import importlib
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from service.bundle import Arrays, Manifest
from tests.training.separate_device import APART, Apart
from training import data, recipe, recipes
from training.export.graph import write_graph
from training.export.parity import Predictor, check_parity
from training.recipe import Recipe
from training.recipes import regress
from training.run import CHECKPOINT, Run

EPOCHS = 3


def one_for_each_loop() -> list[str]:
    """The first recipe that trains by each loop there is: of its own file, or of a kind that it imports."""
    chosen: dict[Path, str] = {}
    for name in recipe.names():
        module = importlib.import_module(recipe.load(name).module)
        parts = (getattr(part, "__module__", None) or getattr(part, "__name__", "") for part in vars(module).values())
        kinds = {importlib.import_module(part) for part in parts if part.startswith("training.kinds.")}
        for file in (Path(one.__file__ or "") for one in (module, *kinds)):
            if ".epochs(" in file.read_text(encoding="utf-8"):
                chosen.setdefault(file, name)
    return sorted(set(chosen.values()))


class ShortRun(Run[Any]):
    """A recipe's training, of a few epochs of a batch each, and every part of it."""

    def __init__(self, chosen: Recipe[Any], device: str = "cpu") -> None:
        super().__init__(chosen.name, dataclasses.replace(chosen.hyper, **chosen.trial, epochs=EPOCHS), device=device)

    def part(self, name: str, **changes: Any) -> Self:
        return super().part(name, **changes | {"epochs": EPOCHS})

    def batches(self, *tensors: Tensor, size: int) -> Iterator[tuple[Tensor, ...]]:
        return itertools.islice(super().batches(*tensors, size=size), 1)


class WatchedRun(ShortRun):
    """Remembers which parameters its gradients reached, and on which devices they are."""

    def __init__(self, chosen: Recipe[Any], device: str = "cpu") -> None:
        super().__init__(chosen, device)
        self.reached: dict[Tensor, bool] = {}
        self.optimizers: dict[str, set[torch.optim.Optimizer]] = {}  # of the run and of each part, by name

    @property
    def devices(self) -> set[str]:
        return {parameter.device.type for parameter in self.reached}

    def step(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        super().step(loss, optimizer)
        self.optimizers.setdefault(self.name, set()).add(optimizer)
        for parameter in (parameter for group in optimizer.param_groups for parameter in group["params"]):
            gradient = parameter.grad
            assert gradient is None or gradient.isfinite().all()
            touched = gradient is not None and bool(gradient.any())
            self.reached[parameter] = self.reached.get(parameter, False) or touched


# What PyTorch refuses to do on a GPU where the result must be the same every time (torch.use_deterministic_algorithms).
UNSTEADY_ON_CUDA = {
    *(f"{pool}_backward" for pool in ("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "avg_pool3d")),
    *(f"{pool}_backward" for pool in ("adaptive_max_pool2d", "fractional_max_pool2d", "fractional_max_pool3d")),
    *(f"reflection_pad{axes}d_backward" for axes in (1, 2, 3)),
    *(f"upsample_{how}_backward" for how in ("linear1d", "bilinear2d", "bicubic2d", "trilinear3d")),
    *("grid_sampler_2d_backward", "grid_sampler_3d_backward", "max_unpool2d", "max_unpool3d"),
    *("nll_loss2d_forward", "_ctc_loss_backward", "put_", "histc", "kthvalue", "median", "cumsum"),
}


class Operations(TorchDispatchMode):
    """The names of all that PyTorch computes meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


class StoppedRun(ShortRun):
    """Stopped in the second epoch, and so is every part, unless it is among those that were."""

    def __init__(self, chosen: Recipe[Any], stopped: set[str]) -> None:
        super().__init__(chosen)
        self.stopped = stopped

    def step(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        if self.curve and self.name not in self.stopped:
            self.stopped.add(self.name)
            raise KeyboardInterrupt
        super().step(loss, optimizer)


@dataclasses.dataclass(frozen=True)
class Trial:
    recipe: Recipe[Any]
    run: WatchedRun
    operations: set[str]
    served: nn.Module
    examples: Arrays


def stopped_and_resumed(chosen: Recipe[Any]) -> tuple[set[str], nn.Module]:
    """The names of all that was stopped, and what came of it."""
    stopped: set[str] = set()
    while True:
        try:
            return stopped, chosen.train(StoppedRun(chosen, stopped)).cpu().eval()
        except KeyboardInterrupt:
            continue


@pytest.fixture(scope="module", autouse=True)
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("runs")
        patch.setenv("QUARTET_RUNS", str(folder))
        yield folder


@pytest.fixture(scope="module", params=recipe.names())
def trial(request: pytest.FixtureRequest) -> Trial:
    chosen = recipe.load(request.param)
    with Operations() as operations:
        run = WatchedRun(chosen)
        served = chosen.train(run).cpu().eval()
    return Trial(chosen, run, operations.names, served, chosen.examples())


def test_a_few_steps_reach_every_parameter(trial: Trial) -> None:
    assert trial.run.steps == EPOCHS * len(trial.run.optimizers[trial.run.name])  # adversaries have their own
    assert trial.run.reached
    assert all(trial.run.reached.values())


@pytest.mark.parametrize("trial", one_for_each_loop(), indirect=True)
def test_stopped_and_resumed_the_same_seed_gives_the_same_weights(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTET_RUNS", str(tmp_path))
    stopped, served = stopped_and_resumed(trial.recipe)
    again = served.state_dict()
    assert stopped == {str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob(CHECKPOINT)}
    assert all(torch.equal(value, again[name]) for name, value in trial.served.state_dict().items())


def test_training_does_nothing_that_is_refused_on_a_gpu(trial: Trial) -> None:
    assert trial.operations
    assert trial.operations & UNSTEADY_ON_CUDA == set()


@pytest.mark.parametrize("name", one_for_each_loop())
def test_training_keeps_to_the_device_that_it_was_given(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTET_RUNS", str(tmp_path))
    chosen = recipe.load(name)
    with Apart():
        run = WatchedRun(chosen, device=APART)
        try:
            served = chosen.train(run).cpu()
        except NotImplementedError as error:
            if "_thnn_fused" not in str(error):
                raise
            pytest.skip("the cells of this network are one kernel on a GPU, which the CPU does not have")
    assert run.devices == {APART}
    assert {tensor.device.type for tensor in served.state_dict().values()} == {"cpu"}


def test_the_exported_graph_computes_what_pytorch_does(trial: Trial, tmp_path: Path) -> None:
    graph, examples = tmp_path / "model.onnx", trial.examples
    write_graph(trial.recipe, trial.served, examples, graph)
    check_parity(trial.recipe, trial.served, examples, graph)
    outputs = Predictor(graph)(examples)
    assert outputs.keys() == {tensor.name for tensor in trial.recipe.outputs}


def test_the_examples_are_what_the_recipe_declares(trial: Trial) -> None:
    assert list(trial.examples) == [tensor.name for tensor in trial.recipe.inputs]
    for tensor in trial.recipe.inputs:
        example = trial.examples[tensor.name]
        low, high = tensor.range or (-math.inf, math.inf)
        sizes = zip(tensor.shape, example.shape, strict=True)
        assert all(isinstance(axis, str) or axis == size for axis, size in sizes)
        if tensor.dtype == "string":
            assert example.dtype.kind == "U"
        else:
            assert example.dtype == tensor.dtype
            assert low <= example.min() <= example.max() <= high


def test_a_tensor_that_was_left_behind_is_noticed() -> None:
    with Apart():
        assert (torch.ones(2, device=APART) + 1).tolist() == [2, 2]
        with pytest.raises(AssertionError, match="here and there"):
            torch.ones(2, device=APART) + torch.ones(2)


@pytest.mark.parametrize("name", recipe.names())
def test_a_recipe_is_documented_seeded_and_frozen(name: str) -> None:
    chosen = recipe.load(name)
    assert (chosen.name, recipe.load(chosen.name)) == (name, chosen)
    made = Path(chosen.path)
    assert (made.parent if made.stem == "__init__" else made).stem.replace("_", "-") == name
    assert all(word in chosen.about for word in ("Data", "Expected"))
    assert set(chosen.sources) <= data.SOURCES.keys()
    with pytest.raises(dataclasses.FrozenInstanceError):
        chosen.hyper.seed = 1


def test_a_name_that_is_no_recipe_is_answered_with_those_that_are() -> None:
    with pytest.raises(recipe.RecipeError, match="'resnet'.*convnet"):
        recipe.load("resnet")


def test_a_file_without_a_recipe_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "regress").mkdir()
    (tmp_path / "regress" / "half_done.py").write_text("RECIPE = None\n")
    monkeypatch.setattr(recipes, "__path__", [*recipes.__path__, str(tmp_path)])
    monkeypatch.setattr(regress, "__path__", [*regress.__path__, str(tmp_path / "regress")])
    with pytest.raises(recipe.RecipeError, match=r"half_done\.py declares no RECIPE"):
        recipe.load("half-done")


def test_every_family_and_task_fits_the_contract() -> None:
    families = Manifest.model_json_schema()["properties"]["family"]["enum"]
    assert {recipe.load(name).family for name in recipe.names()} <= set(families)

"""An export is a bundle that the service would load; a graph that is not what its recipe declares never becomes one."""

import copy
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from service import bundle
from service.bundle import Bundle, BundleError
from service.bundle import Tensor as Declared
from training import recipe
from training.commit import ROOT, git_commit
from training.export import graph, parity, store
from training.recipe import Recipe, SideGraph
from training.run import Run

OLD = "20200101-000000"


@dataclasses.dataclass(frozen=True)
class Exported:
    bundle: Bundle
    recipe: Recipe[Any]
    run: Run[Any]
    module: nn.Module


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    """`convnet` after two steps, exported beside an older version."""
    with pytest.MonkeyPatch.context() as patch:
        models = tmp_path_factory.mktemp("models")
        patch.setenv("QUARTET_MODELS_DIR", str(models))
        patch.setenv("QUARTET_RUNS", str(tmp_path_factory.mktemp("runs")))
        (models / "convnet" / OLD).mkdir(parents=True)
        bundle.write_current(models, "convnet", OLD)
        chosen = recipe.load("convnet")
        run = Run("convnet", chosen.hyper, max_steps=2)
        module = chosen.train(run)
        yield Exported(store.export(chosen, module, run), chosen, run, module)


def test_the_bundle_is_whole(exported: Exported) -> None:
    found = {path.name for path in exported.bundle.path.iterdir()}
    assert {"bundle.json", "model.onnx", "golden.npz", "card.md", "learning-curve.png"} <= found
    assert Bundle(exported.bundle.path).manifest == exported.bundle.manifest


def test_it_is_a_candidate_and_the_served_version_stays(exported: Exported) -> None:
    home = exported.bundle.path.parent
    assert {path.name for path in home.iterdir()} == {"CURRENT", OLD, exported.bundle.path.name}
    assert bundle.current_version(home.parent, "convnet") == OLD


def test_pruned_of_all_but_the_served_version_it_is_as_it_was_committed(exported: Exported) -> None:
    home = exported.bundle.path.parent
    bundle.write_current(home.parent, "convnet", exported.bundle.path.name)
    assert store.prune("convnet") == [OLD]
    assert {path.name for path in home.iterdir()} == {"CURRENT", exported.bundle.path.name}
    assert store.committed("convnet").path == exported.bundle.path
    assert re.fullmatch(r"\d{8}-\d{6}", exported.bundle.manifest.version)


def test_the_graph_has_the_declared_names_types_and_dynamic_batch_axis(exported: Exported) -> None:
    graph = onnx.load(exported.bundle.graph).graph
    tensors = (*exported.recipe.inputs, *exported.recipe.outputs)
    for declared, value in zip(tensors, (*graph.input, *graph.output), strict=True):
        shape = tuple(axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim)
        assert (value.name, shape) == (declared.name, declared.shape)


def test_the_graph_tells_nothing_of_the_machine_it_was_made_on(exported: Exported) -> None:
    contents = exported.bundle.graph.read_bytes()
    assert str(ROOT).encode() not in contents
    assert not re.search(rb"[a-z_]{4}\.py\b|site-packages", contents)


def test_the_golden_inputs_are_the_examples_and_their_outputs_come_back(exported: Exported) -> None:
    inputs, outputs = exported.bundle.golden()
    assert all(np.array_equal(inputs[name], array) for name, array in exported.recipe.examples().items())
    assert outputs["probabilities"].shape == (4, 10)
    exported.bundle.check_golden(parity.Predictor(exported.bundle.graph)(inputs))


def test_the_provenance_is_enough_to_train_it_again(exported: Exported) -> None:
    made = exported.bundle.manifest.provenance
    assert (made.recipe, made.command) == ("training/recipes/classify/convnet.py", "python -m training run convnet")
    assert made.hyperparameters == json.loads(json.dumps(dataclasses.asdict(exported.run.hyper)))
    assert [source.name for source in made.sources] == ["mnist"]
    assert made.libraries.keys() == {"python", "numpy", "onnx", "onnxruntime", "torch"}
    assert re.fullmatch(r"unknown|([0-9a-f]{40})?( ?uncommitted)?", made.git_commit)


def test_the_commit_is_that_of_the_training_and_another_one_of_the_export_is_told(exported: Exported) -> None:
    assert exported.bundle.manifest.provenance.exported_at is None
    earlier = copy.copy(exported.run)
    earlier.git_commit = "0123456"
    made = store.provenance(exported.recipe, earlier)
    assert (made.git_commit, made.exported_at) == ("0123456", git_commit())


def test_the_weights_that_a_training_began_with_are_pinned_by_version_and_hash(exported: Exported) -> None:
    begun = copy.copy(exported.run)
    begun.start = exported.bundle
    made = store.provenance(exported.recipe, begun)
    manifest = exported.bundle.manifest
    assert made.start is not None
    assert (made.start.version, made.start.sha256) == (manifest.version, manifest.sha256["model.onnx"])
    assert made.command == f"python -m training run convnet --from {manifest.version}"
    assert manifest.provenance.start is None


def test_the_answer_does_not_depend_on_how_rows_are_batched(exported: Exported) -> None:
    images = np.concatenate([exported.recipe.examples()["image"]] * 3)
    whole = parity.Predictor(exported.bundle.graph)({"image": images})["probabilities"]
    parts = parity.Predictor(exported.bundle.graph, batch=5)({"image": images})["probabilities"]
    assert np.allclose(whole, parts, atol=1e-5)


def test_a_changed_file_is_found(exported: Exported) -> None:
    golden = exported.bundle.path / "golden.npz"
    contents = golden.read_bytes()
    golden.write_bytes(contents + b"x")
    with pytest.raises(BundleError, match=r"golden.npz does not have the sha256"):
        store.committed("convnet")
    golden.write_bytes(contents)


def test_a_failed_export_leaves_the_bundle_before_it_alone(exported: Exported) -> None:
    before = sorted(exported.bundle.path.parent.rglob("*"))
    broken = dataclasses.replace(exported.recipe, outputs=(declared("scores", 10),))
    with pytest.raises(graph.ExportError):
        store.export(broken, Miscounting(), exported.run)
    assert sorted(exported.bundle.path.parent.rglob("*")) == before


class Miscounting(nn.Module):
    """Eleven classes of a digit."""

    def forward(self, image: Tensor) -> Tensor:
        return image.flatten(1)[:, :11]


def declared(name: str, classes: int) -> Declared:
    return Declared(name=name, dtype="float32", shape=("batch", classes))


def test_a_graph_that_is_not_as_declared_is_refused(exported: Exported, tmp_path: Path) -> None:
    chosen = dataclasses.replace(exported.recipe, outputs=(declared("scores", 10),))
    message = re.escape("the graph has scores float32 ['batch', 11], the recipe declares scores float32 ['batch', 10]")
    with pytest.raises(graph.ExportError, match=message):
        graph.write_graph(chosen, Miscounting(), chosen.examples(), tmp_path / "model.onnx")


def test_a_graph_that_computes_something_else_is_refused(exported: Exported) -> None:
    with torch.no_grad():
        for parameter in exported.module.parameters():
            parameter += 0.01
    with pytest.raises(graph.ExportError, match="PyTorch and ONNX Runtime differ by .* at batch 1"):
        parity.check_parity(exported.recipe, exported.module, exported.recipe.examples(), exported.bundle.graph)


class Inside(nn.Module):
    """What `convnet`'s convolutions find, one map for each kernel."""

    def __init__(self, served: nn.Module) -> None:
        super().__init__()
        convolutions = served.get_submodule("network.convolutions")
        assert isinstance(convolutions, nn.Sequential)
        self.convolutions = convolutions[:-1]  # without the flattening

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.convolutions(image)
        return found


def test_another_graph_lies_beside_the_main_one_with_its_hash(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUARTET_MODELS_DIR", str(tmp_path))
    maps = (Declared(name="maps", dtype="float32", shape=("batch", 20, 10, 10)),)
    explained = dataclasses.replace(exported.recipe, graphs={"inside": SideGraph(of=Inside, outputs=maps)})
    written = store.export(explained, exported.module, exported.run)
    assert written.manifest.graphs["inside"].outputs == maps
    assert written.manifest.sha256["inside.onnx"] == bundle.file_sha256(written.path / "inside.onnx")
    inputs, _ = written.golden()
    assert (written.path / "inside.onnx").stat().st_size < written.graph.stat().st_size / 10  # whose weights it uses
    shown = parity.Predictor(written.path / "inside.onnx")(inputs)["maps"]
    expected = Inside(exported.module)(torch.from_numpy(inputs["image"])).detach().numpy()
    np.testing.assert_allclose(shown, expected, atol=1e-4)

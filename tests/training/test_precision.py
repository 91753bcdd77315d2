"""A bundle may run in a shorter precision once its own evaluation has measured what that does to it."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from service.bundle import CARD, MAIN, Bundle, Manifest, write_manifest
from service.engine.loaded_model import LoadedModel
from service.engine.profile import Profile
from service.model_metrics import ModelMetrics
from service.settings import Settings
from tests import toys
from training.export import store
from training.export.graph import ExportError
from training.export.half import halved
from training.export.precision import HALF_GRAPH, measured
from training.measures.evaluation import Evaluation, Predict, bootstrapped
from training.recipe import Recipe, load
from training.report import card


@pytest.fixture(scope="module")
def shortened(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The toy of the digits, measured in half precision, and the version that is served."""
    models = tmp_path_factory.mktemp("shortened")
    before = Bundle(toys.digits(models))
    hashes = {name: one for name, one in before.manifest.sha256.items() if name != CARD}  # which is written anew
    write_manifest(before.path, before.manifest.model_copy(update={"sha256": hashes}))
    before = Bundle(before.path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUARTET_MODELS_DIR", str(models))
        after = measured(_recipe(before.manifest), before, "fp16", "cpu")
    (models / "toy-digits" / "CURRENT").write_text(after.manifest.version)
    return after


def _recipe(manifest: Manifest) -> Recipe:  # type: ignore[type-arg]
    """One that evaluates on noise."""

    def evaluate(predict: Predict, _: object) -> Evaluation:
        images = np.random.default_rng(0).integers(0, 256, (50, 28, 28)).astype(np.float32)
        best = predict({"image": images})["probabilities"].max(1)
        return Evaluation(metrics=(bootstrapped("confidence", np.mean, best, resamples=10),))

    class Named(Recipe):  # type: ignore[type-arg]
        name = manifest.name

    real = load("convnet")
    fields = {field.name: getattr(real, field.name) for field in dataclasses.fields(real)}
    return Named(**fields | {"evaluate": evaluate, "task": manifest.task})


def test_the_version_says_what_comes_of_it(shortened: Bundle) -> None:
    found = shortened.manifest.precisions["fp16"]
    assert (found.provider, found.metric.name, found.file) == ("cpu", "confidence", HALF_GRAPH)
    assert 0 < found.difference["probabilities"] < 1e-2
    assert f"confidence **{card.number(found.metric.value)}**" in shortened.card
    assert card.number(found.difference["probabilities"]) in shortened.card


@pytest.mark.parametrize(("asked", "runs"), [("fp32", "fp32"), ("fp16", "fp16"), ("tf32", "fp32")])
def test_it_is_served_in_what_is_asked_for_and_allowed(shortened: Bundle, asked: str, runs: str) -> None:
    settings = Settings(models_dir=shortened.path.parents[1], threads=1, precision=asked)
    model = LoadedModel(shortened, settings, ModelMetrics(), Profile())
    assert model.precision == runs
    assert bool(model.objection) == (asked != runs)


def test_golden_outputs_may_lie_as_far_away_as_was_measured(shortened: Bundle) -> None:
    bundle, measured = Bundle(shortened.path), shortened.manifest.precisions["fp16"]
    wide = measured.model_copy(update={"difference": {"probabilities": 0.01}})
    bundle.manifest = bundle.manifest.model_copy(update={"precisions": {"fp16": wide}})
    _, golden = bundle.golden()
    outputs = {"probabilities": golden["probabilities"] + 0.015}
    bundle.check_golden(outputs, MAIN, "fp16")
    with pytest.raises(Exception, match="golden"):
        bundle.check_golden(outputs)


def test_a_half_that_does_not_give_what_was_measured_is_refused(shortened: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / "toy-digits" / shortened.path.name
    folder.parent.mkdir()
    folder.mkdir()
    for file in shortened.path.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    nearly = shortened.manifest.precisions["fp16"].model_copy(update={"difference": {"probabilities": 0.0}})
    changes = {
        "precisions": {"fp16": nearly},
        "tolerance": shortened.manifest.tolerance.model_copy(update={"atol": 0, "rtol": 0}),
    }
    write_manifest(folder, shortened.manifest.model_copy(update=changes))
    with pytest.raises(Exception, match="golden output"):
        LoadedModel(Bundle(folder), Settings(threads=1, precision="fp16"), ModelMetrics(), Profile())


def test_a_renewed_bundle_keeps_its_half_and_the_hash_that_pins_it(shortened: Bundle) -> None:
    assert HALF_GRAPH in shortened.manifest.sha256
    (shortened.path / HALF_GRAPH).rename(shortened.path / "away")
    try:
        with pytest.raises(Exception, match="missing"):
            shortened.verify()
    finally:
        (shortened.path / "away").rename(shortened.path / HALF_GRAPH)


def test_tf32_is_measured_on_a_gpu(shortened: Bundle) -> None:
    with pytest.raises(ExportError, match="--provider cuda"):
        measured(_recipe(shortened.manifest), shortened, "tf32", "cpu")


@pytest.mark.parametrize("name", ["convnet", "ct-denoiser"])
def test_what_comes_in_and_goes_out_keeps_its_mantissa(name: str) -> None:
    """Hounsfield units of 2000 and more would be rounded to even numbers."""
    model = halved(store.committed(name).graph)
    single = onnx.TensorProto.FLOAT
    assert {one.type.tensor_type.elem_type for one in (*model.graph.input, *model.graph.output)} == {single}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    halves = {one.name for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT16}
    assert convolutions
    assert all(node.input[1] in halves for node in convolutions)
    bundle = store.committed(name)
    inputs, expected = bundle.golden()
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (output,) = expected
    given = session.run([output], {key: array[:1] for key, array in inputs.items()})[0]
    assert 0 < np.abs(given - expected[output][:1]).max() < 0.2


def test_a_graph_without_products_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="would change nothing"):
        halved(Bundle(toys.tensors(tmp_path)).graph)

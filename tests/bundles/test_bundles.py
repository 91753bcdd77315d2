"""Every committed bundle can be served, answers as it did when it was made, and says what its card says."""

import json
import re

import numpy as np
import onnx
import pytest

from service import bundle
from service.bundle import GRAPH, MAIN, Bundle, Manifest
from service.engine.cascade import answering
from service.engine.session import Session
from service.watch import Watch
from training import recipe
from training.export.parity import Predictor
from training.export.store import committed, models_directory
from training.kinds.generation import DIGITS, GARMENTS
from training.report import card, repeats
from training.run import recorded

NAMES = bundle.names(models_directory())


@pytest.fixture(scope="module", params=NAMES)
def committed_bundle(request: pytest.FixtureRequest) -> Bundle:
    return committed(request.param)


@pytest.fixture(scope="module")
def predict(committed_bundle: Bundle) -> Predictor:
    return Predictor.of(committed_bundle)


def test_every_recipe_has_a_bundle_and_every_bundle_a_recipe() -> None:
    assert recipe.names() == NAMES


def test_it_is_the_only_version_and_holds_nothing_unknown(committed_bundle: Bundle) -> None:
    visible = {path.name for path in committed_bundle.path.parent.glob("[!.]*")}
    assert visible - {"RELEASES"} == {"CURRENT", committed_bundle.path.name}
    files = {path.name for path in committed_bundle.path.iterdir() if path.suffix != ".png"}
    known = {"bundle.json", "card.md", *committed_bundle.manifest.sha256}
    assert files - {"repeats.json", "gate.json", "gate.md"} == known


def test_its_manifest_is_what_the_recipe_declares(committed_bundle: Bundle) -> None:
    manifest = committed_bundle.manifest
    declared = recipe.load(manifest.name)
    assert (manifest.family, manifest.task, manifest.description) == (
        declared.family,
        declared.task,
        declared.description,
    )
    assert (manifest.inputs, manifest.outputs) == (declared.inputs, declared.outputs)
    beside = {name: graph.outputs for name, graph in manifest.graphs.items() if name != MAIN}
    assert beside == {name: side.outputs for name, side in declared.graphs.items()}
    assert (manifest.axes, manifest.cascade) == (declared.axes, declared.cascade)
    assert (manifest.tolerance, manifest.graphs[MAIN].max_batch) == (declared.tolerance, declared.max_batch)
    assert tuple(source.name for source in manifest.provenance.sources) == declared.sources


def test_it_was_trained_with_the_hyperparameters_of_the_recipe(committed_bundle: Bundle) -> None:
    manifest = committed_bundle.manifest
    declared = recipe.load(manifest.name).hyper_from(manifest.provenance.start)
    assert manifest.provenance.hyperparameters == recorded(declared)


def test_what_judged_the_samples_is_there(committed_bundle: Bundle) -> None:
    manifest = committed_bundle.manifest
    if manifest.task.kind != "sample-generation":
        return
    there = {(name, one.sha256[GRAPH]) for name, one in judges().items()}
    alike = {name: one.provenance.exported_from for name, one in judges().items()}  # they answer the same
    there |= {(name, one.sha256) for name, one in alike.items() if one}
    words = [metric.description.split() for metric in manifest.metrics if "sha256" in metric.description]
    said = {(name, graph) for _, name, _, _, graph in words}  # a later version may have the same graph
    assert said
    assert said <= there, f"python -m training renew {manifest.name}"


def test_the_service_watches_an_output_for_drift(committed_bundle: Bundle) -> None:
    manifest = committed_bundle.manifest
    if recipe.load(manifest.name).training_outputs is None:
        assert manifest.task.kind == "series-forecasting"  # whose values have the unit of whoever asks
        return
    outputs = {one.name for one in manifest.outputs} | {one.name for one in getattr(manifest.task, "quantities", ())}
    told = {one.feature for one in manifest.reference if one.feature.removeprefix("mean ") in outputs}
    assert told, f"python -m training reference {manifest.name}"
    assert told <= Watch(manifest, 60).histograms.keys()


def judges() -> dict[str, Manifest]:
    names = {name for domain in (DIGITS, GARMENTS) for name in (domain.features, domain.judge)}
    return {name: committed(name).manifest for name in names}


def test_a_sample_is_the_same_in_every_batch_and_with_every_number_of_threads(committed_bundle: Bundle) -> None:
    if committed_bundle.manifest.task.kind != "sample-generation":
        return
    inputs = {name: np.resize(array, (6, *array.shape[1:])) for name, array in committed_bundle.golden()[0].items()}
    one, two = (Session(committed_bundle, "cpu", threads) for threads in (1, 2))
    together = two.run(inputs)["image"]
    for row in range(6):
        alone = one.run({name: array[row : row + 1] for name, array in inputs.items()})["image"]
        np.testing.assert_array_equal(np.rint(alone[0]), np.rint(together[row]))


def test_its_graph_is_valid_and_has_the_declared_signature(committed_bundle: Bundle) -> None:
    model = onnx.load(committed_bundle.graph)
    onnx.checker.check_model(model, full_check=True)
    for values, declared in (
        (model.graph.input, committed_bundle.manifest.inputs),
        (model.graph.output, committed_bundle.manifest.outputs),
    ):
        found = [
            (value.name, tuple(axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim))
            for value in values
        ]
        assert found == [(tensor.name, tensor.shape) for tensor in declared]


def test_its_graph_is_one_file_of_a_few_megabytes_without_paths(committed_bundle: Bundle) -> None:
    contents = committed_bundle.graph.read_bytes()
    assert len(contents) < 8_000_000
    assert not re.search(rb"[a-z_]{4}\.py\b|site-packages|/home/|/root/", contents)


def test_its_golden_outputs_are_reproduced(committed_bundle: Bundle, predict: Predictor) -> None:
    inputs, _ = committed_bundle.golden()
    committed_bundle.check_golden(predict(inputs))


def test_it_answers_alike_through_an_io_binding(committed_bundle: Bundle) -> None:
    """As on a GPU, where the arrays are copied; rows come in columns' order here, which no device takes as it is."""
    if any(tensor.dtype == "string" for tensor in committed_bundle.manifest.inputs):
        pytest.skip("no device holds texts")
    run, cascade = Session(committed_bundle, "cpu", 1).run_bound, committed_bundle.manifest.cascade
    if cascade:
        run = answering(committed_bundle, run, Session(committed_bundle, "cpu", 1, cascade.graph).run_bound)
    inputs, _ = committed_bundle.golden()
    for _ in range(3):
        committed_bundle.check_golden(run({name: np.asfortranarray(a) for name, a in inputs.items()}))


def test_a_row_is_answered_alike_alone_and_in_a_batch(committed_bundle: Bundle, predict: Predictor) -> None:
    inputs, together = committed_bundle.golden()
    tolerance = committed_bundle.manifest.tolerance
    for row in range(len(next(iter(inputs.values())))):
        alone = predict({name: array[row : row + 1] for name, array in inputs.items()})
        for name, array in alone.items():
            assert np.allclose(array[0], together[name][row], atol=tolerance.atol, rtol=tolerance.rtol)


def test_its_golden_inputs_come_to_both_graphs_of_its_cascade(committed_bundle: Bundle) -> None:
    cascade = committed_bundle.manifest.cascade
    assert "If" not in {node.op_type for node in onnx.load(committed_bundle.graph).graph.node}  # no GPU captures it
    if cascade is None:
        return
    inputs, _ = committed_bundle.golden()
    places = cascade.in_doubt(Predictor(committed_bundle.graph)(inputs))
    assert 0 < len(places) < len(next(iter(inputs.values())))


def test_its_outputs_are_in_the_declared_range(committed_bundle: Bundle) -> None:
    _, outputs = committed_bundle.golden()
    for tensor in committed_bundle.manifest.outputs:
        assert outputs[tensor.name].dtype == tensor.dtype
        assert np.isfinite(outputs[tensor.name]).all()
        if tensor.range:
            assert tensor.range[0] <= outputs[tensor.name].min() <= outputs[tensor.name].max() <= tensor.range[1]


def test_its_figures_lie_in_their_intervals(committed_bundle: Bundle) -> None:
    for metric in committed_bundle.manifest.metrics:
        assert metric.low <= metric.value <= metric.high


def test_its_card_is_rendered_from_its_manifest(committed_bundle: Bundle) -> None:
    manifest = committed_bundle.manifest
    pictures, repeated = card.pictures_in(committed_bundle.path), repeats.read(committed_bundle.path)
    assert committed_bundle.card == card.render(manifest, recipe.load(manifest.name).about, pictures, repeated)
    assert all(f"**{card.number(metric.value)}**" in committed_bundle.card for metric in manifest.metrics)


def test_its_pictures_are_small(committed_bundle: Bundle) -> None:
    pictures = sorted(committed_bundle.path.glob("*.png"))
    assert "learning-curve.png" in [path.name for path in pictures]
    assert all(path.stat().st_size < 200_000 for path in pictures)


def test_a_spot_check_on_held_out_data_allows_its_claim(committed_bundle: Bundle, predict: Predictor) -> None:
    """Both intervals hold the true figure, so they overlap."""
    check = recipe.load(committed_bundle.manifest.name).spot_check
    if check is None:
        assert committed_bundle.manifest.family != "classify", "a classifier's recipe needs a spot_check"
        return
    found = check(predict)
    claimed = next(metric for metric in committed_bundle.manifest.metrics if metric.name == found.name)
    assert max(found.low, claimed.low) <= min(found.high, claimed.high)


def test_its_repeats_are_of_its_headline_figure_and_of_the_recipe_as_it_is(committed_bundle: Bundle) -> None:
    repeated = repeats.read(committed_bundle.path)
    if repeated is None:
        return
    manifest, own = committed_bundle.manifest, repeated.trainings[0]
    headline = manifest.metrics[0]
    assert (repeated.metric, repeated.unit) == (headline.name, headline.unit)
    variants = recipe.load(manifest.name).variants
    declared = json.loads(json.dumps([{**own.changes, **changes} for changes in variants.values()] or [own.changes]))
    assert [training.changes for training in repeated.trainings] == declared
    if not own.changes and manifest.provenance.device == "cpu":
        assert (repeated.seeds[0], own.values[0]) == (manifest.provenance.seed, headline.value)

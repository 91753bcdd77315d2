"""Bundles written by training: staged, checked the way the service will use them, and put beside the served ones."""

import dataclasses
import datetime
import os
import platform
import shlex
import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from service import bundle
from service.bundle import (
    CARD,
    GOLDEN,
    GRAPH,
    MAIN,
    Arrays,
    Asset,
    Bundle,
    BundleError,
    Graph,
    Histogram,
    Manifest,
    Metric,
    Provenance,
    Source,
    Start,
)
from training import data
from training.commit import HASH, ROOT, git_commit, git_hash
from training.data.given import REPORT
from training.export.graph import OPSET, write_graph
from training.export.parity import Predictor, check_parity
from training.export.sharing import share_weights
from training.measures import outputs
from training.measures.evaluation import Predict
from training.recipe import Recipe
from training.report import card, pictures, repeats
from training.report.repeats import Repeats
from training.run import H, Run, RunError, recorded

LIBRARIES = "numpy", "onnx", "onnxruntime", "torch"


def models_directory() -> Path:
    return Path(os.environ.get("QUARTET_MODELS_DIR") or ROOT / "models")


def committed(name: str) -> Bundle:
    """The bundle that `models/<name>/CURRENT` names. Raises BundleError when there is none or it is corrupt."""
    models = models_directory()
    if name not in bundle.names(models):
        raise BundleError(f"no bundle of {name} is served from {models} yet: python -m training run {name}")
    return bundle.current(models, name)


def export(recipe: Recipe[H], module: nn.Module, run: Run[H]) -> Bundle:
    """Write, check and measure the bundle of a trained module: a candidate, beside the version that is served.

    The repeats of that one go along where it is of the same training.
    """
    return publish(recipe.name, lambda stage: _fill(stage, recipe, module.cpu().eval(), run))


def renew(recipe: Recipe[Any], before: Bundle) -> Bundle:
    """A new version of a bundle with the same graphs, measured and described as the recipe does it now."""
    return publish(recipe.name, lambda stage: _refill(stage, recipe, before))


def update(recipe: Recipe[Any], before: Bundle, rows: Path) -> Bundle:
    """A new version of a bundle that has learned the rows of a file beside those that it knows."""
    return publish(recipe.name, lambda stage: _fill_learned(stage, recipe, before, rows))


def reexport(recipe: Recipe[Any], before: Bundle) -> Bundle:
    """A new version of a bundle with the same weights and figures, and the graphs that the recipe makes of them now."""
    return publish(recipe.name, lambda stage: _fill_restored(stage, recipe, before))


def publish(name: str, fill: Callable[[Path], Manifest]) -> Bundle:
    """Make what `fill` writes into a folder a version. Which one is served stays as it is.

    It is staged in a folder beside the versions and renamed, so that no half of a bundle is ever there.
    """
    home = models_directory() / name
    home.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=".staged-", dir=home))
    try:
        stage.chmod(0o755)
        manifest = fill(stage)
        stage.rename(home / manifest.version)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    exported = Bundle(home / manifest.version)
    exported.check_golden(Predictor.of(exported)(exported.golden()[0]))
    return exported


def prune(name: str) -> list[str]:
    """Remove every version but the current one, and the history of releases; their names.

    For a folder whose earlier versions git keeps. Raises BundleError when there is no current one.
    """
    from service.release.ledger import held  # what a training imports counts as what made its bundle

    with held(committed(name).path.parent):
        kept = committed(name).path
        (kept.parent / bundle.RELEASES).unlink(missing_ok=True)
        others = sorted(path for path in kept.parent.iterdir() if path.is_dir() and path != kept)
        for other in others:
            shutil.rmtree(other)
    return [other.name for other in others]


def retrained(recipe: Recipe[H], run: Run[H]) -> Metric:
    """Train, and measure the headline figure through graphs that are not kept."""
    module = recipe.train(run).cpu().eval()
    with tempfile.TemporaryDirectory() as folder:
        _write_graphs(Path(folder), recipe, module)
        return recipe.evaluate(Predictor(Path(folder) / GRAPH, cascade=recipe.cascade), run.hyper).metrics[0]


def _fill(stage: Path, recipe: Recipe[H], module: nn.Module, run: Run[H]) -> Manifest:
    """Everything a bundle holds, written into `stage`."""
    graphs, golden = _write_graphs(stage, recipe, module)
    predict = Predictor(stage / GRAPH, cascade=recipe.cascade)
    np.savez_compressed(stage / GOLDEN, allow_pickle=False, **golden)
    assets = _write_assets(stage, recipe.assets() if recipe.assets else {})
    evaluation = recipe.evaluate(predict, run.hyper)
    _write_pictures(stage, {"learning-curve": pictures.learning_curve(run.curve), **evaluation.pictures})
    manifest = Manifest(
        name=recipe.name,
        version=new_version(),
        family=recipe.family,
        description=recipe.description,
        task=recipe.task,
        sha256=_hashes(stage, graphs, assets),
        opset=OPSET,
        graphs=graphs,
        cascade=recipe.cascade,
        axes=recipe.axes,
        assets=assets,
        tolerance=recipe.tolerance,
        provenance=provenance(recipe, run),
        metrics=evaluation.metrics,
        reference=(*evaluation.reference, *outputs_reference(recipe, predict)),
    )
    describe(stage, recipe, manifest)
    return manifest


def _refill(stage: Path, recipe: Recipe[Any], before: Bundle) -> Manifest:
    """What `_fill` writes, from the graphs, golden arrays and learning curve of the bundle before."""
    for name in (*before.manifest.sha256, card.FIRST_PICTURE):
        shutil.copyfile(before.path / name, stage / name)
    predict = Predictor(stage / GRAPH, cascade=before.manifest.cascade)
    evaluation = recipe.evaluate(predict, recipe.hyper)
    _write_pictures(stage, evaluation.pictures)
    made = before.manifest.provenance.model_copy(update={"exported_at": git_commit()})
    manifest = before.manifest.model_copy(
        update={
            "version": new_version(),
            "description": recipe.description,
            "provenance": made,
            "metrics": evaluation.metrics,
            "reference": (*evaluation.reference, *outputs_reference(recipe, predict)),
        }
    )
    describe(stage, recipe, manifest)
    return manifest


def _fill_restored(stage: Path, recipe: Recipe[Any], before: Bundle) -> Manifest:
    """What `_fill` writes, of a module with the weights of the bundle before, whose golden outputs it must give."""
    if recipe.restore is None:
        raise RunError(
            f"{recipe.name} cannot be exported from its bundle: train it, python -m training run {recipe.name}"
        )
    graphs, golden = _write_graphs(stage, recipe, recipe.restore(before).eval())
    before.check_golden(Predictor(stage / GRAPH, cascade=recipe.cascade)(before.golden()[0]))
    np.savez_compressed(stage / GOLDEN, allow_pickle=False, **golden)
    for name in (*(asset.file for asset in before.manifest.assets.values()), *card.pictures_in(before.path)):
        shutil.copyfile(before.path / name, stage / name)
    manifest = before.manifest.model_copy(
        update={
            "version": new_version(),
            "sha256": _hashes(stage, graphs, before.manifest.assets),
            "opset": OPSET,
            "graphs": graphs,
            "cascade": recipe.cascade,
            "provenance": before.manifest.provenance.model_copy(
                update={"exported_at": git_commit(), "exported_from": _start(before.manifest)}
            ),
        }
    )
    describe(stage, recipe, manifest)
    return manifest


def _start(before: Manifest) -> Start:
    return Start(version=before.version, sha256=before.sha256[GRAPH])


def _fill_learned(stage: Path, recipe: Recipe[Any], before: Bundle, rows: Path) -> Manifest:
    """What `_fill` writes, of a module that an update made; the learning curve is that of the training before."""
    if recipe.update is None:
        raise RunError(f"{recipe.name} cannot learn rows one by one: train it, python -m training run {recipe.name}")
    learned = recipe.update(before, rows)
    graphs, golden = _write_graphs(stage, recipe, learned.module.eval())
    np.savez_compressed(stage / GOLDEN, allow_pickle=False, **golden)
    assets = _write_assets(stage, learned.assets)
    shutil.copyfile(before.path / card.FIRST_PICTURE, stage / card.FIRST_PICTURE)
    _write_pictures(stage, learned.evaluation.pictures)
    manifest = before.manifest.model_copy(
        update={
            "version": new_version(),
            "sha256": _hashes(stage, graphs, assets),
            "graphs": graphs,
            "assets": assets,
            "provenance": _updated(recipe, before.manifest, rows),
            "metrics": learned.evaluation.metrics,
            "precisions": {},
        }
    )
    describe(stage, recipe, manifest)
    return manifest


def _updated(recipe: Recipe[Any], before: Manifest, rows: Path) -> Provenance:
    """How a bundle came to be that learned the rows of a file."""
    given = Source(
        name=rows.name,
        package=rows.name,
        sha256=bundle.file_sha256(rows),
        licence="not stated",
        address="a file that was given to the command",
    )
    return before.provenance.model_copy(
        update={
            "command": shlex.join(["python", "-m", "training", "update", recipe.name, rows.name]),
            "exported_at": git_commit(),
            "start": _start(before),
            "sources": (*before.provenance.sources, given),
        }
    )


def outputs_reference(recipe: Recipe[Any], predict: Predict) -> tuple[Histogram, ...]:
    """How the model's outputs are distributed over its training data; nothing where the recipe does not tell."""
    if recipe.training_outputs is None:
        return ()
    return outputs.reference(recipe.task, recipe.outputs, recipe.training_outputs(predict))


def count_outputs(recipe: Recipe[Any], found: Bundle) -> tuple[Histogram, ...]:
    """Write into a bundle's manifest how its outputs are distributed; the version and all else stay."""
    counted = outputs_reference(recipe, Predictor.of(found))
    fresh = {one.feature for one in counted}
    others = tuple(one for one in found.manifest.reference if one.feature not in fresh)
    bundle.write_manifest(found.path, found.manifest.model_copy(update={"reference": (*others, *counted)}))
    return counted


def _hashes(stage: Path, graphs: dict[str, Graph], assets: dict[str, Asset]) -> dict[str, str]:
    files = [GOLDEN, *(graph.file for graph in graphs.values()), *(asset.file for asset in assets.values())]
    return {name: bundle.file_sha256(stage / name) for name in files}


def new_version() -> str:
    """By the clock."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}"


def _write_pictures(stage: Path, drawn: dict[str, bytes]) -> None:
    for stem, png in drawn.items():
        (stage / f"{stem}.png").write_bytes(png)


def describe(stage: Path, recipe: Recipe[Any], manifest: Manifest) -> None:
    """Write the manifest, and the card that tells of it; beside data from outside also what was found in it."""
    bundle.write_manifest(stage, manifest)
    if recipe.data:
        (stage / REPORT).write_text(recipe.data.report, encoding="utf-8")
    if repeated := _repeats_before(manifest):
        repeats.write(stage, repeated)
    (stage / CARD).write_text(card.render(manifest, recipe.about, card.pictures_in(stage), repeated), encoding="utf-8")


def _repeats_before(manifest: Manifest) -> Repeats | None:
    """Those of the current bundle, where `manifest` is of the same training and has the same headline figure."""
    try:
        before = committed(manifest.name)
    except BundleError:
        return None
    same = HASH.fullmatch(manifest.provenance.git_commit) and _training(before.manifest) == _training(manifest)
    return repeats.read(before.path) if same else None


def _training(manifest: Manifest) -> tuple[Any, ...]:
    """What a manifest tells of its training, and the figure that came of it."""
    made = manifest.provenance
    return made.git_commit, made.hyperparameters, made.device, made.sources, manifest.metrics[0]


def _write_graphs(stage: Path, recipe: Recipe[Any], module: nn.Module) -> tuple[dict[str, Graph], Arrays]:
    """Export and check every graph of the recipe; the graphs as the manifest has them, and the golden arrays."""
    examples = recipe.examples()
    _write_checked(recipe, module, examples, stage / GRAPH)
    graphs = {MAIN: Graph(file=GRAPH, inputs=recipe.inputs, outputs=recipe.outputs, max_batch=recipe.max_batch)}
    golden = {f"in.{name}": array for name, array in examples.items()}
    for name, side in recipe.graphs.items():
        own, path = side.examples() if side.examples else {}, stage / f"{name}.onnx"
        as_main = dataclasses.replace(recipe, inputs=side.inputs or recipe.inputs, outputs=side.outputs)
        _write_checked(as_main, side.of(module).eval(), own or examples, path, stage / GRAPH)
        graphs[name] = Graph(file=path.name, inputs=as_main.inputs, outputs=side.outputs, max_batch=side.max_batch)
        golden |= {f"{name}.in.{tensor}": array for tensor, array in own.items()}
        golden |= {f"{name}.out.{tensor}": array for tensor, array in Predictor(path)(own or examples).items()}
    answered = Predictor(stage / GRAPH, cascade=recipe.cascade)(examples)
    golden |= {f"out.{name}": array for name, array in answered.items()}
    return graphs, golden


def _write_checked(
    recipe: Recipe[Any], module: nn.Module, examples: Arrays, path: Path, main: Path | None = None
) -> None:
    """A graph beside the `main` one leaves to it what weights they share."""
    write_graph(recipe, module, examples, path)
    if main:
        share_weights(path, main)
    check_parity(recipe, module, examples, path)


def _write_assets(stage: Path, found: dict[str, tuple[Asset, bytes]]) -> dict[str, Asset]:
    for asset, content in found.values():
        (stage / asset.file).write_bytes(content)
    return {name: asset for name, (asset, _) in found.items()}


def provenance(recipe: Recipe[H], run: Run[H]) -> Provenance:
    """How this training came to be; what a reader needs to repeat it."""
    on_gpu, here = run.device.type == "cuda", git_commit()
    words = ["run", recipe.name, *(["--device", "cuda"] if on_gpu else [])]
    words += ["--data", recipe.data.source.package] if recipe.data else []
    start = None
    if run.start:
        begun = run.start.manifest
        start = _start(begun)
        words += ["--from", begun.version]
    program = "python" if run.processes == 1 else f"torchrun --nproc-per-node {run.processes}"
    return Provenance(
        recipe=recipe.path,
        command=f"{program} -m training {shlex.join(words)}",
        start=start,
        git_commit=run.git_commit,
        recipe_hash=git_hash(run.git_commit, recipe.path),
        exported_at=here if here != run.git_commit else None,
        seed=run.hyper.seed,
        hyperparameters=recorded(run.hyper),
        sources=tuple(data.provenance(name) for name in recipe.sources),
        libraries={"python": platform.python_version()} | {name: installed(name) for name in LIBRARIES},
        device=torch.cuda.get_device_name(run.device) if on_gpu else "cpu",
        seconds=round(run.seconds, 1),
    )

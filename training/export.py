"""From a trained module to a bundle that has been checked the way the service will use it."""

import dataclasses
import datetime
import logging
import os
import platform
import re
import shlex
import shutil
import tempfile
import warnings
from collections.abc import Iterable
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx_ir.passes.common import RemoveUnusedNodesPass
from torch import nn

from service import bundle
from service.bundle import (
    CARD,
    EXPLANATION,
    GOLDEN,
    GRAPH,
    Arrays,
    Bundle,
    BundleError,
    Manifest,
    Metric,
    Provenance,
    Tensor,
)
from training import data
from training.commit import ROOT, git_commit
from training.recipe import Recipe
from training.report import card, pictures, repeats
from training.report.repeats import Repeats
from training.run import H, Run, recorded

OPSET = 20
PARITY_BATCHES = 1, 2, 5
HASH = re.compile("[0-9a-f]{40}")  # of a commit, and nothing that says that the sources differed from it
LIBRARIES = "numpy", "onnx", "onnxruntime", "torch"

logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns of packages that it could use and does not need


class ExportError(Exception):
    """A graph that is not what the recipe declares, or does not compute what PyTorch computes."""


class Predictor:
    """A graph under ONNX Runtime on the CPU: any number of rows by name to outputs by name, `batch` rows at a time."""

    def __init__(self, graph: Path, batch: int = 256) -> None:
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.batch = batch

    def __call__(self, inputs: Arrays) -> Arrays:
        names = [output.name for output in self.session.get_outputs()]
        rows = len(next(iter(inputs.values())))
        parts = [
            self.session.run(names, {name: array[start : start + self.batch] for name, array in inputs.items()})
            for start in range(0, rows, self.batch)
        ]
        return {name: np.concatenate(column) for name, column in zip(names, zip(*parts, strict=True), strict=True)}


def models_directory() -> Path:
    return Path(os.environ.get("QUARTET_MODELS_DIR") or ROOT / "models")


def committed(name: str) -> Bundle:
    """The bundle that `models/<name>/CURRENT` names. Raises BundleError when there is none or it is corrupt."""
    models = models_directory()
    if name not in bundle.names(models):
        raise BundleError(f"there is no bundle of {name} in {models} yet: python -m training run {name}")
    return bundle.current(models, name)


def export(recipe: Recipe[H], module: nn.Module, run: Run[H]) -> Bundle:
    """Write, check and measure the bundle of a trained module, make it the current one and drop the one before.

    It is staged in a folder beside the versions and renamed, so that no half of a bundle is ever there. The repeats of
    the one before go along where it is of the same training.
    """
    home = models_directory() / recipe.name
    home.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=".staged-", dir=home))
    try:
        stage.chmod(0o755)
        manifest = _fill(stage, recipe, module.cpu().eval(), run)
        stage.rename(home / manifest.version)
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    exported = Bundle(home / manifest.version)
    exported.check_golden(Predictor(exported.graph)(exported.golden()[0]))
    bundle.write_current(models_directory(), recipe.name, manifest.version)
    for other in home.iterdir():
        if other.is_dir() and other.name != manifest.version:
            shutil.rmtree(other)
    return exported


def retrained(recipe: Recipe[H], run: Run[H]) -> Metric:
    """Train, and measure the headline figure through a graph that is not kept."""
    module, examples = recipe.train(run).cpu().eval(), recipe.examples()
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / GRAPH
        write_graph(recipe, module, examples, graph)
        check_parity(recipe, module, examples, graph)
        return recipe.evaluate(Predictor(graph), run.hyper).metrics[0]


def _fill(stage: Path, recipe: Recipe[H], module: nn.Module, run: Run[H]) -> Manifest:
    """Everything a bundle holds, written into `stage`."""
    examples = recipe.examples()
    write_graph(recipe, module, examples, stage / GRAPH)
    check_parity(recipe, module, examples, stage / GRAPH)
    if recipe.explain:
        write_explanation(recipe, module, examples, stage / EXPLANATION)
    predict = Predictor(stage / GRAPH)
    write_golden(examples, predict(examples), stage / GOLDEN)
    evaluation = recipe.evaluate(predict, run.hyper)
    for stem, png in {"learning-curve": pictures.learning_curve(run.curve), **evaluation.pictures}.items():
        (stage / f"{stem}.png").write_bytes(png)
    manifest = Manifest(
        name=recipe.name,
        version=f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}",
        family=recipe.family,
        description=recipe.description,
        task=recipe.task,
        sha256={
            name: bundle.file_sha256(stage / name) for name in (GRAPH, EXPLANATION, GOLDEN) if (stage / name).exists()
        },
        opset=OPSET,
        inputs=recipe.inputs,
        outputs=recipe.outputs,
        explanation=recipe.explanation,
        max_batch=recipe.max_batch,
        tolerance=recipe.tolerance,
        provenance=provenance(recipe, run),
        metrics=evaluation.metrics,
        reference=evaluation.reference,
    )
    bundle.write_manifest(stage, manifest)
    if repeated := _repeats_before(manifest):
        repeats.write(stage, repeated)
    (stage / CARD).write_text(card.render(manifest, recipe.about, card.pictures_in(stage), repeated), encoding="utf-8")
    return manifest


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


def write_graph(recipe: Recipe[Any], module: nn.Module, examples: Arrays, path: Path) -> None:
    """Export `module` under the declared names and axes, as one file that tells nothing of this machine."""
    arguments = tuple(torch.from_numpy(_rows(examples[tensor.name], 3)) for tensor in recipe.inputs)
    axes = tuple({i: axis for i, axis in enumerate(t.shape) if isinstance(axis, str)} for t in recipe.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own deprecations
        program = torch.onnx.export(
            module,
            arguments,
            dynamo=True,
            opset_version=OPSET,
            input_names=[tensor.name for tensor in recipe.inputs],
            output_names=[tensor.name for tensor in recipe.outputs],
            dynamic_shapes=axes,
            verbose=False,
        )
    assert program is not None
    RemoveUnusedNodesPass()(program.model)  # constants that the exporter leaves, of which ONNX Runtime warns
    graph = program.model_proto
    for declared, value in zip(recipe.outputs, graph.graph.output, strict=True):
        _name_axes(declared, value)
    for declared, value in zip((*recipe.inputs, *recipe.outputs), _signature(graph), strict=True):
        _check_declared(declared, value)
    _strip(graph)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save_model(graph, path)


def check_parity(recipe: Recipe[Any], module: nn.Module, examples: Arrays, path: Path) -> None:
    """Raise ExportError unless PyTorch and ONNX Runtime agree at several batch sizes, within the recipe's tolerance."""
    predict = Predictor(path)
    for size in PARITY_BATCHES:
        inputs = {tensor.name: _rows(examples[tensor.name], size) for tensor in recipe.inputs}
        with torch.no_grad():
            answer = module(*(torch.from_numpy(array) for array in inputs.values()))
        expected = answer if isinstance(answer, tuple) else (answer,)
        actual = predict(inputs)
        for tensor, wanted in zip(recipe.outputs, expected, strict=True):
            got = actual[tensor.name]
            if got.dtype != np.dtype(tensor.dtype) or got.shape != tuple(wanted.shape):
                raise ExportError(f"{tensor.name}: ONNX Runtime gives {got.dtype} {got.shape} at batch {size}")
            if not np.allclose(got, wanted.numpy(), atol=recipe.tolerance.atol, rtol=recipe.tolerance.rtol):
                off = float(np.abs(got.astype(np.float64) - wanted.numpy()).max())
                raise ExportError(f"{tensor.name}: PyTorch and ONNX Runtime differ by {off:.3g} at batch {size}")


def write_explanation(recipe: Recipe[Any], module: nn.Module, examples: Arrays, path: Path) -> None:
    """The graph that shows the inside of `module`, exported and checked as the module itself is."""
    assert recipe.explain
    inside = dataclasses.replace(recipe, outputs=recipe.explanation)
    explaining = recipe.explain(module).eval()
    write_graph(inside, explaining, examples, path)
    check_parity(inside, explaining, examples, path)


def write_golden(inputs: Arrays, outputs: Arrays, path: Path) -> None:
    arrays = {f"in.{name}": array for name, array in inputs.items()}
    arrays |= {f"out.{name}": array for name, array in outputs.items()}
    np.savez_compressed(path, allow_pickle=False, **arrays)


def provenance(recipe: Recipe[H], run: Run[H]) -> Provenance:
    """How this training came to be; what a reader needs to repeat it."""
    on_gpu, here = run.device.type == "cuda", git_commit()
    return Provenance(
        recipe=recipe.path,
        command=f"python -m training {shlex.join(['run', recipe.name, *(['--device', 'cuda'] if on_gpu else [])])}",
        git_commit=run.git_commit,
        exported_at=here if here != run.git_commit else None,
        seed=run.hyper.seed,
        hyperparameters=recorded(run.hyper),
        sources=tuple(data.provenance(name) for name in recipe.sources),
        libraries={"python": platform.python_version()} | {name: installed(name) for name in LIBRARIES},
        device=torch.cuda.get_device_name(run.device) if on_gpu else "cpu",
        seconds=round(run.seconds, 1),
    )


def _rows(array: Any, count: int) -> Any:
    """The first `count` rows, from the start again where there are fewer."""
    return np.ascontiguousarray(array[np.arange(count) % len(array)])


def _signature(graph: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    return [*graph.graph.input, *graph.graph.output]


def _name_axes(declared: Tensor, value: onnx.ValueInfoProto) -> None:
    """Give an output's dynamic axes their declared names, where the exporter wrote an expression."""
    for axis, dimension in zip(declared.shape, value.type.tensor_type.shape.dim, strict=False):
        if isinstance(axis, str) and not dimension.HasField("dim_value"):
            dimension.dim_param = axis


def _check_declared(declared: Tensor, value: onnx.ValueInfoProto) -> None:
    """Raise ExportError when the graph's input or output is not the one the recipe declares."""
    dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
    shape = tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim)
    if (value.name, dtype, shape) != (declared.name, declared.dtype, declared.shape):
        raise ExportError(
            f"the graph has {value.name} {dtype} {list(shape)}, "
            f"the recipe declares {declared.name} {declared.dtype} {list(declared.shape)}"
        )


def _strip(message: Any) -> None:
    """Remove what the exporter notes for debugging - stack traces with the paths of this machine - at every level."""
    for field, value in message.ListFields():
        if field.name in ("doc_string", "metadata_props"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in value if isinstance(value, Iterable) else (value,):
                _strip(part)

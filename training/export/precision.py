"""What a bundle comes to in a shorter arithmetic: its own evaluation, once more, beside single precision."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from service import bundle
from service.bundle import GRAPH, Arrays, Bundle, Manifest, Precision
from training.commit import git_commit
from training.export.graph import ExportError
from training.export.half import halved
from training.export.parity import Predictor
from training.export.store import describe, new_version, publish
from training.recipe import Recipe
from training.report.card import pictures_in

FP16, TF32 = "fp16", "tf32"
PRECISIONS = FP16, TF32
HALF_GRAPH = "model.fp16.onnx"
CPU, CUDA = "cpu", "cuda"
PROVIDERS = {CPU: "CPUExecutionProvider", CUDA: "CUDAExecutionProvider"}


@dataclass
class Compared:
    """Two graphs that should give the same: answers are those of the second, and the greatest difference is kept."""

    single: Predictor
    short: Predictor
    difference: dict[str, float] = field(default_factory=dict)

    def __call__(self, inputs: Arrays) -> Arrays:
        expected, given = self.single(inputs), self.short(inputs)
        for name, array in given.items():
            if array.dtype.kind not in "UO":
                self._keep(name, np.abs(array.astype(np.float64) - expected[name]))
        return given

    def _keep(self, name: str, off: np.ndarray[Any, Any]) -> None:
        if not np.isfinite(off).all():
            raise ExportError(f"{name} is no number any more in the shorter precision: this model needs the longer one")
        self.difference[name] = max(self.difference.get(name, 0.0), float(off.max(initial=0.0)))


def measured(recipe: Recipe[Any], before: Bundle, precision: str, provider: str) -> Bundle:
    """A new version with the same graphs that may be run in this precision, and says what comes of it.

    Raises ExportError where it cannot be, or cannot be measured here.
    """
    if before.manifest.cascade:
        raise ExportError(f"{recipe.name} answers by two graphs, and how sure the first is hangs on single precision")
    if precision == TF32 and provider != CUDA:
        raise ExportError("tf32 is an arithmetic of GPUs: measure it with --provider cuda")
    if PROVIDERS[provider] not in onnxruntime.get_available_providers():
        raise ExportError(f"this onnxruntime has no {provider}: install onnxruntime-gpu")
    return publish(recipe.name, lambda stage: _fill(stage, recipe, before, precision, provider))


def _fill(stage: Path, recipe: Recipe[Any], before: Bundle, precision: str, provider: str) -> Manifest:
    for name in (*before.manifest.sha256, *pictures_in(before.path)):
        shutil.copyfile(before.path / name, stage / name)
    if precision == FP16:
        (stage / HALF_GRAPH).write_bytes(halved(before.graph).SerializeToString())
    short = Predictor(stage / (HALF_GRAPH if precision == FP16 else GRAPH))
    short.session = _session(short.graph, precision, provider)
    compared = Compared(Predictor(before.graph), short)
    headline = recipe.evaluate(compared, recipe.hyper).metrics[0]
    found = Precision(
        provider=provider,
        device=torch.cuda.get_device_name() if provider == CUDA else "cpu",
        metric=headline,
        difference=compared.difference,
        file=HALF_GRAPH if precision == FP16 else None,
    )
    hashes = dict(before.manifest.sha256)
    if found.file:
        hashes[found.file] = bundle.file_sha256(stage / found.file)
    changes = {
        "version": new_version(),
        "sha256": hashes,
        "precisions": {**before.manifest.precisions, precision: found},
        "provenance": before.manifest.provenance.model_copy(update={"exported_at": git_commit()}),
    }
    manifest = before.manifest.model_copy(update=changes)
    describe(stage, recipe, manifest)
    return manifest


def _session(graph: Path | bytes, precision: str, provider: str) -> onnxruntime.InferenceSession:
    options = {"use_tf32": str(int(precision == TF32))}
    providers = [PROVIDERS[CPU]] if provider == CPU else [(PROVIDERS[CUDA], options), PROVIDERS[CPU]]
    session = onnxruntime.InferenceSession(graph, providers=providers)
    if session.get_providers()[0] != PROVIDERS[provider]:
        raise ExportError(f"{provider} did not start: check its driver and libraries")
    return session

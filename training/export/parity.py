"""A graph under ONNX Runtime, and whether it computes what PyTorch does."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

from service.bundle import Arrays, Bundle, Cascade
from training.export.front import Front
from training.export.graph import ExportError, first_rows
from training.recipe import Recipe

PARITY_BATCHES = 1, 2, 5


class Predictor:
    """A graph under ONNX Runtime on the CPU: any number of rows by name to outputs by name, `batch` rows at a time.

    With a `cascade` what both its graphs answer together.
    """

    def __init__(self, graph: Path | bytes, batch: int = 256, cascade: Cascade | None = None) -> None:
        self.graph = graph
        self.session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
        self.batch, self.cascade = batch, cascade
        self.second = self.beside(cascade.graph) if cascade else None

    @classmethod
    def of(cls, bundle: Bundle) -> "Predictor":
        """What the bundle answers."""
        return cls(bundle.graph, cascade=bundle.manifest.cascade)

    def __call__(self, inputs: Arrays) -> Arrays:
        if self.cascade and self.second:
            return self.cascade.run(inputs, self._run, self.second, self.batch)
        return self._run(inputs)

    def _run(self, inputs: Arrays) -> Arrays:
        names = [output.name for output in self.session.get_outputs()]
        rows = len(next(iter(inputs.values())))
        parts = [
            self.session.run(names, {name: array[start : start + self.batch] for name, array in inputs.items()})
            for start in range(0, rows, self.batch)
        ]
        return {name: np.concatenate(column) for name, column in zip(names, zip(*parts, strict=True), strict=True)}

    def beside(self, name: str) -> "Predictor":
        """The graph of the same bundle that has this name."""
        assert isinstance(self.graph, Path)
        return Predictor(self.graph.with_name(f"{name}.onnx"), self.batch)


def check_parity(recipe: Recipe[Any], module: nn.Module, examples: Arrays, path: Path) -> None:
    """Raise ExportError unless PyTorch and ONNX Runtime agree at several batch sizes, within the recipe's tolerance."""
    predict, front = Predictor(path), Front(recipe, module)
    for size in PARITY_BATCHES:
        inputs = {tensor.name: first_rows(examples[tensor.name], size) for tensor in recipe.inputs}
        with torch.no_grad():
            answer = module(*(torch.from_numpy(array) for array in front(inputs).values()))
        expected = answer if isinstance(answer, tuple) else (answer,)
        actual = predict(inputs)
        for tensor, wanted in zip(recipe.outputs, expected, strict=True):
            got = actual[tensor.name]
            if got.dtype != np.dtype(tensor.dtype) or got.shape != tuple(wanted.shape):
                raise ExportError(f"{tensor.name}: ONNX Runtime gives {got.dtype} {got.shape} at batch {size}")
            if not np.allclose(got, wanted.numpy(), atol=recipe.tolerance.atol, rtol=recipe.tolerance.rtol):
                off = float(np.abs(got.astype(np.float64) - wanted.numpy()).max())
                raise ExportError(f"{tensor.name}: PyTorch and ONNX Runtime differ by {off:.3g} at batch {size}")

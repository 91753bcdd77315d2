"""Weights that several graphs of a bundle have in common, kept once: in the file of the main graph."""

from pathlib import Path

import onnx
from onnx import TensorProto

LEAST = 256  # bytes that are worth a reference


def share_weights(path: Path, main: Path) -> None:
    """Weights of the graph at `path` that the file `main` beside it holds, too, become references to where they lie."""
    model, content = onnx.load(path), main.read_bytes()
    for weights in model.graph.initializer:
        if len(weights.raw_data) >= LEAST and (start := content.find(weights.raw_data)) >= 0:
            _refer(weights, main.name, start)
    path.write_bytes(model.SerializeToString())


def _refer(weights: TensorProto, file: str, start: int) -> None:
    length = len(weights.raw_data)
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in {"location": file, "offset": start, "length": length}.items():
        weights.external_data.add(key=key, value=str(value))

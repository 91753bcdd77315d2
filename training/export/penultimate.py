"""What a committed classifier makes of pictures just before its last layer."""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from service.bundle import Bundle
from training.export.graph import ExportError
from training.export.parity import Predictor


def features(classifier: Bundle, image_NHW: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, D], the input of the last dense layer. Raises ExportError where the graph has none."""
    rows: NDArray[np.float32] = next(iter(Predictor(_cut(classifier.graph))({"image": image_NHW}).values()))
    return rows


def _cut(graph: Path) -> bytes:
    """The graph up to the input of its last dense layer."""
    model = onnx.load(graph)
    dense = [node for node in model.graph.node if node.op_type == "Gemm"]
    if not dense:
        raise ExportError(f"{graph} has no dense layer whose input could be looked at")
    names = [value.name for value in model.graph.input]
    part = onnx.utils.Extractor(model).extract_model(names, [dense[-1].input[0]])
    return bytes(part.SerializeToString())

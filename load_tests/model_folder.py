"""A models folder that a test fills while the service runs: versions that say which they are, and broken ones."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from load_tests.wire import request
from service import bundle
from service.bundle import Axis, Tensor, TensorPrediction
from tests.bundle_writer import write

STEP, MILL, PRESS = "step", "mill", "press"
SIDE, TURNS = 512, 256
PRESSES = 16
SMALL = request(
    "POST", f"/v1/models/{STEP}/predict", b'{"inputs": {"x": [[1, 2, 3]]}}', content_type="application/json"
)


class ModelFolder:
    """Three models: `step`, whose version n answers x + n; `mill`, which is slow and turns a row by TURNS places; and
    `press`, which takes rows of any length and fails at those that hold a number above 1.
    """

    def __init__(self, folder: Path) -> None:
        self.models, self._staging = folder / "models", folder / "staging"
        self.newest = 0
        self.add()
        _mill(self.models)
        _press(self.models)

    def add(self, spoil: Callable[[Path], None] | None = None) -> int:
        """Write the next version of `step`, spoil it, make it current; its number."""
        self.newest += 1
        version = str(self.newest)
        staged = _step(self._staging, self.newest)
        if spoil is not None:
            spoil(staged)
        (self.models / STEP).mkdir(parents=True, exist_ok=True)
        staged.replace(self.models / STEP / version)
        bundle.write_current(self.models, STEP, version)
        return self.newest


def _step(models: Path, version: int) -> Path:
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    return write(
        models,
        STEP,
        TensorPrediction(),
        [helper.make_node("Add", ["x", "step"], ["y"])],
        {"step": np.array(version, np.float32)},
        [Tensor(name="x", dtype="float32", shape=("batch", 3))],
        [Tensor(name="y", dtype="float32", shape=("batch", 3))],
        ({"x": x}, {"y": x + np.float32(version)}),
        version=str(version),
    )


def _mill(models: Path) -> Path:
    """Matrix products one after the other, each of which turns the row by one place."""
    x = np.random.default_rng(0).normal(size=(2, SIDE)).astype(np.float32)
    names = ["x", *(f"turned{i}" for i in range(1, TURNS)), "y"]
    steps = [helper.make_node("MatMul", [a, "turn"], [b]) for a, b in zip(names, names[1:], strict=False)]
    return write(
        models,
        MILL,
        TensorPrediction(),
        steps,
        {"turn": np.roll(np.eye(SIDE, dtype=np.float32), 1, axis=1)},
        [Tensor(name="x", dtype="float32", shape=("batch", SIDE))],
        [Tensor(name="y", dtype="float32", shape=("batch", SIDE))],
        ({"x": x}, {"y": np.roll(x, TURNS, axis=1)}),
        max_batch=1,
    )


def _press(models: Path) -> Path:
    """Sines of sines, PRESSES times; and a look-up of the largest number in a table of two ones."""
    x = np.random.default_rng(0).uniform(0, 1, (2, 8)).astype(np.float32)
    names = ["x", *(f"pressed{i}" for i in range(PRESSES))]
    steps = [helper.make_node("Sin", [a], [b]) for a, b in zip(names, names[1:], strict=False)]
    look_up = [
        helper.make_node("ReduceMax", ["x"], ["top"], keepdims=0),
        helper.make_node("Ceil", ["top"], ["next"]),
        helper.make_node("Cast", ["next"], ["place"], to=onnx.TensorProto.INT64),
        helper.make_node("Gather", ["ones", "place"], ["one"]),
        helper.make_node("Mul", [names[-1], "one"], ["y"]),
    ]
    y = x
    for _ in range(PRESSES):
        y = np.sin(y)
    return write(
        models,
        PRESS,
        TensorPrediction(),
        [*steps, *look_up],
        {"ones": np.ones(2, np.float32)},
        [Tensor(name="x", dtype="float32", shape=("batch", "length"))],
        [Tensor(name="y", dtype="float32", shape=("batch", "length"))],
        ({"x": x}, {"y": y}),
        axes={"length": Axis(most=2**20)},
        max_batch=1,
    )


def wrong_hash(version: Path) -> None:
    """A byte of the graph has changed on its way."""
    graph = bytearray((version / bundle.GRAPH).read_bytes())
    graph[-1] ^= 1
    (version / bundle.GRAPH).write_bytes(graph)


def truncated_graph(version: Path) -> None:
    """Half a graph, whose manifest was written afterwards: its hash is right."""
    graph = (version / bundle.GRAPH).read_bytes()
    _rewrite(version, bundle.GRAPH, graph[: len(graph) // 2])


def other_golden(version: Path) -> None:
    """A graph that does not compute what it did when it was exported."""
    model = onnx.load(version / bundle.GRAPH)
    model.graph.node[0].op_type = "Sub"
    _rewrite(version, bundle.GRAPH, model.SerializeToString())


def golden_of_other_names(version: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros(3))
    _rewrite(version, bundle.GOLDEN, buffer.getvalue())


def bad_manifest(version: Path) -> None:
    manifest = json.loads((version / bundle.MANIFEST).read_bytes())
    (version / bundle.MANIFEST).write_text(json.dumps(manifest | {"colour": "green"}))


def no_manifest(version: Path) -> None:
    (version / bundle.MANIFEST).unlink()


def no_graph(version: Path) -> None:
    (version / bundle.GRAPH).unlink()


def _rewrite(version: Path, file: str, content: bytes) -> None:
    (version / file).write_bytes(content)
    manifest = json.loads((version / bundle.MANIFEST).read_bytes())
    manifest["sha256"][file] = hashlib.sha256(content).hexdigest()
    (version / bundle.MANIFEST).write_text(json.dumps(manifest))


SPOILS = (wrong_hash, truncated_graph, bad_manifest, other_golden, no_manifest, no_graph, golden_of_other_names)

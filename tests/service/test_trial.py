"""A version is tried where it harms nobody: what never ends or takes all memory is refused, the others are served."""

import asyncio
import shutil
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from service.bundle import Arrays, Tensor, TensorPrediction
from service.engine.repository import Repository
from service.engine.trial import Trials, key_of
from service.metrics import Metrics
from service.settings import Settings
from tests import bundle_writer, toys
from tests.service.test_residents import miscalculating


def endless(models: Path) -> Path:
    """A loop whose condition stays true."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Identity", ["before"], ["after"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("before", TensorProto.FLOAT, ["batch", 1]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("after", TensorProto.FLOAT, ["batch", 1]),
        ],
    )
    loop = helper.make_node("Loop", ["", "true", "x"], ["y"], body=body)
    return write(models, "toy-endless", [loop], {"true": np.array(True)})


def greedy(models: Path) -> Path:
    """An array of 4 TB."""
    nodes = [
        helper.make_node("Expand", ["x", "huge"], ["much"]),
        helper.make_node("Add", ["much", "much"], ["more"]),
        helper.make_node("ReduceSum", ["more", "axes"], ["y"], keepdims=1),
    ]
    return write(models, "toy-greedy", nodes, {"huge": np.array([1, 2**40]), "axes": np.array([1])})


def write(models: Path, name: str, nodes: list[object], constants: Arrays) -> Path:
    x, y = (Tensor(name=one, dtype="float32", shape=("batch", 1)) for one in "xy")
    one: Arrays = {"x": np.ones((1, 1), np.float32)}
    return bundle_writer.write(models, name, TensorPrediction(), nodes, constants, [x], [y], (one, {"y": one["x"]}))  # type: ignore[arg-type]


def test_what_never_ends_or_takes_all_memory_is_refused_and_the_others_are_served(tmp_path: Path) -> None:
    endless(tmp_path)
    greedy(tmp_path)
    toys.tensors(tmp_path)
    miscalculating(tmp_path, "toy-wrong")  # nobody has to ask it first
    settings, metrics = Settings(models_dir=tmp_path, threads=1, trial_s=5), Metrics()
    repository = Repository(settings, metrics, Trials(settings, metrics))
    asyncio.run(repository.load())
    assert list(repository.models) == ["toy-tensors"]
    reasons = {entry.name: entry.reason for entry in repository.index()}
    assert "takes more than 5 s" in reasons["toy-endless"]
    assert "does not reproduce its golden output" in reasons["toy-wrong"]
    assert "more than the" in reasons["toy-greedy"] or "ended the process" in reasons["toy-greedy"], reasons
    assert not repository.ready


def test_workers_share_verdicts(tmp_path: Path) -> None:
    folder = toys.tensors(tmp_path / "models")
    metrics = Metrics()
    metrics.shared = tmp_path / "shared"
    settings = Settings(models_dir=tmp_path / "models")
    verdict = Trials(settings, metrics).verdict(key_of(folder, "as it was"), folder)
    assert verdict.reason == ""
    assert 0 < verdict.size < 2**23  # a few numbers, and what the first session takes for all
    shutil.rmtree(folder)
    assert Trials(settings, metrics).verdict(key_of(folder, "as it was"), folder) == verdict
    assert "is missing" in Trials(settings, metrics).verdict(key_of(folder, "changed"), folder).reason

"""Sessions run graphs that fit their manifests, within the cores that the process may use."""

import logging
import os
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from service.bundle import GRAPH, MAIN, Bundle, BundleError, Tensor, file_sha256, repeat_rows
from service.engine.session import ProviderError, Session
from service.quota import cpu_quota
from tests import toys


def test_outputs_come_by_name(tmp_path: Path) -> None:
    session = Session(Bundle(toys.tensors(tmp_path)), "cpu", 1)
    answer = session.run({"x": np.ones((1, 3), np.float32), "k": np.array([4])})
    np.testing.assert_array_equal(answer["y"], [[6, 6, 6]])
    assert session.provider == "cpu"


@pytest.mark.parametrize("rows", [1, 2, 5, 8])
def test_a_row_has_the_same_answer_in_every_batch(tmp_path: Path, rows: int) -> None:
    session = Session(Bundle(toys.digits(tmp_path)), "cpu", 1)
    images = np.random.default_rng(0).integers(0, 256, (rows, 28, 28)).astype(np.float32)
    together = session.run({"image": images})["probabilities"]
    alone = np.concatenate([session.run({"image": image[None]})["probabilities"] for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_a_graph_that_does_not_load_is_named(tmp_path: Path) -> None:
    folder = toys.tensors(tmp_path)
    bundle, graph = Bundle(folder), (folder / GRAPH).read_bytes()
    for damaged in (b"no graph", graph[: len(graph) // 2], b""):
        (folder / GRAPH).write_bytes(damaged)
        with pytest.raises(BundleError, match="model.onnx does not load"):
            Session(bundle, "cpu", 1)


@pytest.mark.parametrize("where", ["initializer", "constant"])
def test_weights_in_another_file_are_refused_for_no_hash_pins_them(tmp_path: Path, where: str) -> None:
    folder = toys.tensors(tmp_path)
    model = onnx.load(folder / GRAPH)
    weights = model.graph.initializer[0]
    outside = onnx.TensorProto(name=weights.name, data_type=weights.data_type, dims=weights.dims)
    (folder / "weights").write_bytes(onnx.numpy_helper.to_array(weights).tobytes())
    outside.external_data.add(key="location", value="weights")
    outside.data_location = onnx.TensorProto.EXTERNAL
    model.graph.initializer.remove(weights)
    if where == "initializer":
        model.graph.initializer.append(outside)
    else:
        model.graph.node.insert(0, onnx.helper.make_node("Constant", [], [weights.name], value=outside))
    bundle = Bundle(folder)
    (folder / GRAPH).write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="weights lie in another file, save it with all of them inside"):
        Session(bundle, "cpu", 1)


def test_weights_of_a_graph_beside_the_main_one_may_lie_in_its_file(tmp_path: Path) -> None:
    folder = toys.doubtful(tmp_path)
    bundle, x = Bundle(folder), np.array([[-1, 2, 0], [-1, 2, 1]], np.float32)
    second = onnx.load(folder / "second-look.onnx")
    weights = next(one for one in second.graph.initializer if one.name == "factors")
    main = (folder / GRAPH).read_bytes()
    (folder / GRAPH).write_bytes(main + weights.raw_data)
    for key, value in {"location": GRAPH, "offset": len(main), "length": len(weights.raw_data)}.items():
        weights.external_data.add(key=key, value=str(value))
    weights.ClearField("raw_data")
    weights.data_location = onnx.TensorProto.EXTERNAL
    (folder / "second-look.onnx").write_bytes(second.SerializeToString())
    found = Session(bundle, "cpu", 1, "second-look").run({"x": x})
    np.testing.assert_array_equal(found["y"], x * np.array([[-10], [-20]]))
    (folder / GRAPH).write_bytes(main)
    with pytest.raises(BundleError, match="does not load"):
        Session(bundle, "cpu", 1, "second-look")


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_graph_that_does_not_fit_its_manifest_is_refused(tmp_path: Path, side: str) -> None:
    other = (Tensor(name="other", dtype="float32", shape=("batch", 3)),)
    folder = toys.tensors(tmp_path)
    graph = Bundle(folder).manifest.graphs[MAIN].model_copy(update={side: other})
    folder = toys.tensors(tmp_path / "changed", changes={"graphs": {MAIN: graph}})
    with pytest.raises(BundleError, match="its manifest says"):
        Session(Bundle(folder), "cpu", 1)


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU")
def test_without_a_gpu_cuda_refuses_and_auto_falls_back(tmp_path: Path) -> None:
    bundle = Bundle(toys.tensors(tmp_path))
    with pytest.raises(ProviderError, match="cuda|CUDA"):
        Session(bundle, "cuda", 1)
    assert Session(bundle, "auto", 1).provider == "cpu"


OF_NVIDIA = {"CUDAExecutionProvider", "TensorrtExecutionProvider"}  # which their wheel alone does not start
OTHERS = sorted(set(onnxruntime.get_available_providers()) - OF_NVIDIA - {"CPUExecutionProvider"})


@pytest.mark.parametrize("provider", OTHERS)
def test_other_providers_are_had_by_their_own_names(tmp_path: Path, provider: str) -> None:
    session = Session(Bundle(toys.tensors(tmp_path)), provider, 1)
    assert session.provider == provider
    np.testing.assert_array_equal(session.run({"x": np.ones((1, 3), np.float32), "k": np.array([4])})["y"], [[6, 6, 6]])


def test_a_provider_that_this_onnxruntime_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="NoSuchExecutionProvider was asked for"):
        Session(Bundle(toys.tensors(tmp_path)), "NoSuchExecutionProvider", 1)


@pytest.mark.parametrize(
    ("level", "told"), [("DEBUG", True), ("INFO", True), ("WARNING", True), ("ERROR", False), ("CRITICAL", False)]
)
def test_what_onnx_runtime_warns_of_follows_the_level_of_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], level: str, told: bool
) -> None:
    folder = toys.tensors(tmp_path)
    model = onnx.load(folder / GRAPH)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(3, np.float32), "unused"))
    bundle = Bundle(folder)
    (folder / GRAPH).write_bytes(model.SerializeToString())
    logger = logging.getLogger("service.engine.session")
    before = logger.level
    logger.setLevel(level)
    try:
        Session(bundle, "cpu", 1)
    finally:
        logger.setLevel(before)
    assert ("unused" in capfd.readouterr().err) == told


def test_rows_are_repeated_to_fill_a_batch() -> None:
    assert repeat_rows({"x": np.array([1, 2, 3])}, 7)["x"].tolist() == [1, 2, 3, 1, 2, 3, 1]


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, 10**6),
        ({"cpu.max": "nonsense"}, 10**6),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 10**6),
        ({}, 10**6),
    ],
)
def test_threads_are_counted_by_the_quota_not_the_host(tmp_path: Path, files: dict[str, str], cores: int) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    assert cpu_quota(tmp_path) == min(cores, len(os.sched_getaffinity(0)))


def test_hashes_are_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert file_sha256(tmp_path / "empty").startswith("e3b0c44298fc1c14")

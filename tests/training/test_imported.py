"""Anybody's ONNX file becomes a bundle that is served, or its owner is told what to do about it."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from service.bundle import Bundle, write_current
from service.engine.repository import Repository
from service.metrics import Metrics
from service.settings import Settings
from training.__main__ import main

WEIGHTS = np.random.default_rng(1).normal(0, 1, (6, 3)).astype(np.float32)


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setenv("QUARTET_MODELS_DIR", str(folder))
    return folder


def saved(
    path: Path,
    nodes: list[onnx.NodeProto],
    given: tuple[Any, ...] = ("n", 6),
    got: tuple[Any, ...] = ("n", 3),
    kind: int = TensorProto.FLOAT,
    **constants: NDArray[np.generic],
) -> str:
    graph = helper.make_graph(
        nodes,
        "anybody's",
        [helper.make_tensor_value_info("x", kind, given)],
        [helper.make_tensor_value_info("y", kind, got)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return str(path)


def product(path: Path, **shapes: Any) -> str:
    return saved(path, [helper.make_node("MatMul", ["x", "w"], ["y"])], w=WEIGHTS, **shapes)


def pictures(path: Path) -> str:
    nodes = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])]
    return saved(path, nodes, (1, 2, 3), (1, 3), w=WEIGHTS)


def only(models: Path, name: str = "anybodys") -> Bundle:
    (folder,) = (models / name).iterdir()
    return Bundle(folder)


def test_names_types_and_axes_are_read_and_the_rest_is_said_to_be_missing(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["import", product(tmp_path / "model.onnx"), "--name", "anybodys"])
    found = only(models)
    (given,), (got,) = found.manifest.inputs, found.manifest.outputs
    assert (given.name, given.dtype, given.shape) == ("x", "float32", ("batch", 6))
    assert (got.name, got.dtype, got.shape) == ("y", "float32", ("batch", 3))
    inputs, outputs = found.golden()
    np.testing.assert_allclose(outputs["y"], inputs["x"] @ WEIGHTS, rtol=1e-5)
    told = capsys.readouterr().out
    assert "missing: --licence TEXT" in told
    assert f"python -m service release promote anybodys {found.path.name} --force" in told


def test_what_is_told_is_kept(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "rows.npz"
    np.savez(rows, x=np.arange(12, dtype=np.float64).reshape(2, 6))
    words = ["--range", "0", "12", "--rows", str(rows), "--licence", "CC0", "--address", "https://example.org"]
    main(["import", product(tmp_path / "m.onnx"), "--name", "anybodys", *words, "--description", "A product."])
    manifest = only(models).manifest
    assert manifest.inputs[0].range == (0, 12)
    assert manifest.description == "A product."
    assert (manifest.provenance.sources[0].licence, manifest.provenance.sources[0].address) == (
        "CC0",
        "https://example.org",
    )
    assert only(models).golden()[0]["x"].tolist() == np.arange(12).reshape(2, 6).tolist()
    missing = [line for line in capsys.readouterr().out.splitlines() if line.startswith("missing")]
    assert missing == ["missing: held-out figures: it is measured on nothing, and no gate can judge it"]


def test_a_classifier_of_pictures_answers_in_the_service(models: Path, tmp_path: Path) -> None:
    path = pictures(tmp_path / "m.onnx")
    main(
        [
            "import",
            path,
            "--name",
            "pets",
            "--kind",
            "images",
            "--labels",
            "cat,dog,cow",
            "--range",
            "0",
            "255",
            "--softmax",
        ]
    )
    found = only(models, "pets")
    assert found.manifest.inputs[0].shape == ("batch", 2, 3)
    np.testing.assert_allclose(found.golden()[1]["probabilities"].sum(1), 1, rtol=1e-5)
    write_current(models, "pets", found.path.name)
    repository = Repository(Settings(models_dir=models, threads=1), Metrics())
    asyncio.run(repository.load())
    assert repository.models["pets"].manifest.version == found.path.name


def test_an_axis_without_number_is_as_long_as_its_owner_says(models: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "m.onnx", [helper.make_node("Relu", ["x"], ["y"])], ("n", "length"), ("n", "length"))
    main(["import", path, "--name", "anybodys", "--axis", "length=2:50"])
    manifest = only(models).manifest
    assert (manifest.axes["length"].least, manifest.axes["length"].most) == (2, 50)


def fixed(path: Path) -> str:
    return saved(path, [helper.make_node("Reshape", ["x", "s"], ["y"])], (1, 6), (1, 6), s=np.array([1, 6]))


def lengthy(path: Path) -> str:
    return saved(path, [helper.make_node("Relu", ["x"], ["y"])], ("n", "length"), ("n", "length"))


def small(path: Path) -> str:
    return saved(path, [helper.make_node("Relu", ["x"], ["y"])], ("n", 2), ("n", 2), TensorProto.INT8)


def infinite(path: Path) -> str:
    return saved(path, [helper.make_node("Div", ["x", "z"], ["y"])], ("n", 2), ("n", 2), z=np.zeros(1, np.float32))


def summed(path: Path) -> str:
    return saved(path, [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=1)], ("n", 2), (1, 1))


def averaged(path: Path) -> str:
    nodes = [helper.make_node("ReduceMean", ["x", "a"], ["m"]), helper.make_node("Sub", ["x", "m"], ["y"])]
    return saved(path, nodes, ("n", 2), ("n", 2), a=np.array([0]))


def garbage(path: Path) -> str:
    path.write_bytes(b"nothing that is a graph")
    return str(path)


@pytest.mark.parametrize(
    ("make", "words", "said"),
    [
        (garbage, [], "is no valid ONNX file"),
        (fixed, [], "does not run on one row and on several"),
        (lengthy, [], "say which there are, --axis length=LEAST:MOST"),
        (product, ["--axis", "width=1:2"], "--axis width: the graph has no axis without number"),
        (small, [], "the input 'x' is of a type that is not served"),
        (infinite, [], "is not finite for the golden rows"),
        (summed, [], "does not give a row for each row"),
        (averaged, [], "answered otherwise alone than in a batch"),
        (pictures, ["--kind", "images"], "--kind images needs --labels"),
        (product, ["--kind", "images", "--labels", "a,b,c"], r"this graph takes \['batch', 6\]: transpose it"),
        (pictures, ["--kind", "images", "--labels", "a,b,c"], "--softmax makes probabilities of scores"),
        (pictures, ["--kind", "images", "--labels", "a,b", "--softmax"], r"must give `probabilities` \[batch, 2,"),
        (pictures, ["--kind", "digits", "--labels", "a,b,c", "--softmax"], "labels that are whole numbers"),
        (product, ["--rows", "nowhere.npz"], "must be an .npz with arrays x"),
    ],
)
def test_what_will_not_do_is_told_and_leaves_nothing(
    models: Path, tmp_path: Path, make: Any, words: list[str], said: str
) -> None:
    with pytest.raises(SystemExit, match=said):
        main(["import", make(tmp_path / "m.onnx"), "--name", "anybodys", *words])
    assert not [*models.glob("*/*")]


@pytest.mark.parametrize("name", ["../x", "Upper", ""])
def test_a_name_is_no_path(models: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(SystemExit, match="small letters, digits and hyphens"):
        main(["import", product(tmp_path / "m.onnx"), "--name", name])


def test_a_file_that_is_not_there_is_named(models: Path) -> None:
    with pytest.raises(SystemExit, match="nowhere.onnx cannot be read: No such file"):
        main(["import", "nowhere.onnx", "--name", "anybodys"])


def strange(
    path: Path, nodes: list[onnx.NodeProto], given: list[Any], got: list[Any], opset: int = 17, ir: int = 8
) -> str:
    """A file as some exporters leave them, with the weights W [6, 3]."""
    graph = helper.make_graph(nodes, "strange", given, got, [numpy_helper.from_array(WEIGHTS, "W")])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=ir), path)
    return str(path)


def candidate(models: Path, file: str, *words: str) -> Bundle:
    main(["import", file, "--name", "strange", *words])
    return Bundle(next(path for path in (models / "strange").iterdir() if path.is_dir()))


VALUE = helper.make_tensor_value_info


def test_a_graph_of_texts_is_taken(models: Path, tmp_path: Path) -> None:
    label = helper.make_node(
        "LabelEncoder", ["s"], ["y"], domain="ai.onnx.ml", keys_strings=["text"], values_floats=[2.0], default_float=0.0
    )
    file = strange(
        tmp_path / "a.onnx",
        [label],
        [VALUE("s", TensorProto.STRING, [None, 1])],
        [VALUE("y", TensorProto.FLOAT, [None, 1])],
    )
    made = candidate(models, file)
    assert made.manifest.inputs[0].dtype == "string"
    assert made.golden()[1]["y"].tolist() == [[2.0]] * 4


def test_probabilities_in_dictionaries_become_numbers(models: Path, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["p"]),
        helper.make_node("ZipMap", ["p"], ["chances"], domain="ai.onnx.ml", classlabels_strings=["a", "b", "c"]),
    ]
    chance = helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    got = helper.make_value_info("chances", helper.make_sequence_type_proto(chance))
    made = candidate(models, strange(tmp_path / "a.onnx", nodes, [VALUE("x", TensorProto.FLOAT, [None, 6])], [got]))
    inputs, outputs = made.golden()
    np.testing.assert_allclose(outputs["chances"], inputs["x"] @ WEIGHTS, rtol=1e-5)


def test_halves_come_and_go_as_float32(models: Path, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["f", "W"], ["g"]),
        helper.make_node("Cast", ["g"], ["y"], to=TensorProto.FLOAT16),
    ]
    given, got = VALUE("x", TensorProto.FLOAT16, ["n", 6]), VALUE("y", TensorProto.FLOAT16, ["n", 3])
    made = candidate(models, strange(tmp_path / "a.onnx", nodes, [given], [got]))
    assert [one.dtype for one in (*made.manifest.inputs, *made.manifest.outputs)] == ["float32", "float32"]
    inputs, outputs = made.golden()
    np.testing.assert_allclose(outputs["y"], inputs["x"] @ WEIGHTS, atol=0.02)


def test_an_old_file_and_one_whose_output_has_no_axes_are_taken(models: Path, tmp_path: Path) -> None:
    product = [helper.make_node("MatMul", ["x", "W"], ["y"])]
    given = [VALUE("x", TensorProto.FLOAT, [1, 6])]
    old = candidate(models, strange(tmp_path / "a.onnx", product, given, [VALUE("y", TensorProto.FLOAT, [1, 3])], 7, 3))
    assert old.manifest.opset == 7
    mean = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2], keepdims=0)]
    given = [VALUE("x", TensorProto.FLOAT, [None, None, None, 3])]
    file = strange(tmp_path / "b.onnx", mean, given, [VALUE("y", TensorProto.FLOAT, None)], 13)
    main(["import", file, "--name", "means", "--axis", "x-1=2:9", "--axis", "x-2=2:9"])
    (version,) = (models / "means").iterdir()
    assert Bundle(version).golden()[1]["y"].shape == (4, 3)

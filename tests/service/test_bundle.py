"""The contract refuses what must not be served, and says which file is at fault."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from service import bundle
from service.bundle import Attribute, Bundle, BundleError, Histogram, Manifest, Tensor
from tests import toys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return toys.tensors(tmp_path)


def edit(folder: Path, **changes: Any) -> None:
    path = folder / bundle.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_bundle_is_read_as_it_was_written(folder: Path) -> None:
    read = Bundle(folder)
    assert read.manifest == Manifest.model_validate_json((folder / bundle.MANIFEST).read_bytes())
    assert read.card == "# A toy\n"
    inputs, outputs = read.golden()
    np.testing.assert_array_equal(outputs["y"], 2 * inputs["x"] + inputs["k"][:, None])


@pytest.mark.parametrize("name", [bundle.MANIFEST, bundle.GRAPH, bundle.GOLDEN, bundle.CARD])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing: restore"):
        Bundle(folder)


@pytest.mark.parametrize("name", [bundle.GRAPH, bundle.GOLDEN])
def test_a_file_of_another_hash_is_named(folder: Path, name: str) -> None:
    with (folder / name).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleError, match=f"{name} does not have the sha256"):
        Bundle(folder)


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"colour": "red"}, "colour"),
        ({"schema_version": 3}, "schema_version"),
        ({"name": "Not A Name"}, "name"),
        ({"version": "../1"}, "version"),
        ({"metrics": []}, "metrics"),
        ({"graphs": {}}, "document"),
        ({"sha256": {}}, "document"),
        ({"task": {"kind": "astrology"}}, "task"),
    ],
)
def test_a_manifest_for_another_contract_is_refused_where_it_differs(
    folder: Path, changes: dict[str, Any], where: str
) -> None:
    edit(folder, **changes)
    with pytest.raises(BundleError, match=f"breaks the bundle contract at .*{where}"):
        Bundle(folder)


def test_a_manifest_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / bundle.MANIFEST).write_text("{")
    with pytest.raises(BundleError, match="breaks the bundle contract"):
        Bundle(folder)


def test_a_renamed_folder_is_refused(folder: Path) -> None:
    with pytest.raises(BundleError, match="toy-tensors/1: folder renamed"):
        Bundle(folder.rename(folder.with_name("2")))


def test_outputs_beside_the_golden_ones_are_refused(folder: Path) -> None:
    read = Bundle(folder)
    _, golden = read.golden()
    read.check_golden(golden)
    read.check_golden({"y": golden["y"] + np.float32(5e-5)})
    for wrong in (golden["y"] + np.float32(0.5), golden["y"] * np.nan):
        with pytest.raises(BundleError, match="golden output 'y'"):
            read.check_golden({"y": wrong})


def test_current_names_the_version_to_serve(folder: Path, tmp_path: Path) -> None:
    assert bundle.current_version(tmp_path, "toy-tensors") == "1"
    bundle.write_current(tmp_path, "toy-tensors", "2")
    assert bundle.current_version(tmp_path, "toy-tensors") == "2"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["1", "CURRENT"]


@pytest.mark.parametrize("content", ["", "../../etc", "a/b", ".hidden"])
def test_a_current_that_is_no_version_is_refused(folder: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "toy-tensors" / bundle.CURRENT).write_text(content)
    with pytest.raises(BundleError, match="which is no version"):
        bundle.current_version(tmp_path, "toy-tensors")


def test_a_model_without_current_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="CURRENT is missing"):
        bundle.current_version(tmp_path, "nobody")


def test_names_are_those_that_have_a_current_version(toy_models: Path) -> None:
    assert bundle.names(toy_models) == sorted(toys.NAMES)
    assert bundle.names(toy_models / "nowhere") == []


@pytest.mark.parametrize(
    ("record", "fields"),
    [
        (Tensor, {"name": "x", "dtype": "float32", "shape": (1, 3)}),
        (Tensor, {"name": "x", "dtype": "float32", "shape": ()}),
        (Tensor, {"name": "x", "dtype": "float16", "shape": ("batch",)}),
        (Attribute, {"name": "a", "description": ""}),
        (Attribute, {"name": "a", "description": "", "range": (0, 1), "values": ("x",), "codes": ("y",)}),
        (Attribute, {"name": "a", "description": "", "values": ("x", "y"), "codes": ("z",)}),
        (Histogram, {"feature": "f", "edges": (0, 1), "counts": (1, 2)}),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(record: Any, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        record(**fields)


def test_the_manifest_is_frozen(folder: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Bundle(folder).manifest.name = "other"

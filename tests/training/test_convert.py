"""Manifests of schema version 1 become what this version reads, and the graphs still answer as they did."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.bundle import MAIN, MANIFEST, Bundle, BundleError
from service.engine.session import Session
from tests import toys
from training.convert import convert


def as_version_1(folder: Path, **task: Any) -> Path:
    """Write the manifest of a toy as the first schema had it."""
    path = folder / MANIFEST
    document = json.loads(path.read_text())
    graphs = document.pop("graphs")
    del document["axes"], document["assets"]
    main = graphs.pop(MAIN)
    document |= {key: main[key] for key in ("inputs", "outputs", "max_batch")}
    if graphs:
        explained = graphs["explanation"]
        (folder / explained["file"]).rename(folder / "explain.onnx")
        document["sha256"]["explain.onnx"] = document["sha256"].pop(explained["file"])
    document["explanation"] = graphs["explanation"]["outputs"] if graphs else []
    document["task"] |= task
    path.write_text(json.dumps(document | {"schema_version": 1}))
    return folder


@pytest.mark.parametrize("toy", [toys.wary, toys.ct, toys.tensors])
def test_a_converted_bundle_gives_its_golden_outputs(tmp_path: Path, toy: Any) -> None:
    before = Bundle(toy(tmp_path / "before")).manifest
    sides = {"min_side": 16, "max_side": 1024} if toy is toys.ct else {}
    folder = as_version_1(toy(tmp_path / "after"), **sides)
    with pytest.raises(BundleError, match=f"schema version 1: run python -m training convert {folder}"):
        Bundle(folder)
    assert convert(folder)
    bundle = Bundle(folder)
    assert (bundle.manifest.task, bundle.manifest.axes) == (before.task, before.axes)
    for name in bundle.manifest.graphs:
        inputs, _ = bundle.golden(name)
        bundle.check_golden(Session(bundle, "cpu", 1, name).run(inputs), name)
    assert not convert(folder)


def test_what_is_no_manifest_of_that_version_is_refused(tmp_path: Path) -> None:
    folder = as_version_1(toys.tensors(tmp_path))
    document = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(document | {"colour": "red"}))
    with pytest.raises(BundleError, match="cannot be converted"):
        convert(folder)

"""Manifests of schema version 1 written anew as version 2 has them: named graphs, and axes that say what they are.

What the graphs compute, the version and the hashes stay as they are; only `bundle.json` changes.
"""

import json
from pathlib import Path
from typing import Any

from service.bundle import EXPLANATION, GRAPH, MAIN, MANIFEST, Bundle, BundleError, Manifest, write_manifest

EXPLANATION_FILE, EXPLAINED_AT_ONCE = "explain.onnx", 16
MOST = 4096  # places along an axis of which version 1 did not say how long it may be


def convert(folder: Path) -> bool:
    """Whether there was something to convert in the folder of this version. Raises BundleError where that fails."""
    document = json.loads((folder / MANIFEST).read_text())
    if document.get("schema_version") != 1:
        return False
    try:
        manifest = Manifest.model_validate(_converted(document))
    except (KeyError, ValueError) as error:
        raise BundleError(f"{folder / MANIFEST} cannot be converted: {error}") from error
    write_manifest(folder, manifest)
    Bundle(folder)
    return True


def _converted(old: dict[str, Any]) -> dict[str, Any]:
    inputs, task = old.pop("inputs"), old["task"]
    main = {"file": GRAPH, "inputs": inputs, "outputs": old.pop("outputs"), "max_batch": old.pop("max_batch", 64)}
    graphs = {MAIN: main}
    if outputs := old.pop("explanation", []):
        graphs[EXPLANATION] = {
            "file": EXPLANATION_FILE,
            "inputs": inputs,
            "outputs": outputs,
            "max_batch": EXPLAINED_AT_ONCE,
        }
    axis = {"least": task.pop("min_side", 1), "most": task.pop("max_side", MOST)}
    names = {side for tensor in inputs for side in tensor["shape"][1:] if isinstance(side, str)}
    return old | {"schema_version": 2, "graphs": graphs, "axes": {name: axis for name in sorted(names)}}

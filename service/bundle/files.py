"""A version on disk: its files, checked against the manifest, and the pointer to the one that is served."""

import hashlib
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from service.bundle.manifest import GOLDEN as GOLDEN
from service.bundle.manifest import Manifest, Precision, Tolerance
from service.bundle.record import NAME, VERSION, Arrays
from service.bundle.signature import MAIN

MANIFEST, GRAPH, CARD = "bundle.json", "model.onnx", "card.md"
CURRENT, DEFAULTS, RELEASES, ROLLOUT = "CURRENT", "DEFAULTS", "RELEASES", "ROLLOUT"
MOST_POINTER, MOST_MANIFEST, MOST_CARD, MOST_ASSET = 1024, 16 * 2**20, 16 * 2**20, 64 * 2**20  # bytes
SINGLE = "fp32"  # the precision of every graph
MARGIN = 2  # times the greatest difference that was measured, for another device rounds otherwise
MOST_PICTURE = 4 * 2**20  # bytes


class BundleError(Exception):
    """A bundle that must not be served. The message names the file and what to do about it."""


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bounded(path: Path, most: int) -> bytes:
    """A file's bytes, `most` of them. Raises OSError, or BundleError for a pipe or device, which might never end."""
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise BundleError(f"{path} is no regular file: restore the bundle or train it again")
        content = file.read(most + 1)
    if len(content) > most:
        raise BundleError(f"{path} has more than {most} bytes: restore the bundle or train it again")
    return content


class Bundle:
    """A version on disk whose manifest is valid and whose files have the hashes it declares."""

    def __init__(self, path: Path) -> None:
        """Read and verify. Raises what `verify` raises, and BundleError for a manifest that breaks the contract."""
        self.path = path
        self.manifest = _read_manifest(path / MANIFEST)
        expected = (path.parent.name, path.name)
        if (self.manifest.name, self.manifest.version) != expected:
            raise BundleError(
                f"{path / MANIFEST} describes {self.manifest.name}/{self.manifest.version}: folder renamed?"
            )
        self.verify()

    def verify(self) -> None:
        """Raises BundleError naming the file that is missing, or is not the one that the manifest speaks of."""
        for name, sha256 in self.manifest.sha256.items():
            path = self.path / name
            if not path.is_file():
                raise BundleError(f"{path} is missing: restore the bundle or train it again")
            if file_sha256(path) != sha256:
                raise BundleError(f"{path} does not have the sha256 of its manifest: restore or train it again")

    @property
    def graphs_size(self) -> int:
        """Bytes of the files of all graphs."""
        return sum(self.graph_file(name).stat().st_size for name in self.manifest.graphs)

    @property
    def graph(self) -> Path:
        """The main graph's file."""
        return self.graph_file(MAIN)

    def graph_file(self, name: str) -> Path:
        return self.path / self.manifest.graphs[name].file

    def file_in(self, graph: str, precision: str) -> Path:
        """The graph's file that computes in this precision."""
        measured = self._measured(graph, precision)
        return self.path / measured.file if measured and measured.file else self.graph_file(graph)

    def _measured(self, graph: str, precision: str) -> Precision | None:
        return self.manifest.precisions.get(precision) if graph == MAIN else None

    def asset(self, name: str) -> bytes:
        return read_bounded(self.path / self.manifest.assets[name].file, MOST_ASSET)

    @property
    def card(self) -> str:
        """As it is on disk now, empty where there is none. Raises BundleError when it is no text of decent length."""
        try:
            return read_bounded(self.path / CARD, MOST_CARD).decode()
        except FileNotFoundError:
            return ""
        except UnicodeDecodeError:
            raise BundleError(f"{self.path / CARD} is no text in UTF-8: write it anew or remove it") from None

    def picture(self, name: str) -> bytes | None:
        """A picture of the card; None where it is not there, for an image of the service may go without."""
        try:
            return read_bounded(self.path / name, MOST_PICTURE)
        except (OSError, BundleError):
            return None

    def golden(self, graph: str = MAIN) -> tuple[Arrays, Arrays]:
        """A graph's golden inputs and outputs, by tensor name. Raises BundleError where the inputs are missing.

        Those of the main graph are `in.<tensor>` and `out.<tensor>`, those of another `<graph>.in.<tensor>` and so on;
        what another graph has not it takes from the main one's inputs, and may have no outputs.
        """
        declared, prefix = self.manifest.graphs[graph], "" if graph == MAIN else f"{graph}."
        with np.load(self.path / GOLDEN, allow_pickle=False) as arrays:
            try:
                inputs = {
                    one.name: arrays[own if (own := f"{prefix}in.{one.name}") in arrays else f"in.{one.name}"]
                    for one in declared.inputs
                }
            except KeyError as error:
                raise BundleError(f"{self.path / GOLDEN} lacks {error}: the graph {graph} cannot be tried") from None
            outputs = {
                one.name: arrays[f"{prefix}out.{one.name}"]
                for one in declared.outputs
                if graph == MAIN or f"{prefix}out.{one.name}" in arrays
            }
        return inputs, outputs

    def check_golden(self, outputs: Arrays, graph: str = MAIN, precision: str = SINGLE) -> None:
        """Raise BundleError for outputs that are not the golden ones within the tolerance, or not as declared.

        In a shorter precision they may lie further away, by as much as it was measured to take.
        """
        declared, measured = self.manifest.graphs[graph], self._measured(graph, precision)
        further = measured.difference if measured else {}
        for tensor in declared.outputs:
            if not tensor.fits(shape := outputs[tensor.name].shape):
                raise BundleError(
                    f"{self.graph_file(graph)} gives {tensor.name} {list(shape)}, not {list(tensor.shape)}"
                )
        for name, expected in self.golden(graph)[1].items():
            tolerance = self.manifest.tolerance
            if name in further:
                tolerance = tolerance.model_copy(update={"atol": tolerance.atol + MARGIN * further[name]})
            if difference := _difference(outputs[name], expected, tolerance):
                raise BundleError(f"{self.path} does not reproduce its golden output {name!r}: {difference}")


def _difference(given: NDArray[Any], golden: NDArray[Any], tolerance: Tolerance) -> str:
    if golden.dtype.kind == "U":
        return "" if np.array_equal(given.astype(golden.dtype), golden) else "other texts"
    if np.allclose(given, golden, atol=tolerance.atol, rtol=tolerance.rtol):
        return ""
    return f"off by {float(np.abs(given.astype(np.float64) - golden).max()):.3g}"


def _read_manifest(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(read_bounded(path, MOST_MANIFEST))
    except FileNotFoundError:
        raise BundleError(f"{path} is missing: restore the bundle or train it again") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        if where == "schema_version" and first["input"] == 1:
            raise BundleError(f"{path} is of schema version 1: run python -m training convert {path.parent}") from None
        raise BundleError(f"{path} breaks the bundle contract at {where}: {first['msg']}") from None


def current_version(models: Path, name: str) -> str:
    """The version that `models/<name>/CURRENT` names."""
    try:
        version = read_bounded(models / name / CURRENT, MOST_POINTER).decode("utf-8-sig").strip()
    except FileNotFoundError:
        raise BundleError(f"{models / name / CURRENT} is missing: write the version to serve into it") from None
    except (OSError, UnicodeDecodeError) as error:  # of a folder that may not be entered, too
        raise BundleError(f"{models / name / CURRENT} cannot be read: {type(error).__name__}") from None
    if not re.fullmatch(VERSION, version):
        raise BundleError(f"{models / name / CURRENT} holds {version[:80]!r}, which is no version")
    return version


def current(models: Path, name: str) -> "Bundle":
    """The bundle of that version."""
    return Bundle(models / name / current_version(models, name))


def names(models: Path) -> list[str]:
    """Every model below `models`, sorted."""
    return sorted(path.name for path in models.glob("*") if _is_model(path))


def defaults_of(models: Path) -> dict[str, str]:
    """The model that answers for each kind where a request names none, as `models/DEFAULTS` says: `KIND NAME` by line.

    There need not be such a file. Raises BundleError for a line that says something else.
    """
    path = models / DEFAULTS
    try:
        lines = read_bounded(path, MOST_POINTER).decode("utf-8-sig").splitlines()  # as some editors write it
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"{path} cannot be read: {type(error).__name__}") from None
    pairs = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if wrong := next((pair for pair in pairs if len(pair) != 2), None):
        raise BundleError(f"{path} has a line {' '.join(wrong)[:80]!r} that is not KIND NAME")
    return {kind: name for kind, name in pairs}


def _is_model(folder: Path) -> bool:
    """Whether it names a version, or cannot be looked into, which somebody should be told."""
    try:
        (folder / CURRENT).lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return bool(re.fullmatch(NAME, folder.name))
    return True


def write_current(models: Path, name: str, version: str) -> None:
    """Point `CURRENT` at `version` in one rename, so that a reader sees the old version or the new, never half."""
    replace_text(models / name / CURRENT, version + "\n")


def replace_text(target: Path, text: str) -> None:
    """Write a whole file in one rename; what is there already stays when the disk is full or the power goes."""
    staged = target.with_suffix(f".{os.getpid()}")
    try:
        with staged.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(target)
    except OSError:
        staged.unlink(missing_ok=True)
        raise


def write_manifest(path: Path, manifest: Manifest) -> None:
    (path / MANIFEST).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")

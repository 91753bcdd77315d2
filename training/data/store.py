"""The folder where data is kept, and how a source gets there: found on disk, or brought by a package client.

$QUARTET_DATA/                 default: quartet/ in the user's cache folder
    <artifact>                 a package as its client brought it
    <source name>/<raw file>   or the raw files themselves (also .gz), put there by hand
"""

import gzip
import hashlib
import importlib.metadata
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service import bundle
from training.data import given
from training.data.archive import files_below, read_members
from training.data.clients import ClientError, download
from training.data.sources import SOURCES, Package, Source

TABLES = Path(__file__).parent / "tables"


class DataError(Exception):
    """Data that is missing or not what it should be. The message names the file and what to do about it."""


@dataclass(frozen=True)
class Fetched:
    """A source on this machine, verified: the artifact of `package`, or a folder of raw files when it is None."""

    source: Source
    path: Path
    package: Package | None

    def read(self) -> dict[str, bytes]:
        """Contents by file name, decompressed where the file is .gz."""
        if self.package is None:
            return {name: _raw(self.path, name, sha256) for name, sha256 in self.source.files.items()}
        contents = read_members(self.path, self.package.members)
        return {Path(member).name.removesuffix(".gz"): _plain(member, data) for member, data in contents.items()}

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Of a source whose members are folders: paths and contents of what is in them, as they are asked for."""
        assert self.package is not None
        return files_below(self.path, self.package.members)

    def text(self) -> str:
        """The contents of a source of one file, a table."""
        (contents,) = self.read().values()
        return contents.decode()

    def provenance(self) -> bundle.Source:
        """What a bundle says of its data. Raw files are verified to be those of the source's first package."""
        if self.source.packages:
            package = self.package or self.source.packages[0]
            described, sha256 = str(package), package.sha256
        else:
            (table, sha256), *_ = self.source.files.items()
            described = f"{_folder_name(self.source)}/{table}"
        return bundle.Source(
            name=self.source.name,
            package=described,
            sha256=sha256,
            licence=self.source.licence,
            address=self.source.address,
        )


def data_folder() -> Path:
    if folder := os.environ.get("QUARTET_DATA"):
        return Path(folder).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "quartet"


def fetch(name: str) -> Fetched:
    """The source `name`, from disk if it is there, else through the first of its package clients that succeeds.

    Raises DataError for an unknown name, a wrong hash, or when no client could bring the source.
    """
    if name not in SOURCES:
        raise DataError(f"there is no data source {name!r}: choose from {', '.join(SOURCES)}")
    source = SOURCES[name]
    return _on_disk(source) or _downloaded(source)


def provenance(name: str) -> bundle.Source:
    """What a bundle trained on the source `name`, or on data from outside of that name, says of it."""
    return given.source_of(name) or fetch(name).provenance()


def _on_disk(source: Source) -> Fetched | None:
    if source.installed:
        distribution = importlib.metadata.distribution(source.installed.package)
        return Fetched(source, Path(str(distribution.locate_file(source.installed.folder))), None)
    if not source.packages:
        return Fetched(source, TABLES, None)
    for package in source.packages:
        artifact = data_folder() / package.artifact
        if artifact.is_file():
            _check(artifact, bundle.file_sha256(artifact), package.sha256)
            return Fetched(source, artifact, package)
    folder = data_folder() / source.name
    if source.files and all((folder / name).is_file() or (folder / f"{name}.gz").is_file() for name in source.files):
        return Fetched(source, folder, None)
    return None


def _folder_name(source: Source) -> str:
    """Where a source without packages lies, in words that hold on every machine."""
    if (installed := source.installed) is None:
        return "training/data/tables"
    return f"pip {installed.package}=={importlib.metadata.version(installed.package)}, {installed.folder}"


def _downloaded(source: Source) -> Fetched:
    """Try each package in turn. A wrong hash is never a reason to try the next one."""
    folder, failures = data_folder(), []
    folder.mkdir(parents=True, exist_ok=True)
    for package in source.packages:
        with tempfile.TemporaryDirectory(dir=folder, prefix="incoming-") as incoming:
            try:
                artifact = download(package, Path(incoming))
            except ClientError as error:
                failures.append(str(error))
                continue
            _check(artifact, bundle.file_sha256(artifact), package.sha256)
            for failure in failures:
                print(f"{source.name}: {failure}; taken from {package} instead", file=sys.stderr)
            return Fetched(source, artifact.replace(folder / package.artifact), package)
    raise DataError(_how_to_help(source, folder, failures))


def _how_to_help(source: Source, folder: Path, failures: list[str]) -> str:
    artifacts = " or ".join(package.artifact for package in source.packages)
    return "\n  - ".join(
        [
            f"{source.name} could not be fetched:",
            *failures,
            f"otherwise put {artifacts} into {folder} (QUARTET_DATA names another folder){',' * bool(source.files)}",
            *([f"or the raw files {', '.join(source.files)} into {folder / source.name}"] if source.files else []),
            f"see {source.address}",
        ]
    )


def _raw(folder: Path, name: str, sha256: str) -> bytes:
    """A file that was committed or put there by hand, plain or as .gz; its contents must have the hash `sha256`."""
    path = folder / name
    if not path.is_file():
        path = folder / f"{name}.gz"
    if not path.is_file():
        raise DataError(f"{folder / name} is missing: restore it")
    contents = _plain(path.name, path.read_bytes())
    _check(path, hashlib.sha256(contents).hexdigest(), sha256)
    return contents


def _plain(name: str, contents: bytes) -> bytes:
    return gzip.decompress(contents) if name.endswith(".gz") else contents


def _check(path: Path, actual: str, expected: str) -> None:
    if actual != expected:
        raise DataError(
            f"{path} is not the declared file: expected sha256 {expected}, got {actual}. "
            "Delete it and fetch the data again; if that brings the same file, do not use it."
        )

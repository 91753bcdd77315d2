"""A release archive: the served models in one file, for where only the code is installed.

    SHA256SUMS                 the first member: the hash of every other one, as `sha256sum` writes them
    DEFAULTS                   as in the models folder
    <name>/CURRENT, <name>/<version>/...   of each model the version that is served, its card and pictures included

The hash of the whole stands beside it, in `<archive>.sha256`.
"""

import gzip
import hashlib
import io
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from service.bundle import CURRENT, DEFAULTS, BundleError, current, file_sha256, names, replace_text

SUMS, SUFFIX = "SHA256SUMS", ".sha256"
MOST_BYTES, MOST_SUMS = 8 * 2**30, 2**20
HASH, MEMBER = r"[0-9a-f]{64}", r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/){0,3}[A-Za-z0-9_-][A-Za-z0-9._-]*"
TIMEOUT_S = 60.0
AS_IT_IS = {"accept-encoding": "identity"}  # an archive that a server takes for an encoding stays zipped


class ArchiveError(BundleError):
    """An archive that is not taken, or cannot be written, in words for whoever gave the command."""


def pack(models: Path, target: Path) -> str:
    """Write the archive of a models folder, and its hash beside it; the hash. The same bundles give the same bytes.

    Raises BundleError for a bundle that is not whole.
    """
    files = dict(_files(models))
    if not any(path.endswith(CURRENT) for path in files):
        raise ArchiveError(f"{models} holds no bundle: name the folder of the models with QUARTET_MODELS_DIR")
    sums = "".join(f"{file_sha256(path)}  {name}\n" for name, path in files.items())
    staged = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with (
            staged.open("wb") as raw,
            gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as zipped,
            tarfile.open(fileobj=zipped, mode="w") as tar,
        ):
            _add(tar, SUMS, sums.encode())
            for name, path in files.items():
                _add(tar, name, path.read_bytes())
        sha256 = file_sha256(staged)
        staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)
    replace_text(_beside(target), f"{sha256}  {target.name}\n")
    return sha256


def _files(models: Path) -> Iterator[tuple[str, Path]]:
    """What goes in, by its name in the archive."""
    if (models / DEFAULTS).is_file():
        yield DEFAULTS, models / DEFAULTS
    for name in names(models):
        folder = current(models, name).path
        yield f"{name}/{CURRENT}", models / name / CURRENT
        for path in sorted(folder.iterdir()):
            if path.is_file() and not path.name.startswith("."):
                yield f"{name}/{folder.name}/{path.name}", path


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def _beside(archive: Path) -> Path:
    return archive.with_name(archive.name + SUFFIX)


def fetch(source: str, target: Path, sha256: str | None = None) -> list[str]:
    """Make the folder `target` of the archive at an address or a path; the names of its models.

    It is there whole or not at all. Without `sha256` the file beside the archive says its hash. Raises ArchiveError.
    """
    if target.is_dir() and any(target.iterdir()):
        raise ArchiveError(f"{target} is not empty: remove it, or name another folder with --to")
    try:
        with tempfile.TemporaryDirectory(prefix=".quartet-", dir=_parent(target)) as scratch:
            archive = Path(scratch) / "archive"
            expected = sha256 or _said(_read(source + SUFFIX), source)
            found = _copy(source, archive)
            if found != expected.lower():
                raise ArchiveError(f"{source} has the sha256 {found}, not {expected}: it is damaged, or another one")
            return _unpack(archive, Path(scratch) / "models", target)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise ArchiveError(f"{source}: {error}") from error


def _parent(target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.parent


def _said(text: bytes, source: str) -> str:
    found = re.match(HASH, text.decode("ascii", "replace"))
    if found is None:
        raise ArchiveError(f"{source}{SUFFIX} holds no sha256: say the archive's own with --sha256")
    return found[0]


def _read(source: str) -> bytes:
    try:
        with _chunks(source) as chunks:
            return next(iter(chunks), b"")[:1024]
    except ArchiveError as error:
        raise ArchiveError(f"{error}. Say the hash of the archive with --sha256 where none lies beside it") from error


def _copy(source: str, target: Path) -> str:
    """The sha256 of what was copied."""
    told, size = hashlib.sha256(), 0
    with _chunks(source) as chunks, target.open("wb") as file:
        for chunk in chunks:
            size += len(chunk)
            if size > MOST_BYTES:
                raise ArchiveError(f"{source} has more than {MOST_BYTES} bytes: it is no archive of models")
            told.update(chunk)
            file.write(chunk)
    return told.hexdigest()


@contextmanager
def _chunks(source: str) -> Iterator[Iterator[bytes]]:
    """The bytes of a file, or of what lies at an address. Raises ArchiveError."""
    try:
        if re.match(r"https?://", source):
            with httpx.stream("GET", source, headers=AS_IT_IS, follow_redirects=True, timeout=TIMEOUT_S) as response:
                if response.is_error:
                    raise ArchiveError(f"{source} cannot be fetched: {response.status_code} {response.reason_phrase}")
                yield response.iter_raw(2**20)
        else:
            with Path(source).open("rb") as file:
                yield iter(lambda: file.read(2**20), b"")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ArchiveError(f"{source} cannot be fetched: {error}") from error
    except OSError as error:
        raise ArchiveError(f"{source} cannot be read: {error.strerror}") from error


def _unpack(archive: Path, staged: Path, target: Path) -> list[str]:
    with tarfile.open(archive, "r:gz") as tar:
        sums = _sums(tar)
        for member in tar:
            _extract(tar, member, sums, staged)
    if sums:
        raise ArchiveError(f"the archive lacks {min(sums)}: fetch it again")
    found = names(staged)
    for name in found:
        current(staged, name)
    if not found:
        raise ArchiveError("the archive holds no model")
    staged.chmod(0o755)
    staged.rename(target)
    return found


def _sums(tar: tarfile.TarFile) -> dict[str, str]:
    """The hash of each file that must come."""
    first = tar.next()
    content = tar.extractfile(first) if first and first.name == SUMS and first.size <= MOST_SUMS else None
    if content is None:
        raise ArchiveError(f"it does not begin with {SUMS}: write it with `quartet models pack`")
    lines = re.findall(rf"^({HASH})  ({MEMBER})$", content.read().decode("utf-8", "replace"), re.MULTILINE)
    return {name: sha256 for sha256, name in lines}


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, sums: dict[str, str], folder: Path) -> None:
    """Takes the file off `sums`, which hold none that lies elsewhere than below the folder."""
    if member.name == SUMS:
        return
    expected, content = sums.pop(member.name, None), tar.extractfile(member) if member.isreg() else None
    if expected is None or content is None:
        raise ArchiveError(f"the archive holds {member.name[:200]}, of which {SUMS} does not speak")
    path = folder / member.name
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)
    if file_sha256(path) != expected:
        raise ArchiveError(f"{member.name} does not have the sha256 of {SUMS}: fetch the archive again")

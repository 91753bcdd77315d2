"""Bundles to and from where they are kept: `push` puts versions there, `pull` makes a models folder like it."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from service.bundle import (
    CURRENT,
    DEFAULTS,
    MANIFEST,
    NAME,
    VERSION,
    Bundle,
    BundleError,
    Manifest,
    current_version,
    file_sha256,
    read_bounded,
    replace_text,
    write_current,
)
from service.bundle.files import MOST_MANIFEST, MOST_POINTER
from service.bundle.seal import check
from service.release.ledger import held
from service.release.remote import Remote, RemoteError

STAGED = ".pulling"
FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def push(models: Path, remote: Remote, name: str, version: str | None) -> str:
    """Put a version there, the served one with its `CURRENT` where none is named; what was pushed.

    Raises BundleError where the store has another version of that name.
    """
    chosen = version or current_version(models, name)
    bundle = Bundle(models / name / chosen)
    manifest = read_bounded(bundle.path / MANIFEST, MOST_MANIFEST)
    there = remote.read(name, chosen, MANIFEST, most=MOST_MANIFEST)
    if there not in (None, manifest):
        raise RemoteError(f"{remote.address} has another {name}/{chosen}: a version never changes, make a new one")
    for file in sorted(path for path in bundle.path.iterdir() if path.is_file() and path.name != MANIFEST):
        if there is None or file.name not in bundle.manifest.sha256:
            remote.write(file.read_bytes(), name, chosen, file.name)
    remote.write(manifest, name, chosen, MANIFEST)
    if version is None:
        remote.write(f"{chosen}\n".encode(), name, CURRENT)
    return chosen


def pull(models: Path, remote: Remote, names: tuple[str, ...] = (), key: Path | None = None) -> list[str]:
    """Fetch what the store serves, of all models or those named, and serve it here; what has changed.

    Every file is verified by its hash, a version appears whole, and `CURRENT` moves after it. An interrupted pull goes
    on where it ended. A model that cannot be had leaves what is served as it is; then RemoteError is raised at the end.
    """
    changed, failures = [], []
    with _alone(models):
        for name in names or [one for one in remote.names() if re.fullmatch(NAME, one) and one != DEFAULTS]:
            try:
                changed += _model(models, remote, name, key, bool(names))
            except (BundleError, OSError) as error:
                failures.append(f"{name}: {error}")
        if not failures and not names:
            changed += _defaults(models, remote)
    if failures:
        raise RemoteError("; ".join(failures))
    return changed


def _model(models: Path, remote: Remote, name: str, key: Path | None, needed: bool) -> list[str]:
    content = remote.read(name, CURRENT, most=MOST_POINTER)
    if content is None:
        if needed:
            raise RemoteError(f"{remote.address} has no {name}/{CURRENT}")
        return []
    version = content.decode("utf-8", "replace").strip()
    if not re.fullmatch(VERSION, version):
        raise RemoteError(f"{name}/{CURRENT} at {remote.address} names no version")
    home = models / name
    home.mkdir(parents=True, exist_ok=True)
    with held(home):
        fetched = not _whole(home / version)
        if fetched:
            _fetch(models, remote, name, version, key)
        check(home / version, key)
        moved = not (home / CURRENT).exists() or current_version(models, name) != version
        if moved:
            write_current(models, name, version)
    return [f"{name} {version}"] if fetched or moved else []


def _whole(folder: Path) -> bool:
    try:
        Bundle(folder)
    except BundleError:
        return False
    return True


def _fetch(models: Path, remote: Remote, name: str, version: str, key: Path | None) -> None:
    """Into a folder aside, which becomes the version in one rename."""
    stage = models / STAGED / name / version
    stage.mkdir(parents=True, exist_ok=True)
    content = remote.read(name, version, MANIFEST, most=MOST_MANIFEST)
    if content is None:
        raise RemoteError(f"{remote.address} has no whole {name}/{version}")
    try:
        hashes = Manifest.model_validate_json(content).sha256
    except ValueError:
        raise RemoteError(f"{name}/{version}/{MANIFEST} at {remote.address} breaks the bundle contract") from None
    (stage / MANIFEST).write_bytes(content)
    for file in remote.names(name, version):
        if file == MANIFEST or not FILE.fullmatch(file):
            continue
        _file(stage / file, remote, (name, version, file), hashes.get(file))
    Bundle(stage)
    check(stage, key)
    target = models / name / version
    if target.exists():  # damaged, or it would not be fetched
        target.rename(models / STAGED / f"{name}-{version}-{os.getpid()}")
    stage.rename(target)


def _file(target: Path, remote: Remote, place: tuple[str, ...], sha256: str | None) -> None:
    """A file with its hash, from where an earlier try ended, and once more from its beginning if that was no good."""
    if sha256 is None:
        target.unlink(missing_ok=True)  # a card may be written anew
    if sha256 and target.exists() and file_sha256(target) == sha256:
        return
    remote.fetch(target, *place)
    if sha256 and file_sha256(target) != sha256:
        target.unlink()
        remote.fetch(target, *place)
        if file_sha256(target) != sha256:
            target.unlink()
            raise RemoteError(f"{'/'.join(place)} at {remote.address} does not have the sha256 of its manifest")


def _defaults(models: Path, remote: Remote) -> list[str]:
    content = remote.read(DEFAULTS, most=MOST_POINTER)
    path = models / DEFAULTS
    if content is None or (path.exists() and path.read_bytes() == content):
        return []
    replace_text(path, content.decode())
    return [DEFAULTS]


@contextmanager
def _alone(models: Path) -> Iterator[None]:
    """Raises RemoteError where another process pulls into the folder."""
    (models / STAGED).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(models / STAGED, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise RemoteError(f"another process pulls into {models} at this moment: try again") from None
    finally:
        os.close(descriptor)

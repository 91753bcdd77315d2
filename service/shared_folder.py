"""The folder that the workers of a service share: their metrics, what has been unloaded, how often keys were used.

It lies where temporary files do, where anybody may write, and so is taken only when it is this user's, no link, and
closed to everybody else. Without one each worker counts and unloads for itself.
"""

import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fcntl import LOCK_EX, flock
from pathlib import Path

import psutil

NAME = re.compile(r"quartet-(?P<pid>\d{1,9})-\w+")  # longer numbers are no process's

log = logging.getLogger(__name__)


def new_folder(temporary: Path) -> Path | None:
    """The supervisor's, under a name that nobody can guess."""
    try:
        _clear(temporary)
        return Path(tempfile.mkdtemp(prefix=f"quartet-{os.getpid()}-", dir=temporary))
    except OSError as error:
        log.warning("the workers share nothing, for there is no temporary folder: %s", error)
        return None


def folder_of_siblings(temporary: Path) -> Path | None:
    """That of workers whose parent is another's, such as BentoML's: its name has the parent's id and birth."""
    try:
        _clear(temporary)
        parent = psutil.Process(os.getppid())
        folder = temporary / f"quartet-{parent.pid}-{int(parent.create_time())}"
        ensure(folder)
    except OSError as error:
        log.warning("the workers share nothing, for there is no temporary folder: %s", error)
        return None
    return folder


def ensure(folder: Path) -> None:
    """Something may have tidied up there. Raises OSError when it cannot be made or somebody else has made it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_ours(folder):
        raise PermissionError(f"{folder} is not this user's alone")


@contextmanager
def locked(folder: Path | None, name: str) -> Iterator[None]:
    """Keep other processes out of here, where there is such a folder; the lock of one that dies is gone with it."""
    with ExitStack() as held:
        if folder is not None:
            with suppress(OSError):
                ensure(folder)
                descriptor = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
                held.callback(os.close, descriptor)
                flock(descriptor, LOCK_EX)
        yield


def _is_ours(folder: Path) -> bool:
    seen = folder.lstat()
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid() and not stat.S_IMODE(seen.st_mode) & 0o077


def _clear(temporary: Path) -> None:
    """Remove this user's folders of parents that are gone."""
    for old in temporary.glob("quartet-*-*"):
        match = NAME.fullmatch(old.name)
        if match and not psutil.pid_exists(int(match["pid"])) and old.lstat().st_uid == os.geteuid():
            shutil.rmtree(old, ignore_errors=True)

"""The models that an operator has unloaded, in a file that the workers share where they share a folder."""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, flock
from pathlib import Path

from service.metrics import Metrics
from service.shared_folder import ensure

log = logging.getLogger(__name__)


class Unloaded:
    """`names` are those of the last look. `read` and `note` go to the disk: call them in a thread."""

    def __init__(self, metrics: Metrics) -> None:
        self.names: set[str] = set()
        self._metrics, self._alone = metrics, False

    def read(self) -> None:
        if self._file is not None:
            self.names = _read(self._file)

    def note(self, name: str, loaded: bool) -> None:
        """Add the name or take it away, in all workers where they share a folder."""
        try:
            self._share(name, loaded)
        except OSError as error:
            log.error("from now on models are loaded and unloaded in this worker alone: %s", error)
            self._alone = True
        if self._file is None:
            self.names = _changed(self.names, name, loaded)

    @property
    def _file(self) -> Path | None:
        return self._metrics.shared / "unloaded" if self._metrics.shared and not self._alone else None

    def _share(self, name: str, loaded: bool) -> None:
        """One change at a time over all workers. Raises OSError."""
        if self._file is None:
            return
        ensure(self._file.parent)
        with _locked(self._file.parent):
            staged = self._file.with_suffix(".new")
            staged.write_text(json.dumps(sorted(_changed(_read(self._file), name, loaded))))
            staged.replace(self._file)


def _read(file: Path) -> set[str]:
    try:
        return set(json.loads(file.read_text()))
    except FileNotFoundError:
        return set()


def _changed(names: set[str], name: str, loaded: bool) -> set[str]:
    return names - {name} if loaded else names | {name}


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other threads and processes out of here; the lock of one that dies is gone with it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flock(descriptor, LOCK_EX)
        yield
    finally:
        os.close(descriptor)

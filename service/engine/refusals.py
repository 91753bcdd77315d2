"""The versions that do not load."""

import logging
from pathlib import Path
from typing import NamedTuple

from service.metrics import Metrics

log = logging.getLogger(__name__)


class Refused(NamedTuple):
    """A version that does not load, why, and what its folder looked like; it is tried again when that changes."""

    version: str
    reason: str
    seen: object


class Refusals(dict[str, Refused]):
    """By the model's name."""

    def __init__(self, metrics: Metrics) -> None:
        super().__init__()
        self._metrics = metrics

    def note(self, name: str, refused: Refused) -> None:
        """Log and count it, once for a version and a reason."""
        known = self.get(name)
        if known is None or known[:2] != refused[:2]:
            log.error("%s", refused.reason)
            self._metrics.failed_loads[name,] += 1
        self[name] = refused


def seen_of(folder: Path) -> object:
    """What tells a folder's files from what they were before. Raises OSError."""
    entries = [(path.name, path.lstat()) for path in sorted(folder.glob("*"))]
    return [(name, stat.st_mtime_ns, stat.st_size) for name, stat in entries]

"""The ledger of a model's releases, a file beside `CURRENT`, and the lock of those who change the two.

A change is noted as pending before `CURRENT` moves and settled afterwards. Who finds a pending one, for a process has
died, sees in `CURRENT` whether it took place.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from service.bundle import CURRENT, RELEASES, BundleError, Record, Version, current_version, read_bounded, replace_text

MOST_ENTRIES, MOST_LEDGER = 500, 4 * 2**20
LONGEST = 1000  # characters of a reason


class ReleaseError(BundleError):
    """A release that cannot be made. The message says why and what to do."""


class Entry(Record):
    """A change of what is served. `before` is absent where nothing was; `when` is in UTC."""

    when: str
    who: str
    action: Literal["promote", "forced promote", "rollback", "written by hand"]
    before: Version | None
    after: Version
    reason: str = ""


class Ledger(Record):
    """The changes that took place, oldest first, and one of which that is not known yet."""

    pending: Entry | None = None
    history: tuple[Entry, ...] = ()

    def settled(self, home: Path) -> "Ledger":
        """What is true by the `CURRENT` that lies there now, a change by hand included."""
        served, history = served_in(home), self.history
        if self.pending and self.pending.after == served:
            history = (*history, self.pending)
        if served and history and history[-1].after != served:
            moved = datetime.fromtimestamp((home / CURRENT).stat().st_mtime, UTC)
            by_hand = Entry(
                when=written(moved), who="", action="written by hand", before=history[-1].after, after=served
            )
            history = (*history, by_hand)
        return Ledger(history=history[-MOST_ENTRIES:])

    @property
    def before(self) -> list[str]:
        """The versions that were served before, the last one last, without those that were rolled back."""
        stack: list[str] = []
        for entry in self.history:
            if entry.action == "rollback":
                while stack and stack.pop() != entry.after:
                    pass
            elif entry.before:
                stack.append(entry.before)
        return stack


def written(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def served_in(home: Path) -> str | None:
    """The version that `CURRENT` names, None where it names none."""
    try:
        return current_version(home.parent, home.name)
    except BundleError:
        return None


def read(home: Path) -> Ledger:
    """As it is true now. Raises ReleaseError for a file that is no ledger."""
    path = home / RELEASES
    try:
        found = Ledger.model_validate_json(read_bounded(path, MOST_LEDGER))
    except FileNotFoundError:
        found = Ledger()
    except (OSError, BundleError, ValidationError) as error:
        raise ReleaseError(
            f"{path} cannot be read ({type(error).__name__}): restore it, or remove it to begin a new history"
        ) from None
    return found.settled(home)


def write(home: Path, ledger: Ledger) -> None:
    replace_text(home / RELEASES, ledger.model_dump_json(indent=2) + "\n")


@contextmanager
def held(home: Path) -> Iterator[None]:
    """Keep other operators out of a model. Raises ReleaseError where one is at it; the lock of one who dies is gone."""
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
        yield
    except BlockingIOError:
        raise ReleaseError(
            f"somebody else is releasing {home.name} at this moment: look at `release status {home.name}` and try again"
        ) from None
    finally:
        os.close(descriptor)

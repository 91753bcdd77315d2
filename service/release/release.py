"""The releases of a model: a candidate is promoted, the one before comes back, old versions go."""

import getpass
import os
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from service.bundle import MANIFEST, NAME, VERSION, Bundle, BundleError, write_current
from service.bundle.seal import check as check_seal
from service.engine.trial import Trials
from service.metrics import Metrics
from service.release import ledger, verdict
from service.release.ledger import LONGEST, Entry, Ledger, ReleaseError
from service.settings import Settings

REMOVED = ".removed-"


def tried(folder: Path) -> None:
    """Raises BundleError unless the version is signed, loads and answers as it should, in a process of its own."""
    settings = Settings.from_environment()
    Bundle(folder)
    check_seal(folder, settings.bundle_key)
    if reason := Trials(settings, Metrics()).verdict("", folder).reason:
        raise BundleError(reason)


def whoever() -> str:
    """Who runs this process, by name where the machine knows one."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"user {os.getuid()}"


class Release:
    """What is served of one model, and what could be. Methods that change it may raise ReleaseError or BundleError."""

    def __init__(self, models: Path, name: str) -> None:
        """Raises ReleaseError where there is no such model."""
        self.models, self.name, self.home = models, name, models / name
        if not re.fullmatch(NAME, name) or not self.home.is_dir():
            raise ReleaseError(f"there is no model {name[:80]!r} in {models}")

    @property
    def served(self) -> str | None:
        return ledger.served_in(self.home)

    @property
    def versions(self) -> list[str]:
        """Those on disk, the oldest first: timestamps are in order, and so are numbers."""
        found = [path.name for path in self.home.iterdir() if (path / MANIFEST).is_file()]
        return sorted((name for name in found if re.fullmatch(VERSION, name)), key=_in_order)

    @property
    def history(self) -> tuple[Entry, ...]:
        return ledger.read(self.home).history

    @property
    def way_back(self) -> str | None:
        """The version that a roll back would serve."""
        return self._way_back(ledger.read(self.home))

    def promote(
        self,
        version: str,
        who: str,
        reason: str = "",
        *,
        force: bool = False,
        check: Callable[[Path], None] = tried,
    ) -> Entry:
        """Serve `version`, whose gate was passed, once `check` has found nothing against it.

        `force` does without the gate, and not without a reason.
        """
        if force and not reason.strip():
            raise ReleaseError("without a passed gate there must be a reason: --force --reason TEXT")
        with ledger.held(self.home):
            found = ledger.read(self.home)
            if version not in self.versions:
                raise ReleaseError(f"{self.name} has no version {version[:80]!r}: it has {_listed(self.versions)}")
            if version == self.served:
                raise ReleaseError(f"{self.name} {version} is served already")
            if not force and (objection := verdict.objection(self.home / version, self.served)):
                raise ReleaseError(
                    f"{self.name} {version} stays a candidate, {objection}, or give --force --reason TEXT"
                )
            return self._move(found, "forced promote" if force else "promote", version, who, reason, check)

    def rollback(self, who: str, reason: str = "", check: Callable[[Path], None] = tried) -> Entry:
        """Serve what was served before; a second time, what was served before that."""
        with ledger.held(self.home):
            found = ledger.read(self.home)
            if (version := self._way_back(found)) is None:
                raise ReleaseError(
                    f"no version of {self.name} was served before: promote one of {_listed(self.versions)}"
                )
            return self._move(found, "rollback", version, who, reason, check)

    def prune(self, keep: int) -> list[str]:
        """Remove all but the last `keep` versions, and never the served one or the way back; what was removed."""
        with ledger.held(self.home):
            for left in self.home.glob(f"{REMOVED}*"):  # of somebody who was interrupted
                shutil.rmtree(left)
            versions = self.versions
            kept = {*versions[max(0, len(versions) - keep) :], self.served, self._way_back(ledger.read(self.home))}
            gone = [version for version in versions if version not in kept]
            for version in gone:  # under another name first, so that no half of a version is ever there
                removed = self.home / f"{REMOVED}{version}"
                (self.home / version).rename(removed)
                shutil.rmtree(removed)
            return gone

    def _way_back(self, found: Ledger) -> str | None:
        there, served = set(self.versions), self.served
        return next((version for version in reversed(found.before) if version in there and version != served), None)

    def _move(
        self,
        found: Ledger,
        action: Literal["promote", "forced promote", "rollback"],
        version: str,
        who: str,
        reason: str,
        check: Callable[[Path], None],
    ) -> Entry:
        check(self.home / version)
        entry = Entry(
            when=ledger.written(datetime.now(UTC)),
            who=who[:LONGEST],
            action=action,
            before=self.served,
            after=version,
            reason=reason[:LONGEST],
        )
        ledger.write(self.home, Ledger(pending=entry, history=found.history))
        write_current(self.models, self.name, version)
        ledger.write(self.home, Ledger(pending=entry, history=found.history).settled(self.home))
        return entry


def _in_order(version: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", version)]


def _listed(versions: list[str]) -> str:
    return ", ".join(reversed(versions)) or "none"

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
from service.release import ledger, rollout, verdict
from service.release.comparison import mismatch
from service.release.ledger import LONGEST, Entry, Ledger, ReleaseError
from service.release.rollout import MOST_PAST, SPLIT_BY, Mode, Past, Rollout, Step, Stop
from service.release.rules import Rules
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
        with ledger.held(self.home):
            found = ledger.read(self.home)
            self._admit(version, reason, force)
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

    @property
    def rollout(self) -> Rollout | None:
        """The last one, whether or not it still runs."""
        return rollout.read(self.home)

    @property
    def running(self) -> Rollout | None:
        """The one that is tried on live traffic now; a file that cannot be read ends what it held."""
        try:
            found = self.rollout
        except ReleaseError:
            return None
        return found if found is not None and found.state(self.served) == "running" else None

    def start(
        self,
        version: str,
        mode: Mode,
        steps: tuple[Step, ...],
        who: str,
        reason: str = "",
        *,
        rules: Rules | None = None,
        by: str = SPLIT_BY,
        force: bool = False,
        check: Callable[[Path], None] = tried,
    ) -> Rollout:
        """Try `version` on live traffic, as `promote` admits it; it takes what is served takes, and means the same."""
        with ledger.held(self.home):
            if (other := self.running) is not None:
                raise ReleaseError(
                    f"a {other.mode} of {self.name} {other.version} runs: end it with `release rollback {self.name}`"
                )
            self._admit(version, reason, force)
            if (served := self.served) is None:
                raise ReleaseError(f"nothing of {self.name} is served yet: promote {version}")
            if why := mismatch(Bundle(self.home / served).manifest, Bundle(self.home / version).manifest):
                raise ReleaseError(f"{self.name} {version} cannot be tried on the requests of {served}: {why}")
            check(self.home / version)
            now = datetime.now(UTC)
            begun = Rollout(
                id=rollout.new_id(),
                version=version,
                against=served,
                mode=mode,
                steps=steps,
                since=now.timestamp(),
                by=by.lower(),
                rules=rules or Rules(),
                when=ledger.written(now),
                who=who[:LONGEST],
                reason=reason[:LONGEST],
                forced=force,
                past=self._past(),
            )
            rollout.write(self.home, begun)
            return begun

    def stop(self, who: str, why: str, rule: str = "") -> Rollout | None:
        """End the rollout that runs; None where none does."""
        end = Stop(when=ledger.written(datetime.now(UTC)), who=who[:LONGEST], why=why[:LONGEST], rule=rule)
        return self._change(None, lambda found: found.stopped(end))

    def move_on(self, identity: str, clock: float, answers: int) -> Rollout | None:
        """Begin the next step of the rollout of this id where it is due; None where that one does not run."""
        return self._change(identity, lambda found: found.moved_on(clock, answers))

    def undo(self, who: str, reason: str = "", check: Callable[[Path], None] = tried) -> Entry | Rollout:
        """Take the last change back: end the rollout that runs, else roll back."""
        return self.stop(who, reason or "ended by hand") or self.rollback(who, reason, check)

    def prune(self, keep: int) -> list[str]:
        """Remove all but the last `keep` versions, and never the served one or the way back; what was removed."""
        with ledger.held(self.home):
            for left in self.home.glob(f"{REMOVED}*"):  # of somebody who was interrupted
                shutil.rmtree(left)
            versions = self.versions
            kept = {*versions[max(0, len(versions) - keep) :], self.served, self._way_back(ledger.read(self.home))}
            kept |= {tried.version for tried in [self.running] if tried}
            gone = [version for version in versions if version not in kept]
            for version in gone:  # under another name first, so that no half of a version is ever there
                removed = self.home / f"{REMOVED}{version}"
                (self.home / version).rename(removed)
                shutil.rmtree(removed)
            return gone

    def _way_back(self, found: Ledger) -> str | None:
        there, served = set(self.versions), self.served
        return next((version for version in reversed(found.before) if version in there and version != served), None)

    def _admit(self, version: str, reason: str, force: bool) -> None:
        """Raises ReleaseError unless it is there, is not served and has passed its gate or is forced."""
        if force and not reason.strip():
            raise ReleaseError("without a passed gate there must be a reason: --force --reason TEXT")
        if version not in self.versions:
            raise ReleaseError(f"{self.name} has no version {version[:80]!r}: it has {_listed(self.versions)}")
        if version == self.served:
            raise ReleaseError(f"{self.name} {version} is served already")
        if not force and (objection := verdict.objection(self.home / version, self.served)):
            raise ReleaseError(f"{self.name} {version} stays a candidate, {objection}, or give --force --reason TEXT")

    def _change(self, identity: str | None, change: Callable[[Rollout], Rollout]) -> Rollout | None:
        """Write what `change` makes of the rollout that runs, if it is the one of this id."""
        with ledger.held(self.home):
            found = self.running
            if found is None or identity not in (None, found.id):
                return None
            if (changed := change(found)) != found:
                rollout.write(self.home, changed)
            return changed

    def _past(self) -> tuple[Past, ...]:
        """The rollouts so far, the last one included; a file that cannot be read holds none any more."""
        try:
            last = self.rollout
        except ReleaseError:
            return ()
        return () if last is None else (*last.past, last.as_past(self.served))[-MOST_PAST:]

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

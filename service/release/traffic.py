"""The rollouts of this worker: it follows the files beside `CURRENT`, and keeps their rules.

While a candidate gets traffic, each worker looks at its file and at what all workers of the service have counted, four
times a second. Whichever finds a rule broken takes the candidate away from its own requests and writes that into the
file, where all others read it, replicas included. Where the file cannot be written the workers of the service still
know from one another.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from service.bundle import Bundle, BundleError
from service.drift import compare
from service.engine.repository import Repository
from service.engine.session import ProviderError
from service.metrics import Metrics
from service.release import rollout as files
from service.release import tally
from service.release.candidate import Candidate
from service.release.comparison import mismatch
from service.release.ledger import ReleaseError, served_in
from service.release.release import Release
from service.release.rollout import Rollout
from service.release.rules import Breach, Evidence, Quality, breach
from service.release.tally import Count

TICK_S = 0.25
LATELY = 240  # ticks
DRIFT_TICKS = 8  # between looks at drift
RARE = 1e-4  # how often chance alone may differ as much
POINTS, POINT_TICKS = 360, 40  # of what is shown over time
ITSELF = "the service"

log = logging.getLogger(__name__)


class Point(NamedTuple):
    """What all workers had counted by then, in seconds since 1970."""

    when: float
    evidence: Evidence


class Followed:
    """A rollout in this worker: its candidate, and what was known of it lately."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self.evidence = Evidence()
        self.lately: deque[Evidence] = deque(maxlen=LATELY)
        self.points: deque[Point] = deque(maxlen=POINTS)
        self.drift: tuple[float, str] | None = None
        self.ticks = 0

    def note(self, evidence: Evidence, now: float) -> None:
        self.evidence = evidence
        self.lately.append(evidence)
        if self.ticks % POINT_TICKS == 0:
            self.points.append(Point(now, evidence))
        self.ticks += 1

    def breach(self) -> Breach | None:
        """By all that is known, or by the last minute alone, which a long good time before would hide."""
        rules = self.candidate.rollout.rules
        return breach(rules, self.evidence) or breach(rules, self.evidence.since(self.lately[0]))


class Traffic:
    def __init__(
        self,
        repository: Repository,
        metrics: Metrics,
        quality: Callable[[str, str, str], Quality | None] = lambda name, version, served: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`quality` knows what turned out for a model's candidate and for what is served of it."""
        self._repository, self._metrics, self._quality, self._clock = repository, metrics, quality, clock
        self.followed: dict[str, Followed] = {}  # by model
        self._counts: dict[str, Count] = {}  # by the rollout's id, of those that are over here
        self._owed: dict[str, tuple[str, Breach]] = {}  # by model: the id of a rollout whose end is not written yet
        self._complaints: dict[str, str] = {}

    @property
    def models(self) -> Iterable[str]:
        """Those that this worker serves."""
        return self._repository.models

    async def watch(self, every_s: float) -> None:
        """Until cancelled."""
        due = 0.0
        while True:
            await asyncio.sleep(min(TICK_S, every_s) if self.followed or self._owed else every_s)
            everything = time.monotonic() >= due
            try:
                await self.look(everything)
            except Exception:
                log.exception("looking after rollouts failed")
            due = time.monotonic() + every_s if everything else due

    async def look(self, everything: bool = True) -> None:
        """Bring this worker in line with the files: of all models, or of those alone that have a candidate."""
        names = list(self._repository.models) if everything else list(self.followed)
        wanted = await asyncio.to_thread(self._wanted, names)
        for name, found in list(self.followed.items()):
            if name not in wanted or wanted[name].id != found.candidate.rollout.id:
                self._end(name)
        for name, rollout in wanted.items():
            if name in self.followed:
                self.followed[name].candidate.rollout = rollout
            elif rollout.id not in self._counts:
                await self._begin(name, rollout)
        if self.followed:
            await self._judge()
        for name in list(self._owed):
            await self._write_end(name)

    def _wanted(self, names: list[str]) -> dict[str, Rollout]:
        """The rollouts that run, by model, for what this worker serves now."""
        found = {}
        for name in names:
            model, home = self._repository.models.get(name), self._repository.settings.models_dir / name
            try:
                rollout = files.read(home)
            except ReleaseError as error:
                self._complain(name, str(error))
                continue
            if model is None or rollout is None or rollout.stop is not None:
                continue
            current = served_in(home)
            if rollout.against == model.manifest.version and current in (rollout.against, rollout.version):
                found[name] = rollout
        return found

    async def _begin(self, name: str, rollout: Rollout) -> None:
        served = self._repository.models[name]
        try:
            model = await self._repository.load_candidate(name, rollout.version)
            if why := mismatch(served.manifest, model.manifest):
                raise BundleError(f"{name} {rollout.version} cannot be tried on the requests of what is served: {why}")
        except (BundleError, ProviderError, OSError) as error:
            log.error("%s", error)
            self._counts[rollout.id] = Count(halted="load")
            self._owed[name] = (rollout.id, Breach("load", f"it does not load: {error}"))
            return
        if self._repository.models.get(name) is not served:
            return
        self.followed[name] = Followed(Candidate(rollout, model, served))
        served.candidate = self.followed[name].candidate
        self._metrics.candidates[name, rollout.version, rollout.mode] = 1
        log.info("%s of %s %s: %.3g %% of requests", rollout.mode, name, rollout.version, 100 * rollout.now.share)

    def _end(self, name: str, halted: str = "") -> None:
        candidate = self.followed.pop(name).candidate
        candidate.end()
        rollout = candidate.rollout
        self._metrics.candidates.pop((name, rollout.version, rollout.mode), None)
        if halted:
            self._counts[rollout.id] = candidate.count._replace(halted=halted)
        log.info("the %s of %s %s has ended here", rollout.mode, name, rollout.version)

    async def _judge(self) -> None:
        counts = await self._exchange()
        for name, found in list(self.followed.items()):
            rollout = found.candidate.rollout
            theirs = [one[rollout.id] for one in counts if rollout.id in one]
            if any(one.halted for one in theirs):
                self._end(name, next(one.halted for one in theirs if one.halted))
                continue
            if found.ticks % DRIFT_TICKS == 0:
                found.drift = self._drift(name, rollout)
            evidence = tally.total([found.candidate.count, *theirs])
            quality = self._quality(name, rollout.version, rollout.against)
            found.note(evidence._replace(drift=found.drift, quality=quality), self._clock())
            if (broken := found.breach()) is not None:
                log.error("%s of %s %s rolled back: %s", rollout.mode, name, rollout.version, broken.why)
                self._end(name, broken.rule)
                self._owed[name] = (rollout.id, broken)
            else:
                await self._move_on(name, found)

    async def _exchange(self) -> list[dict[str, Count]]:
        """Tell the other workers, and hear of them."""
        own = self._counts | {one.candidate.rollout.id: one.candidate.count for one in self.followed.values()}
        if (shared := self._metrics.shared) is None:
            return []
        return await asyncio.to_thread(self._exchange_in, shared, own)

    def _exchange_in(self, shared: Path, own: dict[str, Count]) -> list[dict[str, Count]]:
        try:
            tally.publish(shared, own)
        except OSError as error:
            self._complain("", f"the other workers cannot be told of this one's rollouts: {error}")
        return tally.others(shared)

    async def _move_on(self, name: str, found: Followed) -> None:
        """To the next step, and behind the last one to the promotion, where the time has come."""
        rollout, evidence, now = found.candidate.rollout, found.evidence, self._clock()
        answers = evidence.candidate.answers if rollout.mode == "canary" else evidence.pairs.rows
        if rollout.mode == "canary" and rollout.is_through and rollout.now.share == 1:
            await self._write(name, lambda release: self._promote(release, rollout))
        elif rollout.moved_on(now, answers) != rollout:
            await self._write(name, lambda release: release.move_on(rollout.id, now, answers))

    def _promote(self, release: Release, rollout: Rollout) -> None:
        if release.served == rollout.against:
            reason = rollout.reason or f"it has passed its canary of {len(rollout.steps)} steps"
            release.promote(rollout.version, rollout.who, reason, force=rollout.forced, check=verified)
            log.info("%s %s has passed its canary and is served", release.name, rollout.version)

    async def _write_end(self, name: str) -> None:
        identity, broken = self._owed[name]

        def end(release: Release) -> None:
            running = release.running
            if running is not None and running.id == identity and release.stop(ITSELF, broken.why, broken.rule):
                self._metrics.rollbacks[name, running.version, broken.rule] += 1

        if await self._write(name, end):
            del self._owed[name]

    async def _write(self, name: str, change: Callable[[Release], object]) -> bool:
        """Whether that could be done; where another worker is at it, it can be done next time."""
        try:
            await asyncio.to_thread(lambda: change(Release(self._repository.settings.models_dir, name)))
        except (BundleError, OSError) as error:
            self._complain(name, f"the rollout of {name}: {error}")
            return False
        return True

    def _complain(self, name: str, complaint: str) -> None:
        if self._complaints.get(name) != complaint:
            log.warning("%s", complaint)
        self._complaints[name] = complaint

    def _drift(self, name: str, rollout: Rollout) -> tuple[float, str] | None:
        """How much farther the candidate is from its training data than what is served, where it is farthest."""
        indices = [self._indices(name, version) for version in (rollout.version, rollout.against)]
        found = [(psi - indices[1].get(feature, 0.0), feature) for feature, psi in indices[0].items()]
        return max(found, default=None)

    def _indices(self, name: str, version: str) -> dict[str, float]:
        """The stability index of each feature that differs by more than chance, and of the others nothing."""
        model = self._metrics.model(name, version)
        if model.watch is None:
            return {}
        found = {
            feature: compare(model.watch.histograms[feature].counts, counts)
            for feature, counts in self._metrics.windows(name, version).items()
        }
        return {name: one.psi - one.expected for name, one in found.items() if one and one.p_value < RARE}


def verified(folder: Path) -> None:
    """It has answered requests already."""
    Bundle(folder)

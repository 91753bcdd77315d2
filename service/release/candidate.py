"""A candidate in this worker: which requests it answers or follows behind the others, and what came of them.

A follower runs on rows that the other version has answered, behind whatever waits there, one request at a time and
never more than a fifth of the time. What it gives is compared and forgotten. Where too much waits, requests go without.
"""

import asyncio
import logging
from collections import deque
from math import isfinite
from random import random
from time import monotonic, perf_counter
from typing import NamedTuple

from service.bundle import Arrays, size_of
from service.engine.batcher import PATIENT, Job
from service.engine.served_model import Finish, Listener, ServedModel, T
from service.errors import ClientError, DeadlineExceeded, Missing, NotFinite, NotReady, Overloaded, QuartetError
from service.release.comparison import compare, main_inputs
from service.release.rollout import Rollout
from service.release.rules import Pairs
from service.release.tally import Count
from service.stage_pool import Caller

MOST_WAITING, MOST_BYTES = 64, 16 * 2**20
FOLLOWED = 0.1  # of all requests, where a canary has more
REST = 4.0  # times what a run took
LOOK_S, PATIENCE_S = 0.005, 5.0  # at whether rows wait; then it is too late

log = logging.getLogger(__name__)


class Pair(NamedTuple):
    """A request that one version has answered, for the other one to follow."""

    first: ServedModel
    inputs: Arrays
    outputs: Arrays
    until: float


class Candidate:
    """All methods belong to the event loop's thread."""

    def __init__(self, rollout: Rollout, model: ServedModel, served: ServedModel) -> None:
        """`model` is in memory."""
        self.rollout, self.model, self.served = rollout, model, served
        self.count = Count()
        self._pairs: deque[Pair] = deque()
        self._bytes = 0
        self._arrived = asyncio.Event()
        self._following = asyncio.create_task(self._follow())

    def end(self) -> None:
        """Nothing more is given to it; what it has begun it finishes."""
        if self.served.candidate is self:
            self.served.candidate = None
        self._following.cancel()
        self._pairs.clear()
        self.model.retire()

    @property
    def canary(self) -> ServedModel | None:
        return self.model if self.rollout.mode == "canary" else None

    async def answer(self, caller: Caller, finish: Finish[T]) -> T:
        """The candidate's answer where the request falls to it; the served version's where it fails or is not asked."""
        started = perf_counter()
        if self.rollout.mode == "canary" and self.rollout.takes(self._key(caller)):
            try:
                answer = await finish(self.model, self._listener(self.model, FOLLOWED / self.rollout.now.share))
            except Exception as error:
                if not is_fault(error):
                    raise
                self.count = self.count._replace(candidate=self.count.candidate.and_error())
                if isinstance(error, DeadlineExceeded):
                    raise
                return await finish(self.served, None)
            took = perf_counter() - started
            self.count = self.count._replace(candidate=self.count.candidate.and_one(took))
            return answer
        share = self.rollout.now.share if self.rollout.mode == "shadow" else 0.0
        try:
            answer = await finish(self.served, self._listener(self.served, share))
        except Exception as error:
            if is_fault(error):
                self.count = self.count._replace(served=self.count.served.and_error())
            raise
        if self.rollout.mode == "canary":  # a shadow's times are those of its runs
            self.count = self.count._replace(served=self.count.served.and_one(perf_counter() - started))
        return answer

    def _key(self, caller: Caller) -> bytes:
        """What the request is split by: the header that the client chose, else its id."""
        if (sender := caller.sender) is None:
            return b""
        return sender.headers.get(self.rollout.by.encode()) or sender.request_id

    def _listener(self, first: ServedModel, share: float) -> Listener | None:
        if share <= 0 or (share < 1 and random() >= share):
            return None

        def listen(job: Job, inputs: Arrays, outputs: Arrays) -> None:
            self._take(first, job, inputs, outputs)

        return listen

    def _take(self, first: ServedModel, job: Job, inputs: Arrays, outputs: Arrays) -> None:
        """Let the other version follow, where there is room."""
        rows = main_inputs(first.manifest, inputs)
        given = [one.name for one in first.manifest.outputs]
        if rows is None or not all(name in outputs for name in given):
            return
        size = size_of(rows) + size_of(outputs)
        if len(self._pairs) >= MOST_WAITING or self._bytes + size > MOST_BYTES:
            self._skip(job.rows)
            return
        if self.rollout.mode == "shadow":
            self.count = self.count._replace(served=self.count.served.and_one(job.infer_s))
        self._bytes += size
        outputs = {name: outputs[name] for name in given}
        self._pairs.append(Pair(first, rows, outputs, monotonic() + PATIENCE_S))
        self._arrived.set()

    def _skip(self, rows: int) -> None:
        pairs = self.count.pairs
        self.count = self.count._replace(pairs=pairs._replace(skipped=pairs.skipped + rows))
        self.model.metrics.shadow["skipped"] += rows

    async def _follow(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._pairs:
                pair = self._pairs.popleft()
                self._bytes -= size_of(pair.inputs) + size_of(pair.outputs)
                try:
                    await self._compare(pair)
                except Exception:
                    log.exception("comparing %s with its candidate failed", self.served.manifest.name)

    async def _compare(self, pair: Pair) -> None:
        other = self.served if pair.first is self.model else self.model
        while (loaded := other.use()) is not None and self._is_busy() and monotonic() < pair.until:
            await asyncio.sleep(LOOK_S)
        job = Job(pair.inputs, Caller(monotonic() + PATIENCE_S, lambda: False), PATIENT)
        if loaded is None or monotonic() >= pair.until:
            self._skip(job.rows)
            return
        try:
            outputs = await loaded.outputs(job)
        except Overloaded:
            self._skip(job.rows)
            return
        except QuartetError:
            if other is self.model:
                self.count = self.count._replace(candidate=self.count.candidate.and_error())
            return
        if self.rollout.mode == "shadow":
            self.count = self.count._replace(candidate=self.count.candidate.and_one(job.infer_s))
        self._note(pair, other, outputs)
        await asyncio.sleep(REST * job.infer_s)

    def _is_busy(self) -> bool:
        return any(one.loaded is not None and one.loaded.is_busy for one in (self.served, self.model))

    def _note(self, pair: Pair, other: ServedModel, outputs: Arrays) -> None:
        found = compare((pair.first.manifest, pair.outputs), (other.manifest, outputs))
        if not isfinite(found.difference):  # a client would have been told that the model gives no number
            self.count = self.count._replace(candidate=self.count.candidate.and_error())
            return
        old, labelled = self.count.pairs, found.rows if found.agreed is not None else 0
        mean = found.difference / found.rows
        self.count = self.count._replace(
            pairs=Pairs(
                old.rows + found.rows,
                old.labelled + labelled,
                old.agreed + (found.agreed or 0),
                old.difference + found.difference,
                old.squares + found.rows * mean * mean,
                old.skipped,
            )
        )
        shadow = self.model.metrics.shadow
        shadow["agreed"] += found.agreed or 0
        shadow["differed"] += labelled - (found.agreed or 0)
        shadow["difference"] += found.difference


def is_fault(error: Exception) -> bool:
    """Whether the version is to blame, and not what the client sent or how much others did."""
    if isinstance(error, NotFinite | NotReady | DeadlineExceeded):
        return True
    return not isinstance(error, ClientError | Missing | Overloaded)

"""One loaded version of a model: its session, its batcher and what is known of their speed."""

from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from math import inf
from queue import SimpleQueue
from time import perf_counter

from service.batcher import Batcher, Job
from service.bundle import EXPLANATION, Arrays, Bundle, BundleError, size_of
from service.metrics import Gauges, Metrics
from service.quota import cpu_quota
from service.session import Session, batch_sizes, plainest, tiled
from service.settings import Settings
from service.tune import Profile, Tuning

LONG_S = 0.01  # a row that takes longer is worth the threads of other processes
EXPLAINED_AT_ONCE = 16  # pictures: every inner activation of each is held


class ServedModel:
    """Ready to answer: hashes right, golden outputs reproduced, every batch size warm.

    It lives as long as somebody holds it: requests in flight finish on a version that has been replaced.
    """

    def __init__(self, bundle: Bundle, settings: Settings, metrics: Metrics, profile: Profile) -> None:
        """Raises BundleError or ProviderError. Takes seconds: call it in a thread."""
        self.bundle, self.manifest, self.card = bundle, bundle.manifest, bundle.card
        tuning, sessions = started(bundle, settings, profile)
        self.tuning = tuning
        self.provider = sessions[0].provider
        for session in sessions:
            cost_s = warm_up(session, bundle, tuning.max_batch)
        self.metrics = metrics.model(self.manifest.name, self.manifest.version)
        self.batcher = Batcher(
            sessions[0].run if len(sessions) == 1 else Pool(sessions).run,
            ThreadPoolExecutor(tuning.instances, thread_name_prefix=self.manifest.name),
            max_batch=tuning.max_batch,
            max_queue_rows=settings.max_queue_rows,
            cost_s=cost_s,
            observe=self.metrics.batch,
            slots=tuning.instances,
            max_delay_s=tuning.max_delay_ms / 1000,
        )
        # Bytes of outputs for each of inputs, as with the golden ones.
        self.gain, self.explained_gain = _gain(sessions[0], bundle), 0.0
        self.explainer: Batcher | None = None
        if self.manifest.explanation:
            explaining = Session(bundle, settings.provider, tuning.threads, explaining=True)
            self.explainer, self.explained_gain = _explainer(explaining, bundle, settings), _gain(explaining, bundle)

    def outputs(self, job: Job) -> Awaitable[Arrays]:
        """What the graph gives for a job's rows and, where the job asks for it, what explains that."""
        return self._explained(job) if job.explain else self.batcher.submit(job)

    async def _explained(self, job: Job) -> Arrays:
        assert self.explainer is not None  # `prepare` has refused what cannot be explained
        twin = Job(job.inputs, job.errand, job.priority)
        outputs = await self.batcher.submit(job) | await self.explainer.submit(twin)
        job.queued_s += twin.queued_s
        job.infer_s += twin.infer_s
        return outputs

    def gauges(self) -> Gauges:
        return Gauges(self.batcher.queued_rows, self.batcher.running_rows, self.tuning.threads, self.provider)


class Pool:
    """Sessions that run side by side, each one batch at a time."""

    def __init__(self, sessions: list[Session]) -> None:
        self._free: SimpleQueue[Session] = SimpleQueue()
        for session in sessions:
            self._free.put(session)

    def run(self, inputs: Arrays) -> Arrays:
        session = self._free.get()
        try:
            return session.run(inputs)
        finally:
            self._free.put(session)


def started(bundle: Bundle, settings: Settings, profile: Profile) -> tuple[Tuning, list[Session]]:
    """Sessions as the profile has them; else one, with the threads of the settings or as many as suit the model.

    That is a fair share of the quota, and all of it where a row takes long: few such requests run at once, and
    connections fall to the processes as they come: one would wait, another idle.
    """
    quota, chosen = cpu_quota(), profile.models.get(bundle.manifest.name)
    share = settings.threads or max(1, quota // settings.processes)
    tuning = chosen or Tuning(threads=share, max_batch=bundle.manifest.max_batch)
    sessions = [Session(bundle, settings.provider, tuning.threads) for _ in range(tuning.instances)]
    if chosen or settings.threads or share >= quota or not _takes_long(sessions[0], bundle):
        return tuning, sessions
    return tuning.model_copy(update={"threads": quota}), [Session(bundle, settings.provider, quota)]


def _takes_long(session: Session, bundle: Bundle) -> bool:
    """Whether a row does, or may: where a graph takes items of any size, the golden ones are small."""
    if bundle.manifest.any_size:
        return True
    return _seconds(session, plainest(session, bundle.golden()[0])) > LONG_S


def _gain(session: Session, bundle: Bundle) -> float:
    inputs, _ = bundle.golden()
    return size_of(session.run(inputs)) / size_of(inputs)


def _explainer(session: Session, bundle: Bundle, settings: Settings) -> Batcher:
    """The graph that explains, behind a queue and in a thread of its own: who asks for the why delays nobody else."""
    inputs, _ = bundle.golden()
    maps = session.run(inputs)[bundle.manifest.explanation[0].name]
    labels = getattr(bundle.manifest.task, "labels", ())
    if maps.ndim != 4 or maps.shape[1] != len(labels):
        raise BundleError(
            f"{bundle.path / EXPLANATION} gives class maps {maps.shape}, its manifest {len(labels)} labels"
        )
    return Batcher(
        session.run,
        ThreadPoolExecutor(1, thread_name_prefix=f"{bundle.manifest.name}-why"),
        max_batch=EXPLAINED_AT_ONCE,
        max_queue_rows=settings.max_queue_rows,
        cost_s=costs_s(session, inputs, EXPLAINED_AT_ONCE),
        observe=lambda rows, infer_s, queued_s: None,  # the stages of the request that asked hold its time
    )


def warm_up(session: Session, bundle: Bundle, max_batch: int) -> list[float]:
    """Reproduce the golden outputs, then measure what batches cost.

    That of golden items says nothing of others where these may be of any size: none of them counts as short.
    """
    inputs, _ = bundle.golden()
    bundle.check_golden(session.run(inputs))
    cost_s = costs_s(session, inputs, max_batch)
    return [inf] * len(cost_s) if bundle.manifest.any_size else cost_s


def costs_s(session: Session, inputs: Arrays, max_batch: int) -> list[float]:
    """Run every batch size of a doubling series, the plainest row over and over.

    Returns the seconds that a batch takes, by its rows: those measured at the next larger size of the series.
    """
    cost_s, row = [0.0], plainest(session, inputs)
    for rows in batch_sizes(max_batch):
        batch = tiled(row, rows)
        session.run(batch)
        cost_s += [_seconds(session, batch)] * (rows - len(cost_s) + 1)
    return cost_s


def _seconds(session: Session, batch: Arrays) -> float:
    """The shortest of three runs, for whatever else the machine does adds to it; of one where that takes long."""
    seconds = _once(session, batch)
    return seconds if seconds > LONG_S else min(seconds, _once(session, batch), _once(session, batch))


def _once(session: Session, batch: Arrays) -> float:
    started = perf_counter()
    session.run(batch)
    return perf_counter() - started

"""A version in memory: a session, a batcher and what is known of their speed, for each of its graphs."""

from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

from service.bundle import MAIN, Arrays, Bundle, size_of
from service.engine.batcher import Batcher, Job, Observer, Run
from service.engine.cascade import Cascaded, Queued, answering
from service.engine.costs import costs_s, fastest_row, seconds_of, warm
from service.engine.device_memory import largest_item
from service.engine.fixed_shapes import Runnable, open_runnable
from service.engine.padding import Padding
from service.engine.precision import why_not
from service.engine.profile import ON_DEVICE, Profile, Tuning, usual
from service.engine.session import provider_of
from service.model_metrics import Gauges, ModelMetrics
from service.quota import cpu_quota
from service.settings import Settings
from service.watch import Watch

LONG_S = 0.01  # a row that takes longer is worth the threads of other processes


class LoadedModel:
    """Ready to answer: golden outputs reproduced, the largest batch run.

    It lives as long as somebody holds it: requests in flight finish on one that has been replaced or has made room.
    """

    def __init__(
        self, bundle: Bundle, settings: Settings, metrics: ModelMetrics, profile: Profile, watch: Watch | None = None
    ) -> None:
        """`watch` counts what is asked and answered.

        Raises BundleError or ProviderError. Takes seconds: call it in a thread.
        """
        self.tuning, sessions, row = start_sessions(bundle, settings, profile)
        self.provider, self.precision = sessions[0].provider, sessions[0].precision
        self.objection = why_not(bundle.manifest, settings, self.precision)
        cascade = bundle.manifest.cascade
        again = cascade.graph if cascade else None
        self.graphs = {
            name: self._beside(bundle, name, settings, metrics.batch_again if name == again else _unobserved)
            for name in bundle.manifest.graphs
            if name != MAIN
        }
        second = self.graphs[again] if again else None
        main = self.graphs[MAIN] = LoadedGraph(
            bundle, MAIN, sessions, row, self.tuning, settings, metrics.batch, None if second else watch, second
        )
        self._asked: dict[str, Queued] = {**self.graphs}
        if second:
            self._asked[MAIN] = Cascaded(bundle, main, second, watch)
        self._batchers = [one.batcher for one in (main, second) if one]

    def _beside(self, bundle: Bundle, name: str, settings: Settings, observe: Observer) -> "LoadedGraph":
        """Another graph, behind a queue and in a thread of its own: who asks for it delays nobody else."""
        tuning = Tuning(threads=self.tuning.threads, max_batch=bundle.manifest.graphs[name].max_batch)
        session = open_runnable(bundle, settings, tuning, name)
        row = fastest_row(session.run, bundle.golden(name)[0])
        return LoadedGraph(bundle, name, [session], row, tuning, settings, observe)

    @property
    def batcher(self) -> Batcher:
        """Of the main graph."""
        return self.graphs[MAIN].batcher

    @property
    def is_busy(self) -> bool:
        """Whether rows wait for one of its graphs or run in it."""
        return any(graph.batcher.queued_rows or graph.batcher.running_rows for graph in self.graphs.values())

    def gain(self, graphs: tuple[str, ...]) -> float:
        """Bytes of outputs for each of inputs."""
        if len(graphs) == 1:  # as nearly always: a generator costs more than all else here
            return self._asked[graphs[0]].gain
        return sum(self._asked[name].gain for name in graphs)

    def input_size(self, job: Job) -> int:
        """Bytes of what the largest of its graphs is run on, padding included."""
        if len(job.graphs) == 1:
            return self._asked[job.graphs[0]].input_size(job.inputs)
        return max(self._asked[name].input_size(job.inputs) for name in job.graphs)

    def outputs(self, job: Job) -> Awaitable[Arrays]:
        """What the graphs that the job asks for give for its rows, their outputs together.

        What the job does not hold of the inputs of one of them, those before it have given.
        """
        return self._together(job) if len(job.graphs) > 1 else self._asked[job.graphs[0]].outputs(job)

    async def _together(self, job: Job) -> Arrays:
        outputs: Arrays = {}
        waited = ran = 0.0
        for name in job.graphs:
            found = outputs | job.inputs
            inputs = {key: found[key] for key in self.graphs[name].inputs}
            part = Job(inputs, job.caller, job.priority)
            outputs |= await self._asked[name].outputs(part)
            waited, ran = waited + part.queued_s, ran + part.infer_s
        job.queued_s, job.infer_s = waited, ran
        return outputs

    def gauges(self) -> Gauges:
        queued = sum(one.queued_rows for one in self._batchers)
        running = sum(one.running_rows for one in self._batchers)
        return Gauges(queued, running, self.tuning.threads, self.provider)


class LoadedGraph:
    """A graph behind its queue."""

    def __init__(
        self,
        bundle: Bundle,
        name: str,
        sessions: list[Runnable],
        row: Arrays,
        tuning: Tuning,
        settings: Settings,
        observe: Observer,
        watch: Watch | None = None,
        second: "LoadedGraph | None" = None,
    ) -> None:
        """`row` is what it is timed with; `second` goes on where the bundle has a cascade.

        Raises BundleError when the graph does not give its golden outputs.
        """
        manifest, graph = bundle.manifest, bundle.manifest.graphs[name]
        inputs, _ = bundle.golden(name)
        for session in sessions:
            outputs = (answering(bundle, session.run, second.run) if second else session.run)(inputs)
            bundle.check_golden(outputs, name, session.precision)
        cost_s = costs_s(sessions[0].run, row, tuning.max_batch)
        for session in sessions[1:]:  # which take as long
            warm(session.run, row, tuning.max_batch, cost_s)
        self.inputs = tuple(tensor.name for tensor in graph.inputs)
        self.gain = size_of(outputs) / size_of(inputs)  # of the golden items
        self._padding = (
            Padding(graph, manifest.axes) if any(manifest.axes[axis].buckets for axis in graph.axes) else None
        )
        self._item = elements(inputs) if graph.axes else 0
        self.run: Run = sessions[0].run if len(sessions) == 1 else Pool(sessions).run
        self.batcher = Batcher(
            self.run if watch is None else watch.watching(self.run),
            ThreadPoolExecutor(tuning.instances, thread_name_prefix=f"{manifest.name}-{name}"),
            max_batch=tuning.max_batch,
            max_queue_rows=settings.max_queue_rows,
            cost_s=cost_s,
            observe=observe,
            slots=tuning.instances,
        )

    def outputs(self, job: Job) -> Awaitable[Arrays]:
        """Raises what `Batcher.submit` raises."""
        return self._submit(job) if self._padding is None else self._padded(self._padding, job)

    def input_size(self, inputs: Arrays) -> int:
        """Bytes of what the graph is run on, padding included."""
        return size_of(inputs) if self._padding is None else self._padding.size(inputs)

    def _submit(self, job: Job) -> Awaitable[Arrays]:
        if self._item:  # what a batch costs was measured with the golden items
            job.times = max(1.0, elements(job.inputs) / self._item)
        return self.batcher.submit(job)

    async def _padded(self, padding: Padding, job: Job) -> Arrays:
        inputs, lengths = padding.fill(job.inputs)
        job.reshape(inputs)
        return padding.cut(await self._submit(job), lengths)


class Pool:
    """Sessions that run side by side, each one batch at a time."""

    def __init__(self, sessions: list[Runnable]) -> None:
        self._free: SimpleQueue[Runnable] = SimpleQueue()
        for session in sessions:
            self._free.put(session)

    def run(self, inputs: Arrays) -> Arrays:
        session = self._free.get()
        try:
            return session.run(inputs)
        finally:
            self._free.put(session)


def _unobserved(rows: int, infer_s: float, queued_s: list[float]) -> None:
    """The stages of the request that asked hold the time of a graph beside the main one."""


def start_sessions(bundle: Bundle, settings: Settings, profile: Profile) -> tuple[Tuning, list[Runnable], Arrays]:
    """Sessions of the main graph as the profile has them; else one, with the threads of the settings or as suits it.
    And the golden row that takes the least time.

    That is a fair share of the quota, and all of it where a row takes long: few such requests run at once, and
    connections fall to the processes as they come: one would wait, another idle.
    """
    quota, name, expected = cpu_quota(), bundle.manifest.name, provider_of(settings.provider)
    share = settings.threads or max(1, quota // settings.processes)
    chosen = profile.tuning(name, expected)
    tuning = chosen or usual(bundle, share, expected)
    sessions = [open_runnable(bundle, settings, tuning)]
    if (provider := sessions[0].provider) != expected:  # a GPU that there might have been
        chosen = profile.tuning(name, provider)
        tuning = chosen or usual(bundle, share, provider)
        sessions = [open_runnable(bundle, settings, tuning)]
    sessions += [open_runnable(bundle, settings, tuning) for _ in range(1, tuning.instances)]
    row = fastest_row(sessions[0].run, bundle.golden()[0])
    if chosen or settings.threads or share >= quota or provider == ON_DEVICE:
        return tuning, sessions, row
    if not _takes_long(sessions[0], row, bundle):
        return tuning, sessions, row
    tuning = tuning.model_copy(update={"threads": quota})
    return tuning, [open_runnable(bundle, settings, tuning)], row


def _takes_long(session: Runnable, row: Arrays, bundle: Bundle) -> bool:
    """Whether this row does, or one may when it is as large as its axes allow."""
    largest = largest_item(bundle.manifest.graphs[MAIN], bundle.manifest.axes)
    return seconds_of(session.run, row) * max(1.0, largest / elements(row)) > LONG_S


def elements(inputs: Arrays) -> float:
    """Of one row, all inputs together."""
    return sum(array.size for array in inputs.values()) / len(next(iter(inputs.values())))

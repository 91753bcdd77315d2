"""How each model runs best on this machine: threads per session, sessions side by side, rows per batch, buckets.

`python -m service tune` measures under the provider of the settings, prints a table and writes a profile; a service
started with `QUARTET_PROFILE` naming that file follows what it says of its own provider. Where it says nothing a model
has one session with all threads and the batch size of its bundle, or on a GPU two.
"""

import platform
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter, process_time

from service.bundle import MAIN, Arrays, Bundle, current, names, repeat_rows, rows_of
from service.engine.costs import batch_sizes, fastest_row
from service.engine.fixed_shapes import Runnable, mixed_s, open_runnable
from service.engine.profile import ON_DEVICE, Measurement, Profile, Tuning, Tunings
from service.engine.session import provider_of
from service.errors import DeviceMemoryFull
from service.quota import cpu_quota
from service.settings import Settings

# A setting must be this much faster to be preferred over one with fewer rows or threads.
CLEARLY = 1.05
SIDE_BY_SIDE = (1, 1), (1, 2), (1, 4)  # on a GPU: threads, which do little there, and instances
LARGEST = 1024  # rows: tried where even half as many are clearly faster than fewer


def tune(settings: Settings, wanted: list[str], seconds: float, before: Profile | None = None) -> Profile:
    """Measure the wanted models, or all, printing a line per measurement; `seconds` each.

    What `before` says of other providers is kept.
    """
    chosen, all_measured, provider = {}, {}, provider_of(settings.provider)
    for name in wanted or names(settings.models_dir):
        bundle = current(settings.models_dir, name)
        measured = all_measured[name] = list(_measurements(bundle, settings, seconds))
        fastest = best(measured).tuning
        print(f"{name} {bundle.manifest.version} on {provider}")
        for one in measured:
            mark = "*" if one.tuning == fastest else " "
            how = f"{one.tuning.threads} threads x {one.tuning.instances}, batch {one.tuning.max_batch:3d}"
            print(f"  {mark} {how}  {one.rows_per_s:12.1f} rows/s  {one.latency_ms:9.2f} ms", flush=True)
        chosen[name] = fastest
        if provider == ON_DEVICE:
            chosen[name] = with_buckets(fastest, partial(open_runnable, bundle, settings), bundle.golden()[0])
            print(f"    filled up to {', '.join(map(str, chosen[name].filled_to))} rows", flush=True)
    machine = f"{platform.node()} {platform.machine()}, {cpu_quota()} cores"
    here = Tunings(machine=machine, models=chosen, measured=all_measured)
    return Profile(providers={**(before.providers if before else {}), provider: here})


def with_buckets(tuning: Tuning, open_one: Callable[[Tuning], Runnable], inputs: Arrays) -> Tuning:
    """With the buckets that batches of all sizes are run fastest in; of those that are as fast, the fewest."""
    powers = batch_sizes(tuning.max_batch)
    choices = {tuple(powers), tuple(powers[::-2][::-1]), (tuning.max_batch,)}
    ways = [tuning.model_copy(update={"buckets": buckets}) for buckets in sorted(choices, key=len)]
    took = [mixed_s(open_one(way), tuning.max_batch, rows_of(inputs)[0]) for way in ways]
    return first_fast(ways, took)


def first_fast(ways: Sequence[Tuning], took: Sequence[float]) -> Tuning:
    """The first that none of the others is clearly faster than; `took` are seconds."""
    return next(way for way, seconds in zip(ways, took, strict=True) if seconds <= CLEARLY * min(took))


def best(measured: list[Measurement]) -> Measurement:
    """The fastest; of those that are as fast, the one with fewest rows in flight, then fewest threads."""
    fastest = max(one.rows_per_s for one in measured)
    good = [one for one in measured if one.rows_per_s * CLEARLY >= fastest]
    return min(
        good, key=lambda one: (one.tuning.max_batch * one.tuning.instances, one.tuning.threads * one.tuning.instances)
    )


def _measurements(bundle: Bundle, settings: Settings, seconds: float) -> Iterator[Measurement]:
    on_device = provider_of(settings.provider) == ON_DEVICE
    for threads, instances in SIDE_BY_SIDE if on_device else _shares(cpu_quota()):
        sessions: list[Runnable] = []
        rows, fastest, faster = 1, 0.0, True
        while rows <= bundle.manifest.graphs[MAIN].max_batch or (faster and rows <= LARGEST):
            tuning = Tuning(threads=threads, instances=instances, max_batch=rows)
            try:
                if on_device or not sessions:  # whose buckets end at the largest batch
                    sessions = [open_runnable(bundle, settings, tuning) for _ in range(instances)]
                one = _measure(tuning, sessions, bundle, seconds)
            except DeviceMemoryFull:
                if not fastest and instances == 1:
                    raise
                break
            yield one
            faster = one.rows_per_s > CLEARLY * fastest
            rows, fastest = 2 * rows, max(fastest, one.rows_per_s)


def _shares(cores: int) -> Iterator[tuple[int, int]]:
    """Threads and instances that fit on the cores."""
    return ((threads, instances) for threads in batch_sizes(cores) for instances in batch_sizes(cores // threads))


def _measure(tuning: Tuning, sessions: list[Runnable], bundle: Bundle, seconds: float) -> Measurement:
    batch = repeat_rows(fastest_row(sessions[0].run, bundle.golden()[0]), tuning.max_batch)

    def work(session: Runnable) -> int:
        session.run(batch)
        count, until = 0, perf_counter() + seconds
        while perf_counter() < until:
            session.run(batch)
            count += 1
        return count

    with ThreadPoolExecutor(len(sessions)) as pool:
        started, busy = perf_counter(), process_time()
        runs = sum(pool.map(work, sessions)) + len(sessions)
        took, busy = perf_counter() - started, process_time() - busy
    return Measurement(
        tuning=tuning,
        rows_per_s=runs * tuning.max_batch / took,
        latency_ms=took / runs * len(sessions) * 1e3,
        cpu_ms=busy / runs * 1e3,
    )

"""How each model runs best on this machine: threads per session, sessions side by side, rows per batch.

`python -m service tune` measures, prints a table and writes a profile; a service started with `QUARTET_PROFILE` naming
that file follows it. Without one every model has one session with all threads and the batch size of its bundle.
"""

import platform
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter, process_time

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.bundle import MAIN, Bundle, current, names, repeat_rows
from service.engine.costs import batch_sizes, fastest_row
from service.engine.fixed_shapes import Runnable, open_runnable
from service.engine.session import CUDA, SHORT, provider_of
from service.quota import cpu_quota
from service.settings import Settings, SettingsError

# A setting must be this much faster to be preferred over one with fewer rows or threads.
CLEARLY = 1.05
ON_DEVICE = (1, 1), (1, 2), (1, 4)  # threads, which do little there, and instances
LARGEST = 1024  # rows: tried where even half as many are clearly faster than fewer


class Tuning(BaseModel):
    """How one model is run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: int = Field(ge=1)
    instances: int = Field(default=1, ge=1)
    max_batch: int = Field(ge=1)


class Measurement(BaseModel):
    """What a way to run a model comes to: `latency_ms` and the processor time of all threads are those of a batch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tuning: Tuning
    rows_per_s: float
    latency_ms: float
    cpu_ms: float


class Profile(BaseModel):
    """Tunings by model, what they were chosen from, and the machine that it was measured on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    machine: str = ""
    models: dict[str, Tuning] = {}
    measured: dict[str, list[Measurement]] = {}


def read_profile(path: Path | None) -> Profile:
    """Raises SettingsError when the file is missing or is no profile."""
    if path is None:
        return Profile()
    try:
        return Profile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"QUARTET_PROFILE: {path} cannot be read: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SettingsError(
            f"QUARTET_PROFILE: {path}: {where}: {first['msg']}; write it anew with `python -m service tune`"
        ) from None


def tune(settings: Settings, wanted: list[str], seconds: float) -> Profile:
    """Measure the wanted models, or all, printing a line per measurement; `seconds` each."""
    chosen, all_measured = {}, {}
    for name in wanted or names(settings.models_dir):
        bundle = current(settings.models_dir, name)
        measured = all_measured[name] = list(_measurements(bundle, settings, seconds))
        chosen[name] = best(measured).tuning
        print(f"{name} {bundle.manifest.version}")
        for one in measured:
            mark = "*" if one.tuning == chosen[name] else " "
            how = f"{one.tuning.threads} threads x {one.tuning.instances}, batch {one.tuning.max_batch:3d}"
            print(f"  {mark} {how}  {one.rows_per_s:12.1f} rows/s  {one.latency_ms:9.2f} ms", flush=True)
    machine = f"{platform.node()} {platform.machine()}, {cpu_quota()} cores"
    return Profile(machine=machine, models=chosen, measured=all_measured)


def best(measured: list[Measurement]) -> Measurement:
    """The fastest; of those that are as fast, the one with fewest rows in flight, then fewest threads."""
    fastest = max(one.rows_per_s for one in measured)
    good = [one for one in measured if one.rows_per_s * CLEARLY >= fastest]
    return min(
        good, key=lambda one: (one.tuning.max_batch * one.tuning.instances, one.tuning.threads * one.tuning.instances)
    )


def _measurements(bundle: Bundle, settings: Settings, seconds: float) -> Iterator[Measurement]:
    on_device = provider_of(settings.provider) == SHORT[CUDA]
    for threads, instances in ON_DEVICE if on_device else _shares(cpu_quota()):
        sessions: list[Runnable] = []
        rows, fastest, faster = 1, 0.0, True
        while rows <= bundle.manifest.graphs[MAIN].max_batch or (faster and rows <= LARGEST):
            if on_device or not sessions:  # whose buckets end at the largest batch
                sessions = [open_runnable(bundle, settings, threads, rows) for _ in range(instances)]
            tuning = Tuning(threads=threads, instances=instances, max_batch=rows)
            yield (one := _measure(tuning, sessions, bundle, seconds))
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

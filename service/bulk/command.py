"""`quartet batch TASK INPUT OUTPUT`: the way of a job from its source to its end."""

import argparse
import os
import shutil
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import Any

from service.ask import add_options, names
from service.bulk import progress, runner
from service.bulk.progress import Job, Progress
from service.bulk.runner import Result
from service.bulk.sinks import REJECTS, Rejects, sink_of
from service.bulk.sources import BulkError, blocks, blocks_of, is_csv, is_table
from service.bundle import BundleError, current, defaults_of
from service.bundle import names as bundle_names
from service.errors import QuartetError
from service.messages import DICOM
from service.quota import cpu_quota
from service.settings import Settings
from service.task import Task
from service.tasks.rows import ON_ERROR

ROWS, FILES = 2048, 8  # of a block
ENGINES = "processes", "ray"
SYNC_S = 1.0  # what a kill costs at the most
WAITING = 3  # blocks for each process that are on their way
INDEX = "JOB_COMPLETION_INDEX"  # what Kubernetes tells each pod of an Indexed Job


def main(words: Sequence[str]) -> int:
    """The exit status: 1 when some were rejected and that is not allowed. Raises BulkError."""
    there = {
        name: task
        for name, task in names().items()
        if task.kind is not None and "count" not in task.request_form.model_fields
    }
    parser = argparse.ArgumentParser(
        prog="quartet batch",
        description="Files and folders through a task, on all cores. A job that was killed goes on where it stood.",
        epilog="example: quartet batch credit applicants.csv scored.csv",
    )
    tasks = parser.add_subparsers(required=True, metavar="TASK", help=", ".join(there))
    for name, task in there.items():
        one = tasks.add_parser(name, description=f"{task.summary}.")
        one.set_defaults(task=task)
        one.add_argument("source", metavar="INPUT", help="a .csv, .jsonl or .parquet, a folder or .zip; or its address")
        one.add_argument("output", metavar="OUTPUT", type=Path, help="a .csv, .jsonl or .parquet; for CT a folder")
        one.add_argument("--model", help="in place of the default")
        one.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="ray: over the nodes of a Ray cluster")
        one.add_argument("--workers", type=int, help="processes; one for each core")
        one.add_argument("--block", type=int, help="rows or files that are answered together")
        one.add_argument("--part", help=f"I/N: every Nth block, from the Ith; I from 0, else {INDEX}")
        one.add_argument("--overwrite", action="store_true", help="begin anew")
        one.add_argument("--allow-rejects", action="store_true", help="end with status 0 although some were rejected")
        add_options(one, (option for option in task.options if option is not ON_ERROR))  # a job keeps rejects apart
    given = vars(parser.parse_args(words))
    task, source, output = given.pop("task"), given.pop("source"), given.pop("output")
    model, workers, overwrite = given.pop("model"), given.pop("workers"), given.pop("overwrite")
    engine = given.pop("engine")
    block, part, allowed = given.pop("block"), _part(given.pop("part")), given.pop("allow_rejects")
    options = {name: value for name, value in given.items() if value is not None}
    settings = Settings.from_environment()
    job = _job(task, model, source, options, part, block, settings)
    found = partial(_over_ray if engine == "ray" else _results, job, settings, workers)
    rejected = work(task, job, output, found, overwrite)
    return 1 if rejected and not allowed else 0


def _part(text: str | None) -> tuple[int, int]:
    """0-based index and count. Raises BulkError."""
    if text is None:
        return 0, 1
    index, _, count = text.rpartition("/")
    index = index or os.environ.get(INDEX, "")
    if not (index.isdigit() and count.isdigit() and int(index) < int(count)):
        raise BulkError(f"--part {text}: write I/N with I from 0 to N-1, or N where {INDEX} says I")
    return int(index), int(count)


def _job(
    task: Task,
    model: str | None,
    source: str,
    options: dict[str, str],
    part: tuple[int, int],
    block: int | None,
    settings: Settings,
) -> Job:
    """Raises BulkError where it cannot begin."""
    try:
        bundle = current(settings.models_dir, model or _default(task, settings))
        runner.Runner(task, bundle, settings, options)
    except (BundleError, QuartetError) as error:
        raise BulkError(str(error)) from None
    if bundle.manifest.task.kind != task.kind:
        raise BulkError(f"{bundle.manifest.name} is for {bundle.manifest.task.kind}, not for {task.kind}")
    if is_table(source) != runner.takes_rows(bundle):
        raise BulkError(f"{source}: {task.path} takes {'rows' if runner.takes_rows(bundle) else 'files'}")
    size = Path(source).stat().st_size if Path(source).is_file() else 0
    if "://" not in source and not Path(source).exists():
        raise BulkError(f"{source} is not there")
    first = next(blocks(source, ROWS, 0), []) if is_csv(source) else []
    return Job(
        task=task.name,
        model=bundle.manifest.name,
        version=bundle.manifest.version,
        source=source,
        source_size=size,
        options=options,
        part=part,
        block=block or (ROWS if runner.takes_rows(bundle) else FILES),
        decimal=runner.mark_of_first(bundle, first) if is_csv(source) else None,
    )


def _default(task: Task, settings: Settings) -> str:
    """Raises BulkError."""
    kind = task.kind or ""
    chosen = settings.defaults.get(kind) or defaults_of(settings.models_dir).get(kind)
    if chosen:
        return chosen
    of_kind = [
        name
        for name in bundle_names(settings.models_dir)
        if current(settings.models_dir, name).manifest.task.kind == kind
    ]
    if len(of_kind) != 1:
        raise BulkError(f"Say which model: --model {' or '.join(of_kind) or 'NAME'}")
    return of_kind[0]


def work(task: Task, job: Job, output: Path, found: Callable[[int], Iterator[list[Result]]], overwrite: bool) -> int:
    """Begin, or go on; how many were rejected. `found` gives the results behind a number of items. Raises BulkError."""
    noted_in, rejects_in = (output.with_name(output.name + suffix) for suffix in (progress.SUFFIX, REJECTS))
    noted = _noted(noted_in, output, job, overwrite)
    if noted.done:
        print(f"{output} is done: {noted.answered:,} answered, {noted.rejected:,} rejected", file=sys.stderr)
        return noted.rejected
    sink = sink_of(output, DICOM in task.writers, noted.output, noted.columns)
    rejects = Rejects(rejects_in, noted.rejects)
    shown, synced, begun = Shown(noted), monotonic(), noted.items
    try:
        for results in found(noted.items):
            sink.write(results)
            rejects.write(results)
            bad = sum(1 for one in results if one.reason)
            noted.items += len(results)
            noted.answered, noted.rejected = noted.answered + len(results) - bad, noted.rejected + bad
            noted.output, noted.rejects, noted.columns = sink.size, rejects.size, sink.columns
            if monotonic() - synced > SYNC_S:
                _note(noted, noted_in, sink, rejects)
                synced = monotonic()
                shown.show(noted.items - begun)
        noted.done = True
        _note(noted, noted_in, sink, rejects)
    except BrokenProcessPool:
        raise BulkError("A process of the job died, for want of memory perhaps: start it again to go on") from None
    finally:
        sink.close()
        rejects.close()
    if not noted.rejected:
        rejects_in.unlink(missing_ok=True)
    where = f", with their reasons in {rejects_in}" if noted.rejected else ""
    print(f"\r{output}: {noted.answered:,} answered, {noted.rejected:,} rejected{where}", file=sys.stderr)
    return noted.rejected


def _noted(path: Path, output: Path, job: Job, overwrite: bool) -> Progress:
    """Where the job stood. Raises BulkError where another one has written there."""
    noted = progress.read(path)
    if overwrite or (noted is None and not output.exists()):
        for old in (path, output, output.with_name(output.name + REJECTS)):
            shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
        return Progress(job=job)
    if noted is None or noted.job != job:
        raise BulkError(f"{output} is there, of another job or another version: --overwrite begins anew")
    return noted


def _note(noted: Progress, path: Path, *files: Any) -> None:
    """What was written first, then that it was."""
    for file in files:
        file.sync()
    noted.write(path)


def _results(job: Job, settings: Settings, workers: int | None, skip: int) -> Iterator[list[Result]]:
    """Of each block of this job's part, in order; some are on their way while one is written."""
    workers = workers or cpu_quota()
    waiting: deque[Future[list[Result]]] = deque()
    arguments = (job, settings.models_dir, os.getpid())
    with ProcessPoolExecutor(workers, get_context("spawn"), runner.begin, arguments) as pool:
        for block in blocks_of(job.source, job.block, job.part, skip):
            waiting.append(pool.submit(runner.run, block))
            if len(waiting) >= WAITING * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _over_ray(job: Job, settings: Settings, workers: int | None, skip: int) -> Iterator[list[Result]]:
    try:
        from service.bulk.ray_engine import results
    except ImportError:
        raise BulkError("--engine ray wants Ray: pip install 'quartet[ray]'") from None
    return results(job, settings.models_dir, workers, skip)


class Shown:
    """A line on the screen."""

    def __init__(self, noted: Progress) -> None:
        self._began, self._already = monotonic(), noted.items

    def show(self, items: int) -> None:
        rate = items / (monotonic() - self._began)
        print(f"\r{self._already + items:,} done, {rate:,.0f} a second", end="", file=sys.stderr, flush=True)

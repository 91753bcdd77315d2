"""A job over the nodes of a Ray cluster: the blocks flow through Ray Data, in order, to actors that hold a runner each.

Without `RAY_ADDRESS` the cluster is this machine. One reader makes the blocks, wherever Ray puts it, and so do the
actors: all nodes need the package, the bundles and the input under the same names.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report its use to its maker
import ray  # noqa: E402
import ray.data  # noqa: E402
import ray.exceptions  # noqa: E402

from service.bulk.progress import Job  # noqa: E402
from service.bulk.runner import Result, Runner, runner_of  # noqa: E402
from service.bulk.sources import BulkError, blocks_of  # noqa: E402

BLOCK = 1  # bytes beyond which Ray hands on what was read: each of our blocks by itself

Batch = dict[str, Any]  # arrays by column


class Packet:
    """A block, or its results, in a cell of a table: Ray would make columns of a list."""

    def __init__(self, held: Any) -> None:
        self.held = held


class Answerer:
    """An actor."""

    def __init__(self, job: Job, models: Path) -> None:
        self._runner: Runner = runner_of(job, models)

    def __call__(self, batch: Batch) -> Batch:
        return _cell(self._runner.run(batch["packet"][0].held))


def results(job: Job, models: Path, workers: int | None, skip: int) -> Iterator[list[Result]]:
    """Of each block of this job's part, in order, behind the first `skip` items. Raises BulkError."""
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.target_max_block_size = BLOCK
    cores = int(ray.cluster_resources().get("CPU", 1))

    def read(_: Batch) -> Iterator[Batch]:
        for block in blocks_of(job.source, job.block, job.part, skip):
            yield _cell(block)

    # The reader asks for no core: the actors have all.
    read_blocks = ray.data.from_items([0]).map_batches(read, batch_size=1, num_cpus=0)
    actors = ray.data.ActorPoolStrategy(size=min(workers or cores, cores))
    answered = read_blocks.map_batches(
        Answerer, fn_constructor_args=(job, models), batch_size=1, num_cpus=1, compute=actors
    )
    try:
        for row in answered.iter_rows():
            yield row["packet"].held
    except ray.exceptions.RayError as error:
        raise BulkError(_reason(error)) from None


def _cell(held: Any) -> Batch:
    return {"packet": np.array([Packet(held)], object)}


def _reason(error: BaseException) -> str:
    """Of the error that ended the job, wherever it happened."""
    while not isinstance(error, BulkError):
        inner = getattr(error, "cause", None) or error.__cause__
        if inner is None:
            return f"Ray ended the job: {type(error).__name__} {error}".rstrip()
        error = inner
    return str(error)

"""The process that tries versions: each is loaded and run within bounds, before any worker does it.

python -m service.engine.trial_process SECONDS BYTES PRECISION FOLDER...    a line of JSON for each, its verdict
"""

import json
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from service.allocator import held
from service.bundle import MAIN, Bundle, BundleError, repeat_rows, rows_of
from service.engine.cascade import answering
from service.engine.session import Session

OUT_OF_MEMORY = ("bad_alloc", "Failed to allocate memory", "MemoryError")
MB = 2**20


class Verdict(NamedTuple):
    """What is wrong with a version, "" where nothing is, and the bytes that its sessions take."""

    reason: str
    size: int = 0


def main(seconds: str, size: str, precision: str, *folders: str) -> None:
    """An alarm ends this process, whatever runs, and the kernel takes it first when memory is short."""
    signal.setitimer(signal.ITIMER_REAL, float(seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (int(size), int(size)))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    for folder in folders:
        signal.setitimer(signal.ITIMER_REAL, float(seconds))
        print(json.dumps(_verdict(Path(folder), int(size), precision)), flush=True)


def _verdict(folder: Path, most: int, precision: str) -> Verdict:
    """`most` is the bytes that there are."""
    try:
        return Verdict("", _try(folder, precision))
    except BundleError as error:
        reason = str(error)
    except Exception as error:
        reason = f"{folder} does not load: {type(error).__name__}: {error}"
    if any(word in reason for word in OUT_OF_MEMORY):
        reason = f"{folder} takes more than the {most // MB} MB that a worker has"
    return Verdict(reason)


def _try(folder: Path, precision: str) -> int:
    """Golden inputs, and the largest batch, of each graph; the bytes that its sessions take before they run.

    What a cascade answers is golden, and not what its main graph gives.
    """
    bundle, size = Bundle(folder), 0
    cascade, halves = bundle.manifest.cascade, dict[str, Session]()
    for name, graph in bundle.manifest.graphs.items():
        inputs, _ = bundle.golden(name)
        before = held()
        # In an arena of its own: a shared one would keep what an earlier session needed.
        session = Session(bundle, "cpu", 1, name, shares_arena=False, precision=precision)
        size += held() - before
        if cascade and name in (MAIN, cascade.graph):
            halves[name] = session
        if cascade is None or name != MAIN:
            bundle.check_golden(session.run(inputs), name, session.precision)
        session.run(repeat_rows(rows_of(inputs)[0], graph.max_batch))
    if cascade:
        run = answering(bundle, halves[MAIN].run, halves[cascade.graph].run)
        bundle.check_golden(run(bundle.golden()[0]))
    return size


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The trial of a version: a process with bounds loads and runs it before any worker does.

A graph may loop for ever or take memory without end, and a thread that runs it cannot be stopped. One process tries all
versions that wait, one after the other. Workers that share a folder hold trials in turn and find the verdicts there.

python -m service.engine.trial SECONDS BYTES FOLDER...    a line of JSON for each, its verdict
"""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from time import sleep
from typing import NamedTuple

from service.allocator import held
from service.bundle import Bundle, BundleError, rows_of
from service.engine.session import Session, repeat_rows
from service.metrics import Metrics
from service.quota import memory_limit
from service.settings import PROJECT, Settings
from service.shared_folder import ensure, locked
from service.supervisor import told

POLL_S = 0.02
OUT_OF_MEMORY = ("bad_alloc", "Failed to allocate memory", "MemoryError")
MB = 2**20
LEAST = 512 * MB


class Verdict(NamedTuple):
    """What is wrong with a version, "" where nothing is, and the bytes that its sessions take."""

    reason: str
    size: int = 0


class Trials:
    """Verdicts on versions, by a key that changes with their files."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._seconds = settings.trial_s
        self._bytes = max(LEAST, memory_limit() // settings.processes)  # more would be too much for a worker, too
        self._metrics = metrics
        self._verdicts: dict[str, Verdict] = {}
        self._lock = Lock()
        self._thread = Thread()

    def begin(self, versions: dict[str, Path]) -> None:
        """Try these folders in the background, in this order, so that they can be loaded as they pass."""
        self._thread = Thread(target=self._hold, args=(versions,), daemon=True)
        self._thread.start()

    def verdict(self, key: str, folder: Path) -> Verdict:
        """Waits for it, as long as a trial may take: call it in a thread."""
        while (found := self._found(key)) is None:
            if self._thread.is_alive():
                sleep(POLL_S)
            else:
                self._hold({key: folder})
        return found

    def forget(self, key: str) -> None:
        """Try again: what ended a trial may have been the machine."""
        self._verdicts.pop(key, None)
        if self._metrics.shared is not None:
            with suppress(OSError):
                (self._metrics.shared / key).unlink()

    def _hold(self, versions: dict[str, Path]) -> None:
        with self._lock, locked(self._metrics.shared, "trials"):
            waiting = {key: folder for key, folder in versions.items() if self._found(key) is None}
            while waiting:
                for key, verdict in zip(list(waiting), self._tried(list(waiting.values())), strict=False):
                    self._note(key, verdict)
                    del waiting[key]

    def _tried(self, folders: list[Path]) -> Iterator[Verdict]:
        """On each in turn, until one ends the process."""
        command = [
            sys.executable,
            "-m",
            "service.engine.trial",
            str(self._seconds),
            str(self._bytes),
            *map(str, folders),
        ]
        path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
        silent = subprocess.DEVNULL
        with subprocess.Popen(
            command, env=os.environ | {"PYTHONPATH": path}, stdin=silent, stdout=subprocess.PIPE, stderr=silent
        ) as child:
            assert child.stdout is not None
            for folder in folders:
                line = child.stdout.readline()
                yield Verdict(*json.loads(line)) if line else Verdict(self._ended(folder, child.wait()))
                if not line:
                    return

    def _ended(self, folder: Path, code: int) -> str:
        if code == -signal.SIGALRM:
            return f"{folder} takes more than {self._seconds:g} s to load and run: mend it or set QUARTET_TRIAL_S"
        return f"{folder} ended the process that tried it, which {told(code)}: it may take {self._bytes // MB} MB"

    def _found(self, key: str) -> Verdict | None:
        if key not in self._verdicts and self._metrics.shared is not None:
            with suppress(OSError, ValueError):
                self._verdicts[key] = Verdict(*json.loads((self._metrics.shared / key).read_text()))
        return self._verdicts.get(key)

    def _note(self, key: str, verdict: Verdict) -> None:
        self._verdicts[key] = verdict
        if self._metrics.shared is not None:
            with suppress(OSError):  # then each worker tries for itself
                ensure(self._metrics.shared)
                staged = self._metrics.shared / f"{key}.new"
                staged.write_text(json.dumps(verdict))
                staged.replace(self._metrics.shared / key)


def key_of(folder: Path, seen: object) -> str:
    return "trial-" + hashlib.sha256(f"{folder} {seen}".encode()).hexdigest()


def main(seconds: str, size: str, *folders: str) -> None:
    """An alarm ends this process, whatever runs, and the kernel takes it first when memory is short."""
    signal.setitimer(signal.ITIMER_REAL, float(seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (int(size), int(size)))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    for folder in folders:
        signal.setitimer(signal.ITIMER_REAL, float(seconds))
        print(json.dumps(_verdict(Path(folder), int(size))), flush=True)


def _verdict(folder: Path, most: int) -> Verdict:
    """`most` is the bytes that there are."""
    try:
        return Verdict("", _try(folder))
    except BundleError as error:
        reason = str(error)
    except Exception as error:
        reason = f"{folder} does not load: {type(error).__name__}: {error}"
    if any(word in reason for word in OUT_OF_MEMORY):
        reason = f"{folder} takes more than the {most // MB} MB that a worker has"
    return Verdict(reason)


def _try(folder: Path) -> int:
    """Golden inputs, and the largest batch, of each graph; the bytes that its sessions take before they run."""
    bundle, size = Bundle(folder), 0
    for name, graph in bundle.manifest.graphs.items():
        inputs, _ = bundle.golden(name)
        before = held()
        session = Session(bundle, "cpu", 1, name, shares_arena=False)  # which would keep what an earlier one needed
        size += held() - before
        bundle.check_golden(session.run(inputs), name)
        session.run(repeat_rows(rows_of(inputs)[0], graph.max_batch))
    return size


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The trial of a version: a process with bounds loads and runs it before any worker does.

A graph may loop for ever or take memory without end, and a thread that runs it cannot be stopped. One process tries all
versions that wait, one after the other. Workers that share a folder hold trials in turn and find the verdicts there.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from time import sleep

from service.engine.trial_process import MB, Verdict
from service.metrics import Metrics
from service.quota import memory_limit
from service.settings import PROJECT, Settings
from service.shared_folder import ensure, locked
from service.supervisor import told

POLL_S = 0.02
LEAST = 512 * MB


class Trials:
    """Verdicts on versions, by a key that changes with their files."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._seconds, self._precision = settings.trial_s, settings.precision
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
            "service.engine.trial_process",
            str(self._seconds),
            str(self._bytes),
            self._precision,
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

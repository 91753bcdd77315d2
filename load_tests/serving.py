"""The service in processes of its own, to be watched, stopped, started again and harmed."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from urllib.request import urlopen

import psutil
from prometheus_client.parser import text_string_to_metric_families

from load_tests.servers import PROJECT, START_S, STOP_S, ServerError, free_port

Counters = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Serving:
    """`python -m service serve` with `settings` (`watch_s=0.1` is QUARTET_WATCH_S), always on one port."""

    def __init__(self, folder: Path, **settings: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self.grpc_port = free_port(), int(str(settings.get("grpc_port", 0)))
        self._log = folder / "server.log"
        self._environment = {f"QUARTET_{name.upper()}": str(value) for name, value in settings.items()}
        self._environment |= {"BENTOML_HOME": str(folder / "home"), "BENTOML_DO_NOT_TRACK": "True"}
        self._process: subprocess.Popen[bytes]

    def start(self) -> "Serving":
        """Return when `/readyz` answers 200. Raises ServerError."""
        command = [sys.executable, "-m", "service", "serve", "--host", "127.0.0.1"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                cwd=PROJECT,
                env={**os.environ, **self._environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if not within(START_S, self._is_up) or self._process.poll() is not None:
            self.kill()
            raise ServerError(f"the service was not ready within {START_S} s. It said:\n{self.log[-3000:]}")
        return self

    def terminate(self) -> None:
        self._process.terminate()

    def ended(self) -> int:
        """Wait for the end; the exit status. Whatever does not end in time is killed."""
        try:
            return self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            self.kill()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def answered_ids(self) -> set[str]:
        """The ids of all requests that the access log says were answered with 200."""
        lines = (json.loads(line) for line in self.log.splitlines() if line.startswith('{"time"'))
        return {line["request_id"] for line in lines if line.get("status") == 200}

    def processes(self) -> list[psutil.Process]:
        """The parent and the workers."""
        first = psutil.Process(self._process.pid)
        return [first, *first.children(recursive=True)]

    def workers(self) -> list[psutil.Process]:
        """The processes that answer requests."""
        return [process for process in self.processes() if _is_worker(process)]

    def memory(self) -> int:
        """Resident bytes of all workers."""
        return sum(worker.memory_info().rss for worker in self.workers())

    def open_files(self) -> int:
        """File descriptors of all workers, connections included."""
        return sum(worker.num_fds() for worker in self.workers())

    def is_ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def counters(self) -> Counters:
        """Every counter, histogram bucket, count and sum of `/metrics`, by name and labels."""
        return {key: value for kind, key, value in self._samples() if kind in ("counter", "histogram")}

    def level(self, name: str) -> float:
        """The sum of a metric over all its labels."""
        return sum(value for _, key, value in self._samples() if key[0] == name)

    def _samples(self) -> Iterator[tuple[str, tuple[str, tuple[tuple[str, str], ...]], float]]:
        with urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                yield family.type, (one.name, tuple(sorted(one.labels.items()))), one.value

    def _is_up(self) -> bool:
        return self._process.poll() is not None or self.is_ready()


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any("service.host" in word for word in process.cmdline())
    except psutil.Error:
        return False


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether the condition comes true in time."""
    until = monotonic() + seconds
    while not (true := holds()) and monotonic() < until:
        sleep(0.02)
    return true

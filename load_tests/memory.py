"""What the service holds in memory, and how long it takes to start and to end: python -m load_tests.memory

With one and with two worker processes, after the start, after requests to every endpoint, and with connections that
say nothing. Prints a table.
"""

import resource
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic
from urllib.request import Request, urlopen

import numpy as np
import psutil

from load_tests.bodies import SLICE_MM, as_npy, slice_hu
from load_tests.examples import requests_of
from load_tests.report import table
from load_tests.servers import START_S, ServerError
from load_tests.serving import Serving, within
from service.settings import Settings
from service.tasks import ct

TIMES = 20
STACK = 16  # slices of 512x512
IDLE = 4096  # connections, of which a process keeps as many by default
LONG_S = 110  # for each request, on a machine that does other work
OTHER_FILES = 128


def requests() -> dict[str, list[tuple[str, str, bytes]]]:
    """Targets, media types and bodies, by what they are an example of; each row of the table adds to those before."""
    small = [
        (asked.target, asked.example.media_type, asked.example.body)
        for asked in requests_of(Settings.from_environment().models_dir)
    ]
    scan = as_npy(np.tile(slice_hu(), (STACK, 4, 4)))
    stacks = f"{ct.TASK.path}?spacing_mm={SLICE_MM}", scan.media_type, scan.content
    return {"every task's examples": small, f"stacks of {STACK} CT slices": [stacks] * TIMES}


def ask(port: int, target: str, media_type: str, body: bytes) -> None:
    asked = Request(f"http://127.0.0.1:{port}{target}", body, {"content-type": media_type})
    with urlopen(asked, timeout=120) as answer:
        answer.read()


def held(serving: Serving) -> int:
    """The proportional set size of all processes in MB: what several share counts once."""
    size = 0
    for process in serving.processes():
        with suppress(psutil.NoSuchProcess):  # one that has tried bundles, and is done
            size += process.memory_full_info().pss
    return round(size / 1e6)


def wait_until_held(serving: Serving, connections: int) -> None:
    """Raises ServerError when the workers do not come to hold as many."""
    if not within(START_S, lambda: serving.open_files() >= connections):
        raise ServerError(f"the workers have {serving.open_files()} open files, not {connections} connections")


def measured(workers: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        started = monotonic()
        serving = Serving(Path(folder), workers=workers, timeout_s=LONG_S).start()
        try:
            row = {"workers": workers, "s until ready": monotonic() - started, "MB after the start": held(serving)}
            for name, wanted in requests().items():
                for request in wanted:
                    ask(serving.port, *request)
                row[f"after {name}"] = held(serving)
            with ExitStack() as idle:
                for _ in range(IDLE):
                    idle.enter_context(socket.create_connection(("127.0.0.1", serving.port)))
                wait_until_held(serving, IDLE)
                row[f"with {IDLE:,} connections"] = held(serving)
        finally:
            ending = monotonic()
            serving.terminate()
            serving.ended()
        return row | {"s to end": monotonic() - ending}


def rows() -> Iterator[dict[str, float]]:
    for workers in (1, 2):
        yield measured(workers)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (IDLE + OTHER_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    print(table(list(rows())))

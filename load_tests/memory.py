"""What the service holds in memory, and how long it takes to start and to end: python -m load_tests.memory

With one and with two worker processes, after the start, after requests to every endpoint, and with connections that
say nothing. Prints a table.
"""

import resource
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from urllib.request import Request, urlopen

import numpy as np

from load_tests.bodies import SLICE_MM, Body, applicants, as_json, as_npy, digit_png, digits_json, slice_hu
from load_tests.report import table
from load_tests.servers import START_S, ServerError
from load_tests.serving import Serving, within

TIMES = 20
STACK = 16  # slices of 512x512
IDLE = 4096  # connections, of which a process keeps as many by default
OTHER_FILES = 128


def requests() -> dict[str, list[tuple[str, Body]]]:
    """Paths and bodies, by what they are an example of; each row of the table adds to those before."""
    scan = np.tile(slice_hu(), (STACK, 4, 4))
    small = [
        ("/v1/digits/classify", digit_png(7)),
        ("/v1/digits/classify?explain=true", digits_json(7)),
        ("/v1/images/classify", digits_json(7)),
        ("/v1/credit/score", as_json({"applicants": applicants()})),
        ("/v1/samples/generate", as_json({"count": 16, "seed": 1})),
    ]
    stacks = f"/v1/ct/denoise?spacing_mm={SLICE_MM}", as_npy(scan)
    return {"small requests": small, f"stacks of {STACK} CT slices": [stacks]}


def ask(port: int, path: str, body: Body) -> None:
    asked = Request(f"http://127.0.0.1:{port}{path}", body.content, {"content-type": body.media_type})
    with urlopen(asked, timeout=120) as answer:
        answer.read()


def held(serving: Serving) -> int:
    """The proportional set size of all processes in MB: what several share counts once."""
    return round(sum(process.memory_full_info().pss for process in serving.processes()) / 1e6)


def wait_until_held(serving: Serving, connections: int) -> None:
    """Raises ServerError when the workers do not come to hold as many."""
    if not within(START_S, lambda: serving.open_files() >= connections):
        raise ServerError(f"the workers have {serving.open_files()} open files, not {connections} connections")


def measured(workers: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        started = monotonic()
        serving = Serving(Path(folder), workers=workers).start()
        try:
            row = {"workers": workers, "s until ready": monotonic() - started, "MB after the start": held(serving)}
            for name, wanted in requests().items():
                for path, body in wanted * TIMES:
                    ask(serving.port, path, body)
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

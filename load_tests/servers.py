"""Servers as subprocesses on free ports of this machine, always stopped."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from http.client import HTTPException
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import urlopen

PROJECT = Path(__file__).parent.parent
PYTHON = Path(sys.executable)
START_S, STOP_S = 180, 60


class ServerError(Exception):
    """A server that does not start."""


class Server(NamedTuple):
    """A base URL, and a context for asking it: outside of that, a server that polls when idle is stopped."""

    url: str
    awake: Callable[[], AbstractContextManager[None]] = nullcontext


@contextmanager
def module(
    name: str, ready: str, environment: Mapping[str, str], python: Path, sleeps: bool = False
) -> Iterator[Server]:
    """`PYTHON -m NAME`."""
    with _running([name], ready, environment, python) as (url, group):
        if not sleeps:
            yield Server(url)
            return
        os.killpg(group, signal.SIGSTOP)
        try:
            yield Server(url, partial(_awake, group))
        finally:
            os.killpg(group, signal.SIGCONT)


@contextmanager
def _awake(group: int) -> Iterator[None]:
    os.killpg(group, signal.SIGCONT)
    try:
        yield
    finally:
        os.killpg(group, signal.SIGSTOP)


@contextmanager
def bentoml(target: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """`bentoml serve TARGET` with default settings; its base URL."""
    with _running(["bentoml", "serve", target, "--host", "127.0.0.1"], "/readyz", environment or {}) as (url, _):
        yield url


@contextmanager
def quartet(environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """The service with default settings; its base URL."""
    with _running(["service", "serve"], "/readyz", environment or {}) as (url, _):
        yield url


@contextmanager
def uvicorn(target: str) -> Iterator[str]:
    """A bare ASGI app under uvicorn with its fastest loop and parser; its base URL."""
    options = ["--loop", "uvloop", "--http", "httptools", "--log-level", "warning", "--no-access-log"]
    with _running(["uvicorn", target, *options], "/", {}) as (url, _):
        yield url


@contextmanager
def _running(
    module: list[str], ready: str, environment: Mapping[str, str], python: Path = PYTHON
) -> Iterator[tuple[str, int]]:
    """`PYTHON -m MODULE --port FREE` from the time that GET `ready` answers 200 until the block ends: URL and group."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [python, "-m", *module, "--port", str(port)],
            cwd=PROJECT,
            env={**os.environ, "BENTOML_DO_NOT_TRACK": "True", **environment},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if not _ready(process, url + ready):
                log.seek(0)
                said = log.read().decode(errors="replace")[-3000:]
                raise ServerError(f"`{' '.join(module)}` was not ready within {START_S} s. It said:\n{said}")
            yield url, process.pid
        finally:
            _stop(process)


def _ready(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = monotonic() + START_S
    while monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(url, timeout=2):
                return True
        except (HTTPError, OSError, HTTPException):
            sleep(0.1)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM to the server, SIGKILL to whatever is left of its process group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port

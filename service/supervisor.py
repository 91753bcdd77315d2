"""The parent of the worker processes: opens the port, starts the workers, replaces those that die, ends them in order.

It has no port of its own and takes no orders but signals: SIGTERM, SIGINT and SIGHUP end the service. A worker says
through a pipe when it has loaded what it can; one that dies before that is started again only after a while. One that
replaces another is told whether others answer meanwhile. As process 1 of a container it buries every orphan.
"""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from math import inf
from time import monotonic
from typing import NamedTuple

from service.log_lines import ForeignLines

BACKLOG = 2048  # connections that wait to be accepted
LISTENING_S = 0.1  # between looks at what workers say, until all have loaded
LONGEST_WAIT_S = 30.0  # before a worker that does not start is tried again
CONFIGURATION = os.EX_CONFIG  # how a worker ends that can never start with these settings
SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
    SIGNALS.add(signal.SIGHUP)

log = logging.getLogger(__name__)


class PortError(Exception):
    """The port cannot be listened on."""


class Child(NamedTuple):
    """A worker process. `loaded` is the pipe through which it says that it has loaded; `failures` those before it."""

    number: int
    loaded: int
    failures: int


class Supervisor:
    """Runs until a signal ends it.

    `command` starts a worker. Appended are the numbers of this process, of the socket, of the pipe and of the standard
    error that is the worker's own, and 1 where others have loaded, else 0.
    """

    def __init__(
        self, listener: socket.socket, command: list[str], workers: int, grace_s: float, ready: Callable[[], None]
    ) -> None:
        """`grace_s` is how long workers may take to end before they are killed; `ready` tells that all have loaded."""
        self._listener, self._command, self._grace_s = listener, command, grace_s
        self._children: dict[int, Child] = {}  # by process id
        self._due: list[tuple[float, Child]] = []  # who is started again, and when
        self._status = 0
        self._proven = False  # whether any worker has ever loaded
        self._loaded: set[int] = set()  # process ids
        self._ready: Callable[[], None] | None = ready  # None once it was called
        self._deadline: float | None = None  # of the end
        self._first = [Child(number, -1, 0) for number in range(1, workers + 1)]

    def run(self) -> int:
        """The exit status."""
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self._foreign = ForeignLines()  # whose thread takes no signal
        for child in self._first:
            self._start(child)
        while True:
            self._bury()
            self._start_due()
            self._hear()
            self._kill_late()
            if self._deadline is not None and not self._children:
                return self._status
            arrived = signal.sigtimedwait(SIGNALS, self._patience())
            if arrived is not None and arrived.si_signo != signal.SIGCHLD:
                self._end()

    def _patience(self) -> float:
        """Seconds until something has to be done without a signal."""
        times = [when for when, _ in self._due] + ([] if self._deadline is None else [self._deadline])
        longest = 3600.0 if self._ready is None else LISTENING_S
        return min(longest, max(0.0, min(times, default=inf) - monotonic()))

    def _start(self, child: Child) -> None:
        loaded, says = os.pipe()
        os.set_blocking(loaded, False)
        os.set_inheritable(says, True)
        own = os.dup(sys.stderr.fileno())
        os.set_inheritable(own, True)
        others = any(self._has_loaded(pid, other) for pid, other in self._children.items())
        words = [*self._command, *map(str, (os.getpid(), self._listener.fileno(), says, own, int(others)))]
        streams = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), (os.POSIX_SPAWN_DUP2, self._foreign.end, 2)]
        pid = os.posix_spawn(words[0], words, os.environ, file_actions=streams, setsigmask=[])
        os.close(says)
        os.close(own)
        self._children[pid] = child._replace(loaded=loaded)

    def _bury(self) -> None:
        """Collect every child that has ended, orphans included, which fall to process 1."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                if pid in self._children:
                    self._lose(pid, os.waitstatus_to_exitcode(status))

    def _lose(self, pid: int, code: int) -> None:
        child = self._children.pop(pid)
        has_loaded = self._has_loaded(pid, child)
        self._loaded.discard(pid)
        os.close(child.loaded)
        if self._deadline is not None:
            return
        if code == CONFIGURATION and not self._proven:
            self._status = 1
            self._end()
            return
        failures = 0 if has_loaded else child.failures + 1
        wait_s = min(2.0 ** (failures - 1), LONGEST_WAIT_S) if failures else 0.0
        log.error("worker %d (process %d) %s; the next one starts in %g s", child.number, pid, told(code), wait_s)
        self._due.append((monotonic() + wait_s, Child(child.number, -1, failures)))

    def _hear(self) -> None:
        """Which workers have loaded, until all have."""
        if self._ready is not None and self._deadline is None:
            for pid, child in self._children.items():
                self._has_loaded(pid, child)
            if len(self._loaded) == len(self._first):
                self._ready()
                self._ready = None

    def _has_loaded(self, pid: int, child: Child) -> bool:
        with suppress(BlockingIOError):  # it has not yet, or a process of the worker's own still holds its end
            if os.read(child.loaded, 1):
                self._loaded.add(pid)
                self._proven = True
        return pid in self._loaded

    def _start_due(self) -> None:
        if self._deadline is not None:
            self._due.clear()
        now = monotonic()
        for when, child in list(self._due):
            if when <= now:
                self._due.remove((when, child))
                self._start(child)

    def _end(self) -> None:
        """Tell the workers to end once they have answered what they accepted. A second signal changes nothing."""
        if self._deadline is None:
            self._deadline = monotonic() + self._grace_s
            self._signal(signal.SIGTERM)

    def _kill_late(self) -> None:
        if self._deadline is not None and self._children and monotonic() >= self._deadline:
            log.error("killing %d workers that did not end within %g s", len(self._children), self._grace_s)
            self._status, self._deadline = 1, monotonic() + self._grace_s
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._children:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def told(code: int) -> str:
    """How a process ended, for the log."""
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


def listen(host: str, port: int) -> socket.socket:
    """The socket that all workers accept from. Raises PortError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        raise PortError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None
    listener.set_inheritable(True)
    return listener


def supervise(
    host: str, port: int, command: list[str], workers: int, grace_s: float, ready: Callable[[int], None]
) -> int:
    """The exit status. `ready` is told the port once all workers have loaded. Raises PortError."""
    with listen(host, port) as listener:
        number = listener.getsockname()[1]
        log.info("listening on %s:%d, loading the models in %d workers", host, number, workers)
        return Supervisor(listener, [sys.executable, *command], workers, grace_s, lambda: ready(number)).run()

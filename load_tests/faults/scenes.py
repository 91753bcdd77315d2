"""Faults, done to a running service before a verifier who asks it all the time."""

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import psutil

from load_tests.faults.crowds import Shot, Unfinished, capacity, flood, hang_up
from load_tests.faults.rows import ALLOWED, LENGTH, crowd
from load_tests.faults.verifier import Verifier
from load_tests.model_folder import SPOILS, ModelFolder
from load_tests.servers import free_port
from load_tests.serving import Serving
from load_tests.wire import Broken

MEGABYTE = 2**20
QUEUE_ROWS = 32
HELD = 16
FIRST = 3  # crowds, after which the threads, buffers and heaps are there that stay
LATE_S = (0.5, 0.1, 0.0)  # how long after SIGTERM the last byte of a request comes
SETTINGS: dict[str, Any] = {"threads": 1, "watch_s": 0.05, "max_queue_rows": QUEUE_ROWS, "access_log": "all"}


def serve(folder: Path, model_folder: ModelFolder, workers: int) -> Serving:
    serving = Serving(folder, models_dir=model_folder.models, workers=workers, grpc_port=free_port(), **SETTINGS)
    return serving.start()


class Scene:
    """A fault, done `count` times before a verifier."""

    def __init__(self, name: str, serving: Serving, count: int, clients: int) -> None:
        self.name, self.serving, self.count = name, serving, count
        self.verifier = Verifier(serving.port, clients=clients)
        self.notes: list[str] = []

    @property
    def violations(self) -> list[str]:
        return self.verifier.violations

    def row(self) -> dict[str, Any]:
        latencies = sorted(self.verifier.latencies_s) or [0.0]
        return {
            "fault": self.name,
            "times": self.count,
            "answers": self.verifier.answered,
            "tried again": len(self.verifier.broken_ports) + self.verifier.refused,
            "p50 ms": median(latencies) * 1e3,
            "p99 ms": latencies[len(latencies) * 99 // 100] * 1e3,
            "max ms": latencies[-1] * 1e3,
            "violations": len(self.violations),
            "notes": "; ".join(self.notes),
        }


@contextmanager
def scene(
    name: str,
    serving: Serving,
    count: int,
    growth_mb: float | None = None,
    clients: int = 8,
    may_cut: bool = False,
    may_fail: bool = False,
) -> Iterator[Scene]:
    """Constant load from the beginning to the end, then calm, in which nothing may be left over.

    `may_cut`: answers may end in the middle, for somebody dies while writing them. `may_fail`: a model does.
    """
    played, said = Scene(name, serving, count, clients), len(serving.log)
    with played.verifier as verifier:
        verifier.see_answers(200)
        before, files = serving.memory(), serving.open_files()
        yield played
        verifier.see_answers(50)
    verifier.expect(may_cut or not verifier.cut_off, f"{verifier.cut_off} answers were cut off")
    for left in ("quartet_in_flight_requests", "quartet_queued_rows", "quartet_running_rows"):
        verifier.see(partial(stands_at, serving, left, 0), f"{left} did not go back to 0", 10)
    if growth_mb is not None:
        verifier.see(lambda: grown(serving, before) <= growth_mb, f"memory did not come back to +{growth_mb:g} MB", 10)
        played.notes.append(f"memory {grown(serving, before):+.1f} MB")
        verifier.see(lambda: serving.open_files() <= files, f"more than {files} files stay open", 10)
    verifier.expect(may_fail or "Traceback" not in serving.log[said:], "a traceback in the log")


def grown(serving: Serving, before: int) -> float:
    """MB that the workers hold more than before."""
    return (serving.memory() - before) / MEGABYTE


def stands_at(serving: Serving, metric: str, value: float) -> bool:
    return serving.level(metric) == value


def hot_swaps(serving: Serving, model_folder: ModelFolder, count: int) -> Scene:
    """A new version becomes current: it answers within a moment, and from then on no older one."""
    with scene("hot swap", serving, count, growth_mb=24) as played:
        verifier = played.verifier
        for _ in range(count):
            verifier.see_version(model_folder.add())
    return played


def broken_bundles(serving: Serving, model_folder: ModelFolder, count: int) -> Scene:
    """A version that must not be served becomes current: the old one goes on, and the service says so."""
    with scene("broken bundle", serving, count, growth_mb=24) as played:
        verifier, before = played.verifier, serving.level("quartet_failed_loads_total")
        for i in range(count):
            verifier.barred.add(str(model_folder.newest + 1))
            spoil = SPOILS[i % len(SPOILS)]
            model_folder.add(spoil)
            verifier.see(
                partial(stands_at, serving, "quartet_failed_loads_total", before + i + 1),
                f"{spoil.__name__}: not counted as a failed load",
            )
            verifier.expect(serving.is_ready(), f"{spoil.__name__}: /readyz failed")
            verifier.see_answers(20)
        verifier.see_version(model_folder.add())
    return played


def disconnects(serving: Serving, model_folder: ModelFolder, count: int) -> Scene:
    """Clients hang up at any point of their requests."""
    with scene("disconnect", serving, count, growth_mb=24) as played:
        asyncio.run(hang_up(serving.port, count))
    return played


def large_rows(serving: Serving, model_folder: ModelFolder, count: int) -> Scene:
    """Crowds with large rows that are late, abandoned, refused, failed or answered: nothing of them stays."""
    outcomes: Counter[tuple[str, Any]] = Counter()
    for _ in range(FIRST):
        outcomes += asyncio.run(crowd(serving.port, serving.grpc_port))
    with scene("large rows", serving, count, growth_mb=96, may_fail=True) as played:
        for _ in range(count):
            outcomes += asyncio.run(crowd(serving.port, serving.grpc_port))
    wrong = {key: times for key, times in outcomes.items() if key[1] not in ALLOWED[key[0]]}
    played.verifier.expect(not wrong, f"answers {wrong}")
    played.notes.append(f"{outcomes.total()} requests of {LENGTH:,} numbers")
    return played


def overload(serving: Serving, model_folder: ModelFolder, seconds: int, slack: float = 1) -> Scene:
    """Four times the requests that the slow model can answer, while the verifier asks the fast one.

    `slack` widens the time limits for a machine that has other things to do.
    """
    with scene("4x overload, seconds", serving, seconds, clients=1) as played:
        # Measured twice: on a machine that is busy for a moment, four times too little is no overload.
        rate = max(asyncio.run(capacity(serving.port, 1)) for _ in range(2))
        shots = asyncio.run(flood(serving.port, 4 * rate, seconds))
        judge(played, shots, rate, slack)
    return played


def judge(played: Scene, shots: list[Shot], rate: float, slack: float) -> None:
    verifier = played.verifier
    accepted = sorted(shot.seconds for shot in shots if shot.status == 200)
    refused = [shot for shot in shots if shot.status == 429]
    other = {shot.status for shot in shots} - {200, 429}
    verifier.expect(not other, f"statuses {sorted(other)} under overload")
    verifier.expect(all(shot.right for shot in shots), "a wrong answer under overload")
    verifier.expect(len(refused) > len(shots) / 4, f"{len(refused)} of {len(shots)} were refused: no overload")
    verifier.expect(all((shot.retry_after or "").isdigit() for shot in refused), "a refusal without retry-after")
    # The machine may have become slower since its capacity was measured, but not by much.
    pace = len(accepted) / played.count
    verifier.expect(pace > rate / 3 / slack, f"{pace:.0f} answers/s under overload, {rate:.0f} without")
    if not accepted or not refused:
        return
    refusal, p99 = median(shot.seconds for shot in refused) * 1e3, accepted[len(accepted) * 99 // 100]
    # A full queue before it and the batches that run, twice, and what the host may take for itself.
    refusal_limit, p99_limit = 5 * slack, slack * (2 * (QUEUE_ROWS + 8) / pace + 0.1)
    verifier.expect(refusal < refusal_limit, f"the median refusal took {refusal:.1f} ms, limit {refusal_limit:g}")
    verifier.expect(p99 < p99_limit, f"p99 of accepted requests is {p99:.2f} s, limit {p99_limit:.2f}")
    played.notes.append(
        f"capacity {rate:.0f}/s, accepted {len(accepted)} (p99 {p99 * 1e3:.0f} ms), refused {len(refused)} "
        f"(median {refusal:.1f} ms)"
    )


def restarts(serving: Serving, model_folder: ModelFolder, count: int) -> Scene:
    """SIGTERM while requests are half sent: they are answered, the process ends well, and the next one takes over."""
    with scene("restart", serving, count) as played:
        verifier, ends = played.verifier, []
        for i in range(count):
            started = perf_counter()
            asyncio.run(end_with_unfinished(serving, verifier, LATE_S[i % len(LATE_S)]))
            status = serving.ended()
            ends.append(perf_counter() - started)
            verifier.expect(status == 0, f"the process ended with {status}")
            serving.start()
            verifier.see_answers(20)
    lost = (serving.answered_ids() & verifier.asked_ids) - verifier.answered_ids
    verifier.expect(not lost, f"{len(lost)} answers were given but did not arrive")
    verifier.expect("graceful shutdown exceeded" not in serving.log, "accepted requests were cancelled")
    played.notes.append(f"median end {median(ends):.2f} s")
    return played


async def end_with_unfinished(serving: Serving, verifier: Verifier, late_s: float) -> None:
    clients = Unfinished(serving.port, HELD)
    await clients.begin()
    verifier.see(lambda: serving.level("quartet_in_flight_requests") >= HELD, "half-sent requests are not in flight")
    await asyncio.sleep(0.1)
    serving.terminate()
    await asyncio.sleep(late_s)
    try:
        replies = await clients.finish()
    except Broken as broken:
        verifier.expect(False, f"an accepted request got no answer after SIGTERM: {broken}")
        return
    wrong = [reply for reply in replies if reply.status != 200]
    verifier.expect(not wrong, f"{len(wrong)} accepted requests were refused after SIGTERM")


def worker_kills(serving: Serving, model_folder: ModelFolder, count: int) -> Scene:
    """A worker dies: the other goes on, a new one takes its place, and what was counted stays counted."""
    with scene("worker kill", serving, count, may_cut=True) as played:
        verifier, spent = played.verifier, []
        for _ in range(count):
            before, broken = serving.counters(), len(verifier.broken_ports)
            victim = random.choice(serving.workers())
            its_own = kill(victim, serving.port)
            started = perf_counter()
            verifier.see(partial(is_replaced, serving, victim), "the killed worker was not replaced")
            spent.append(perf_counter() - started)
            verifier.see_answers(50)
            others = set(verifier.broken_ports[broken:]) - its_own
            verifier.expect(not others, f"{len(others)} requests failed that were not the killed worker's")
            after = serving.counters()
            back = [name for (name, labels), value in before.items() if after.get((name, labels), 0) < value]
            verifier.expect(not back, f"counters ran backwards: {', '.join(sorted(set(back)))}")
    played.notes.append(f"median replacement {median(spent):.1f} s")
    return played


def kill(worker: psutil.Process, port: int) -> set[int]:
    """The client ports of the connections that die with it. It is stopped first, so that it opens no more."""
    worker.suspend()
    connections = worker.net_connections("tcp")
    worker.send_signal(signal.SIGKILL)
    return {one.raddr.port for one in connections if one.raddr and one.laddr.port == port}


def is_replaced(serving: Serving, victim: psutil.Process) -> bool:
    try:
        return victim not in serving.workers() and serving.level("quartet_workers") == 2
    except OSError:  # asked the worker that was about to die
        return False

"""What a request costs the process that answers it: memory at the peak, the longest stall of the event loop, time."""

import asyncio
import ctypes
import gc
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time
from typing import NamedTuple, Self

MEGABYTE = 2**20
BEAT_S = 0.002
MEMORY = "MB more than before"

# Bounds for a machine that others use, too: several times what a quiet one takes, a fraction of what harms.
STALL_S = 0.2
MOMENT_S = 2.0
S_PER_MB = 0.2  # of the body as it was sent
S_PER_MEGAPIXEL = 0.15  # of as many as the limits allow: a page of digits takes 0.13
FLOOR = 64 * MEGABYTE
PER_PIXEL = 4  # bytes, of as many as the limits allow
PER_BYTE = 12  # of the body as it was sent

LIBC = ctypes.CDLL(None)
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Excess(NamedTuple):
    """`kind` is what there was too much of."""

    kind: str
    spent: float
    limit: float

    def __str__(self) -> str:
        return f"{self.kind}: {self.spent:.3g}, limit {self.limit:.3g}"


class Cost(NamedTuple):
    """Bytes above what was held before; seconds in which the process worked: waiting for a processor costs nothing."""

    peak: int
    stall_s: float
    seconds: float

    def excesses(self, sent: int, max_pixels: int) -> Iterator[Excess]:
        """What is more than a request with a body of `sent` bytes may cost under a limit of `max_pixels`."""
        limit = FLOOR + PER_PIXEL * max_pixels + PER_BYTE * sent
        moment = MOMENT_S + S_PER_MB * sent / MEGABYTE + S_PER_MEGAPIXEL * max_pixels / MEGABYTE
        for excess in (
            Excess(MEMORY, self.peak / MEGABYTE, limit / MEGABYTE),
            Excess("s in which the event loop stood still", self.stall_s, STALL_S),
            Excess("s of work", self.seconds, moment),
        ):
            if excess.spent > excess.limit:
                yield excess


class Meter:
    """`async with` it around one request that this process answers, on the event loop that answers it."""

    async def __aenter__(self) -> Self:
        LIBC.malloc_trim(0)  # what earlier requests left would hide what this one takes
        CLEAR_REFS.write_text("5")  # from here on the peak is a new one
        self._calm = _memory("VmRSS")
        self._stall_s, self._spent_s = 0.0, 0.0
        self._last = perf_counter(), process_time()
        self._next = asyncio.get_running_loop().call_later(BEAT_S, self._beat)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._next.cancel()
        self._note()
        self.cost = Cost(_memory("VmHWM") - self._calm, self._stall_s, self._spent_s)

    def _beat(self) -> None:
        self._note()
        self._next = asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def _note(self) -> None:
        """While others have the processor the clock goes on, and while several threads work the time they use does."""
        now = perf_counter(), process_time()
        spent = min(now[0] - self._last[0], now[1] - self._last[1])
        self._stall_s, self._spent_s, self._last = max(self._stall_s, spent), self._spent_s + spent, now


def resident_mb() -> float:
    gc.collect()
    LIBC.malloc_trim(0)
    return _memory("VmRSS") / MEGABYTE


def _memory(field: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024

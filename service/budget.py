"""The memory that the requests of a worker process hold together.

Every request has one lease. It grows before memory is taken for it, is settled when a stage is done with what it took,
and ends when the last user has dropped it: a thread that works on for a request that was given up holds its memory.

Beyond the budget a request is refused at once, and one that would not fit even alone for good.
"""

from threading import Lock

import psutil

from service.errors import BodyTooLarge, MemoryFull
from service.quota import memory_limit

SHARE = 0.6  # of what is free; the rest is for running graphs and for what an estimate misses
LEAST = 64 * 2**20
MB = 2**20


class Budget:
    """`size` and `held` count bytes."""

    def __init__(self, size: int) -> None:
        self.size, self.held = size, 0
        self.lock = Lock()

    def lease(self) -> "Lease":
        return Lease(self)


class Lease:
    """What one request holds. All methods may be called from any thread; as a context it is dropped at the end."""

    __slots__ = ("_budget", "_users", "held")

    def __init__(self, budget: Budget) -> None:
        self._budget, self._users, self.held = budget, 1, 0

    def grow(self, size: int, field: str | None = None) -> None:
        """Hold `size` bytes more. Raises MemoryFull, BodyTooLarge where it could never be."""
        budget = self._budget
        with budget.lock:
            if budget.held + size > budget.size:
                self._refuse(size, field)
            self.held += size
            budget.held += size

    def shrink(self, size: int) -> None:
        """Hold `size` bytes less."""
        with self._budget.lock:
            self._budget.held -= size
            self.held -= size

    def settle(self, size: int) -> None:
        """Hold `size` bytes in place of all until now. Raises what `grow` raises when these are more."""
        budget = self._budget
        with budget.lock:
            more = size - self.held
            if more > 0 and budget.held + more > budget.size:
                self._refuse(more, None)
            self.held = size
            budget.held += more

    def keep(self) -> None:
        """One more holder: `drop` must be called once more."""
        with self._budget.lock:
            self._users += 1

    def drop(self) -> None:
        with self._budget.lock:
            self._users -= 1
            if self._users == 0:
                self._budget.held -= self.held
                self.held = 0

    def __enter__(self) -> "Lease":
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def _refuse(self, size: int, field: str | None) -> None:
        needed = self.held + size
        if needed > self._budget.size:
            most = f"this service has {_mb(self._budget.size)} MB for all of them"
            raise BodyTooLarge(f"The request would take {_mb(needed)} MB of memory, {most}: send less at once.", field)
        raise MemoryFull("Other requests take up the memory for it. Try again in a moment.", field)


def default_size(processes: int, reserved: int) -> int:
    """SHARE of what this process may take beyond what it holds now, where all of them share the memory equally.

    `reserved` is what it may come to hold besides requests: models that have not been asked for.
    """
    held = psutil.Process().memory_info().rss + reserved
    return max(LEAST, int(SHARE * (memory_limit() / processes - held)))


def _mb(size: int) -> int:
    return -(-size // MB)

"""How much one request may ask for."""

from math import inf
from time import monotonic
from typing import NamedTuple

from service.budget import Lease
from service.errors import BodyTooLarge, DeadlineExceeded, InvalidShape, TooManyRows

MAX_CLAIM = 2**30  # bytes


class Limits(NamedTuple):
    """`lease` is that of the request; without one each claim is looked at by itself.

    `deadline` is on the monotonic clock.
    """

    max_rows: int
    max_pixels: int
    lease: Lease | None = None
    deadline: float = inf

    def check_rows(self, rows: int, field: str) -> None:
        if rows == 0:
            raise InvalidShape("There is nothing in it.", field)
        if rows > self.max_rows:
            raise TooManyRows(f"More than {self.max_rows} samples in one request: send them in several.", field)

    def check_time(self) -> None:
        """Between the parts of a request that has many: its thread ends with it. Raises DeadlineExceeded."""
        if monotonic() > self.deadline:
            raise DeadlineExceeded("The request's time was up before it had been read.")

    def claim(self, size: int, field: str | None = None) -> None:
        """Ask for `size` bytes of working memory before they are taken. Raises BodyTooLarge, MemoryFull."""
        if self.lease is not None:
            self.lease.grow(size, field)
        elif size > MAX_CLAIM:
            raise BodyTooLarge(f"It would take {size} bytes of memory, limit {MAX_CLAIM}.", field)

    def release(self, size: int) -> None:
        """Give back what was claimed and is no longer taken."""
        if self.lease is not None:
            self.lease.shrink(size)

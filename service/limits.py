"""How much one request may ask for."""

from typing import NamedTuple

from service.budget import Lease
from service.errors import BodyTooLarge, InvalidShape, TooManyRows

MAX_CLAIM = 2**30  # bytes


class Limits(NamedTuple):
    """`lease` is that of the request; without one each claim is looked at by itself."""

    max_rows: int
    max_pixels: int
    lease: Lease | None = None

    def check_rows(self, rows: int, field: str) -> None:
        if rows == 0:
            raise InvalidShape("There is nothing in it.", field)
        if rows > self.max_rows:
            raise TooManyRows(f"More than {self.max_rows} samples in one request: send them in several.", field)

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

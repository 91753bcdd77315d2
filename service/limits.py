"""How much one request may ask for."""

from typing import NamedTuple

from service.errors import InvalidShape, TooManyRows


class Limits(NamedTuple):
    max_rows: int
    max_pixels: int

    def check_rows(self, rows: int, field: str) -> None:
        if rows == 0:
            raise InvalidShape("There is nothing in it.", field)
        if rows > self.max_rows:
            raise TooManyRows(f"{rows} samples in one request, limit {self.max_rows}.", field)

"""Numbers as tables write them: with a decimal point or a comma, which only the other numbers may tell."""

import re
from collections.abc import Iterable

from service.errors import InvalidValue

DECIMAL = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?\s*", re.ASCII)
GROUPED = re.compile(r"\s*[+-]?[1-9]\d{0,2}([.,' ]\d{3})+\s*", re.ASCII)  # thousands, or a fraction to three places
FRACTION = re.compile(r"\s*[+-]?\d*([.,])\d*([eE][+-]?\d{1,3})?\s*", re.ASCII)
LONGEST_NUMBER = 64  # characters
POINT, COMMA = ".", ","


def mark_of(cells: Iterable[object]) -> str | None:
    """The decimal mark of most numbers that leave no doubt; None where all may as well be thousands."""
    found = {POINT: 0, COMMA: 0}
    for cell in cells:
        if isinstance(cell, str) and len(cell) <= LONGEST_NUMBER and (POINT in cell or COMMA in cell):
            fraction = FRACTION.fullmatch(cell)
            if fraction and not GROUPED.fullmatch(cell):
                found[fraction[1]] += 1
    if not any(found.values()):
        return None
    return COMMA if found[COMMA] > found[POINT] else POINT


def written(value: object, path: str, mark: str | None) -> float | None:
    """The number that a cell is; None: it is none. `mark` is the decimal mark of its table, where that is known.

    Raises InvalidValue for one that may be another number.
    """
    if not isinstance(value, str) or len(value) > LONGEST_NUMBER:
        return None
    if value.isascii() and value.isdigit():  # as most are
        return float(value)
    known = mark is not None and FRACTION.fullmatch(value)
    if known and known[1] != mark:
        named = "comma" if mark == COMMA else "point"
        raise InvalidValue(f"Write it with a decimal {named}, as other numbers of the file.", path)
    if not known and GROUPED.fullmatch(value):
        raise InvalidValue("Write it without separators: it may be a number of thousands or a fraction.", path)
    if mark == COMMA:
        value = value.replace(COMMA, POINT)
    return float(value) if DECIMAL.fullmatch(value) else None

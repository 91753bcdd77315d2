"""CSV: cells below a header, as programs and spreadsheets write them, and back."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

from service.errors import EmptyBody, InvalidValue, MalformedBody
from service.limits import Limits
from service.messages import repeated

LONGEST_ROW = 2**16  # characters
SEPARATORS = ",;\t|"
NAMED = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAID = re.compile(rf"sep=([{SEPARATORS}])\n?", re.IGNORECASE)  # a first line that Excel reads and writes
UTF_16 = b"\xff\xfe", b"\xfe\xff"
MARK = "\ufeff"  # which tells Excel that a CSV is in UTF-8
CELL = 64  # bytes of memory, for one of a character or two


class Table(NamedTuple):
    """`rows` hold a cell for each of the `names`, but those in `uneven`, which have more or fewer."""

    names: list[str]
    rows: list[list[Any]]
    uneven: frozenset[int] = frozenset()
    separator: str = ","
    line_end: str = "\n"
    marked: bool = False


def read(body: bytes, field: str, limits: Limits) -> Table:
    """Raises MalformedBody, EmptyBody, TooManyRows and, for names that no table can have, InvalidValue."""
    text = _decoded(body, limits)
    lines = Lines(text)
    first = next(lines, "")
    if said := SAID.fullmatch(first):
        separator, first = said[1], next(lines, "")
    else:
        separator = max(SEPARATORS, key=first.count)
    reader = csv.reader(chain([first], lines), strict=True, delimiter=separator)
    try:
        names = _names(next(reader, []), field)
        # One too many is enough to refuse a million.
        rows = list(islice(filter(None, lines.rows(reader)), limits.max_rows + 1))
    except csv.Error as error:
        raise MalformedBody(f"The CSV is damaged in line {reader.line_num}: {error}.") from None
    if not rows:
        raise EmptyBody("The CSV has no row below its header.")
    limits.check_rows(len(rows), field)
    even = [_even(row, len(names)) for row in rows]
    uneven = frozenset(place for place, row in enumerate(even) if len(row) != len(names))
    return Table(names, even, uneven, separator, "\r\n" if "\r\n" in text[:LONGEST_ROW] else "\n", _is_marked(body))


def _decoded(body: bytes, limits: Limits) -> str:
    limits.claim(4 * len(body))
    try:
        if body.startswith(UTF_16):
            return body.decode("utf-16")
        if b"\0" in body[:64]:
            raise MalformedBody("The CSV seems to be in UTF-16 without a byte-order mark: save it as CSV in UTF-8.")
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedBody(
            f"The CSV is not in {'UTF-16' if body.startswith(UTF_16) else 'UTF-8'}: "
            f"byte {error.start} belongs to no character."
        ) from None


def _is_marked(body: bytes) -> bool:
    return body.startswith((MARK.encode(), *UTF_16))


class Lines:
    """Lines that end as Unix, Windows or old Macs end them. A row may have several, for quotes hold line ends.

    Raises MalformedBody before a row becomes large.
    """

    def __init__(self, text: str) -> None:
        self._stream, self._left = io.StringIO(text, newline=None), LONGEST_ROW

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._stream.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise MalformedBody(f"A row of the CSV has more than {LONGEST_ROW} characters: is there a quote too many?")
        if not line:
            raise StopIteration
        return line

    def rows(self, reader: Iterator[list[str]]) -> Iterator[list[str]]:
        """What `reader` makes of these lines."""
        while True:
            self._left = LONGEST_ROW
            if (row := next(reader, None)) is None:
                return
            yield row


def _names(header: list[str], field: str) -> list[str]:
    """The columns' names; a last one without any comes from a comma at the end of each line."""
    names = [name.strip() for name in header]
    if names and not names[-1]:
        names.pop()
    if "" in names:
        number = names.index("") + 1
        raise InvalidValue(f"Column {number} of the CSV has no name: leave a row index out.", field)
    if len(set(names)) < len(names):
        raise InvalidValue("Given twice in the header.", repeated(names))
    return names


def _even(cells: list[str], width: int) -> list[str]:
    """Without the empty cell behind a comma at the end of the line."""
    return cells[:-1] if len(cells) == width + 1 and not cells[-1].strip() else cells


def write(like: Table, names: Sequence[str], rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV in UTF-8 with the separator, the line ends and the mark of the one that it answers."""
    text = io.StringIO(MARK if like.marked else "", newline="")
    text.seek(0, io.SEEK_END)
    writer = csv.writer(text, delimiter=like.separator, lineterminator=like.line_end)
    writer.writerow(names)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "replace")

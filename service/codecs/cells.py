"""CSV: cells below a header, as programs and spreadsheets write them, and back."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple, TextIO

from service.errors import EmptyBody, InvalidValue, MalformedBody
from service.limits import Limits
from service.messages import repeated

LONGEST_ROW = 2**16  # characters, of a request
SEPARATORS = ",;\t|"
NAMED = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
SAID = re.compile(rf"sep=([{SEPARATORS}])[\r\n]*", re.IGNORECASE)  # a first line that Excel reads and writes
UTF_16 = b"\xff\xfe", b"\xfe\xff"
MARK = "\ufeff"  # which tells Excel that a CSV is in UTF-8
NO_ROW = "The CSV has no row below its header."


class Table(NamedTuple):
    """`rows` hold a cell for each of the `names`, but those in `uneven`, which have more or fewer.

    `decimal` is the mark in its numbers, where something beside them tells. `columns` are those of a table that came
    with types; then cells have types, too, and None is an empty one.
    """

    names: list[str]
    rows: list[list[Any]]
    uneven: frozenset[int] = frozenset()
    separator: str = ","
    line_end: str = "\n"
    marked: bool = False
    decimal: str | None = None
    columns: Any = None


def read(body: bytes, field: str, limits: Limits) -> Table:
    """Raises MalformedBody, EmptyBody, TooManyRows and, for names that no table can have, InvalidValue."""
    text = decoded(body, limits)
    reader = Reader(text_lines(text), field)
    # One too many is enough to refuse a million.
    rows = list(islice(reader, limits.max_rows + 1))
    if not rows:
        raise EmptyBody(NO_ROW)
    limits.check_rows(len(rows), field)
    return reader.table(rows)._replace(line_end=line_end_of(text), marked=is_marked(body))


class Reader:
    """The rows below a header, one after the other; the header says what is between the cells."""

    separator: str
    names: list[str]

    def __init__(self, lines: "Lines", field: str, after: "Reader | None" = None) -> None:
        """Raises MalformedBody, and InvalidValue for names that no table can have.

        Lines that come `after` those of another reader have its header.
        """
        self._lines, self._before = lines, 0
        if after is not None:
            self.separator, self.names, self._before = after.separator, after.names, after.line
            self._reader = csv.reader(lines, strict=True, delimiter=self.separator)
            return
        first = next(lines, "")
        if said := SAID.fullmatch(first):
            self.separator, first = said[1], next(lines, "")
        else:
            self.separator = max(SEPARATORS, key=first.count)
        self._reader = csv.reader(chain([first], lines), strict=True, delimiter=self.separator)
        try:
            self.names = _names(next(self._reader, []), field)
        except csv.Error as error:
            raise self._damaged(error) from None

    def __iter__(self) -> Iterator[list[str]]:
        """Raises MalformedBody."""
        try:
            for row in filter(None, self._lines.rows(self._reader)):
                yield _even(row, len(self.names))
        except csv.Error as error:
            raise self._damaged(error) from None

    @property
    def line(self) -> int:
        """That was read last."""
        return self._before + self._reader.line_num

    def table(self, rows: list[list[str]]) -> Table:
        uneven = frozenset(place for place, row in enumerate(rows) if len(row) != len(self.names))
        return Table(self.names, rows, uneven, self.separator)

    def _damaged(self, error: csv.Error) -> MalformedBody:
        return MalformedBody(f"The CSV is damaged in line {self.line}: {error}.")


def line_end_of(text: str) -> str:
    return "\r\n" if "\r\n" in text[:LONGEST_ROW] else "\n"


def decoded(body: bytes, limits: Limits) -> str:
    limits.claim(4 * len(body))
    try:
        return body.decode(encoding_of(body))
    except UnicodeDecodeError as error:
        raise MalformedBody(
            f"The CSV is not in {'UTF-16' if body.startswith(UTF_16) else 'UTF-8'}: "
            f"byte {error.start} belongs to no character."
        ) from None


def encoding_of(beginning: bytes) -> str:
    """Raises MalformedBody."""
    if beginning.startswith(UTF_16):
        return "utf-16"
    if b"\0" in beginning[:64]:
        raise MalformedBody("The CSV seems to be in UTF-16 without a byte-order mark: save it as CSV in UTF-8.")
    return "utf-8-sig"


def is_marked(body: bytes) -> bool:
    return body.startswith((MARK.encode(), *UTF_16))


class Lines:
    """Lines that end as Unix, Windows or old Macs end them. A row may have several, for quotes hold line ends.

    Raises MalformedBody before a row becomes large.
    """

    def __init__(self, stream: TextIO, longest: int = LONGEST_ROW) -> None:
        """`longest` is the most characters of a row."""
        self._stream, self._longest, self._left = stream, longest, longest

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._stream.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise MalformedBody(f"A row has more than {self._longest} characters: is there a quote too many?")
        if not line:
            raise StopIteration
        return line

    def rows(self, reader: Iterator[list[str]]) -> Iterator[list[str]]:
        """What `reader` makes of these lines."""
        while True:
            self._left = self._longest
            if (row := next(reader, None)) is None:
                return
            yield row


def text_lines(text: str) -> Lines:
    return Lines(io.StringIO(text, newline=None))


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
    return (MARK.encode() if like.marked else b"") + write_rows(like, [names]) + write_rows(like, rows)


def write_rows(like: Table, rows: Iterable[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=like.separator, lineterminator=like.line_end).writerows(rows)
    return text.getvalue().encode("utf-8", "replace")

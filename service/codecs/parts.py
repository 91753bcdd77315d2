"""Rows of a body while it comes: CSV, lines of JSON and Arrow streams, in parts of rows that are complete."""

import codecs
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import simdjson

from service.codecs import arrow, cells
from service.codecs.arrays import fields_of
from service.codecs.cells import LONGEST_ROW, Reader, Table
from service.errors import EmptyBody, InvalidValue, MalformedBody
from service.limits import Limits
from service.messages import ARROW, CSV, NDJSON

ROWS = 256  # of a part, at most
BEGINNING = 64  # bytes, which show an encoding
LONGEST_MESSAGE = 8 * 2**20  # bytes of a record batch
QUOTED = re.compile('"[^"]*"?')
Part = Table | Sequence[Mapping[str, Any]]


class Parts(Protocol):
    @property
    def size(self) -> int:
        """Bytes that have come and are not complete."""
        ...

    def feed(self, chunk: bytes, limits: Limits) -> Iterator[Part]:
        """The parts that are complete with this chunk. Raises a ClientError."""
        ...

    def end(self, limits: Limits) -> Iterator[Part]:
        """Those that the end of the body completes. Raises MalformedBody, EmptyBody."""
        ...


def parts_of(media_type: str, field: str) -> Parts:
    """Of one of the media types that may be streamed. Raises UnsupportedMedia where pyarrow is missing."""
    forms: dict[str, Callable[[str], Parts]] = {CSV: CsvParts, NDJSON: LineParts, ARROW: ArrowParts}
    return forms[media_type](field)


class CsvParts:
    """Text is cut where a line ends outside quotes."""

    def __init__(self, field: str) -> None:
        self._field, self._bytes, self._text = field, b"", ""
        self._decoder: codecs.IncrementalDecoder | None = None
        self._reader: Reader | None = None
        self._line_end, self._marked, self._any = "\n", False, False

    @property
    def size(self) -> int:
        return len(self._bytes) + len(self._text)

    def feed(self, chunk: bytes, limits: Limits) -> Iterator[Part]:
        if self._decoder is None:
            self._bytes += chunk
            if len(self._bytes) < BEGINNING:
                return
            chunk = self._begun()
        self._decode(chunk, False)
        if end := _last_end(self._text):
            complete, self._text = self._text[:end], self._text[end:]
            yield from self._parts(complete)
        elif len(self._text) > 2 * LONGEST_ROW:
            raise MalformedBody(f"A row has more than {LONGEST_ROW} characters: is there a quote too many?")

    def end(self, limits: Limits) -> Iterator[Part]:
        self._decode(self._begun() if self._decoder is None else b"", True)
        yield from self._parts(self._text)
        if not self._any:
            raise EmptyBody(cells.NO_ROW)

    def _begun(self) -> bytes:
        """All bytes until now, once they show how they are written."""
        start, self._bytes = self._bytes, b""
        self._decoder = codecs.getincrementaldecoder(cells.encoding_of(start))()
        self._marked = cells.is_marked(start)
        return start

    def _decode(self, chunk: bytes, final: bool) -> None:
        assert self._decoder is not None
        try:
            self._text += self._decoder.decode(chunk, final)
        except UnicodeDecodeError:
            raise MalformedBody("The CSV is not in UTF-8, nor in UTF-16 with its byte-order mark.") from None

    def _parts(self, text: str) -> Iterator[Part]:
        if self._reader is None:
            if not text.strip():
                return
            self._line_end = cells.line_end_of(text)
        reader = self._reader = Reader(cells.text_lines(text), self._field, self._reader)
        found = iter(reader)
        while rows := list(islice(found, ROWS)):
            self._any = True
            yield reader.table(rows)._replace(line_end=self._line_end, marked=self._marked)


def _last_end(text: str) -> int:
    """Behind the last line end that no quote holds; 0 where there is none."""
    bare = QUOTED.sub(lambda found: "_" * len(found[0]), text) if '"' in text else text
    return max(bare.rfind("\n"), bare[:-1].rfind("\r")) + 1


class LineParts:
    """A JSON object on each line."""

    def __init__(self, field: str) -> None:
        self._field, self._held, self._rows = field, b"", 0

    @property
    def size(self) -> int:
        return len(self._held)

    def feed(self, chunk: bytes, limits: Limits) -> Iterator[Part]:
        *lines, self._held = (self._held + chunk).split(b"\n")
        if len(self._held) > LONGEST_ROW:
            raise MalformedBody(f"A line has more than {LONGEST_ROW} bytes.", self._path)
        yield from self._parts(lines)

    def end(self, limits: Limits) -> Iterator[Part]:
        yield from self._parts([self._held])
        if not self._rows:
            raise EmptyBody("There is no line with a row.")

    @property
    def _path(self) -> str:
        return f"{self._field}[{self._rows}]"

    def _parts(self, lines: list[bytes]) -> Iterator[Part]:
        rows: list[Mapping[str, Any]] = []
        for line in filter(bytes.strip, lines):
            rows.append(self._row(line))
            self._rows += 1
            if len(rows) == ROWS:
                yield rows
                rows = []
        if rows:
            yield rows

    def _row(self, line: bytes) -> Mapping[str, Any]:
        if len(line) > LONGEST_ROW:
            raise MalformedBody(f"A line has more than {LONGEST_ROW} bytes.", self._path)
        try:
            found: Any = simdjson.Parser().parse(line)
        except ValueError:
            raise MalformedBody("The line is no JSON.", self._path) from None
        if not isinstance(found, simdjson.Object):
            raise InvalidValue("Must be an object.", self._path)
        return fields_of(found, self._path)


class ArrowParts:
    """The rows of each record batch."""

    def __init__(self, field: str) -> None:
        self._frames, self._any = arrow.Frames(field, LONGEST_MESSAGE), False

    @property
    def size(self) -> int:
        return self._frames.size

    def feed(self, chunk: bytes, limits: Limits) -> Iterator[Part]:
        for batch in self._frames.batches(chunk, limits):
            for start in range(0, len(batch), ROWS):
                self._any = True
                yield self._frames.table(batch.slice(start, ROWS))

    def end(self, limits: Limits) -> Iterator[Part]:
        if not self._frames.ended and not self._frames.complete:
            raise MalformedBody("The Arrow stream ends within a message.")
        if not self._any:
            raise EmptyBody("The Arrow stream has no row.")
        yield from ()

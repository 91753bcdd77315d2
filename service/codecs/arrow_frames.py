"""What the messages of an Arrow stream and the pages of a Parquet file will take, by their headers.

pyarrow allocates what a header says before it looks at the bytes, and a few bytes may say gigabytes. So headers are
read here first: Arrow's columnar format, "Encapsulated message format", and Parquet's `PageHeader` in Thrift's compact
protocol.
"""

import struct
from typing import Any, NamedTuple

from service.errors import MalformedBody

CONTINUED = b"\xff\xff\xff\xff"
SCHEMA, DICTIONARY, BATCH = 1, 2, 3  # kinds of messages
LONGEST_HEADER = 2**20  # bytes
DAMAGED = "The Arrow stream is damaged."
DAMAGED_PARQUET = "The Parquet file is damaged."
PARQUET_MARK = b"PAR1"
MOST_FOOTER, MOST_PAGE_HEADER = 200_000, 1000  # values


class Frame(NamedTuple):
    """A message as it stands in the stream: its kind, all of its bytes, and what decompression makes of its body."""

    kind: int
    content: bytes
    unpacked: int
    dictionary: int = 0  # its number, and whether it adds to the one before
    is_delta: bool = False


def size_of_frame(start: bytes) -> int | None:
    """Bytes of the message that begins there; 0 at the end of the stream, None where more must come to tell."""
    if len(start) < 8:
        return None
    if start[:4] != CONTINUED:
        raise MalformedBody(f"{DAMAGED} Or it is a file of Arrow or Feather: send the stream format.")
    (length,) = struct.unpack("<i", start[4:8])
    if length == 0:
        return 0
    if not 0 < length <= LONGEST_HEADER:
        raise MalformedBody(DAMAGED)
    if len(start) < 8 + length:
        return None
    return 8 + int(length) + _body_length(bytes(start[8 : 8 + length]))


def frame_of(content: bytes) -> Frame:
    """Of a whole message. Raises MalformedBody."""
    (length,) = struct.unpack("<i", content[4:8])
    header, body = content[8 : 8 + length], content[8 + length :]
    try:
        return _frame(content, header, body)
    except (struct.error, IndexError, ValueError, TypeError):
        raise MalformedBody(DAMAGED) from None


def _body_length(header: bytes) -> int:
    try:
        found = int(_Table.root(header).number(3, "<q", 0))
    except (struct.error, IndexError, ValueError):
        raise MalformedBody(DAMAGED) from None
    if found < 0:
        raise MalformedBody(DAMAGED)
    return found


def _frame(content: bytes, header: bytes, body: bytes) -> Frame:
    message = _Table.root(header)
    kind = int(message.number(1, "<B", 0))
    inner = message.table(2)
    if kind == DICTIONARY:
        number, is_delta = int(inner.number(0, "<q", 0)), bool(inner.number(2, "<B", 0))
        return Frame(kind, content, _unpacked(inner.table(1), body), number, is_delta)
    return Frame(kind, content, _unpacked(inner, body) if kind == BATCH else 0)


def _unpacked(batch: "_Table", body: bytes) -> int:
    """Each compressed buffer begins with the number of bytes that it becomes; -1 where it is none."""
    if batch.place(3) is None:
        return 0
    total = 0
    for offset, length in batch.pairs(2):
        if length >= 8:
            (size,) = struct.unpack_from("<q", body, offset)
            total += max(size, 0)
    return total


class _Table:
    """A table of FlatBuffers: fields by their number."""

    def __init__(self, buffer: bytes, start: int) -> None:
        self._buffer, self._start = buffer, start
        self._fields = start - struct.unpack_from("<i", buffer, start)[0]
        if self._fields < 0:
            raise ValueError("outside")
        (self._size,) = struct.unpack_from("<H", buffer, self._fields)

    @classmethod
    def root(cls, buffer: bytes) -> "_Table":
        return cls(buffer, struct.unpack_from("<I", buffer, 0)[0])

    def place(self, number: int) -> int | None:
        slot = 4 + 2 * number
        offset = struct.unpack_from("<H", self._buffer, self._fields + slot)[0] if slot < self._size else 0
        return self._start + offset if offset else None

    def number(self, number: int, form: str, default: int) -> int:
        place = self.place(number)
        return default if place is None else struct.unpack_from(form, self._buffer, place)[0]

    def table(self, number: int) -> "_Table":
        place = self.place(number)
        if place is None:
            raise ValueError("missing")
        return _Table(self._buffer, place + struct.unpack_from("<I", self._buffer, place)[0])

    def pairs(self, number: int) -> list[tuple[int, int]]:
        """A vector of structs of two longs."""
        place = self.place(number)
        if place is None:
            return []
        start = place + struct.unpack_from("<I", self._buffer, place)[0]
        (count,) = struct.unpack_from("<I", self._buffer, start)
        if start + 4 + 16 * count > len(self._buffer):
            raise ValueError("outside")
        return [struct.unpack_from("<qq", self._buffer, start + 4 + 16 * i) for i in range(count)]


class Page(NamedTuple):
    """Of a column of a Parquet file: bytes that it becomes, bytes in the file, header included, and its encoding."""

    unpacked: int
    size: int
    encoding: int


class Chunk(NamedTuple):
    """The pages of a column in a group of rows: where they begin and end."""

    start: int
    end: int


def chunks_of(body: bytes) -> list[Chunk]:
    """Of a Parquet file, by its footer, which pyarrow ends the process over where it is damaged.

    Raises MalformedBody.
    """
    if len(body) < 12 or body[-4:] != PARQUET_MARK:
        raise MalformedBody(DAMAGED_PARQUET)
    (length,) = struct.unpack("<I", body[-8:-4])
    found = []
    try:
        footer = _Thrift(body, max(0, len(body) - 8 - length), MOST_FOOTER).struct()
        for group in footer[4]:
            for column in group[1]:
                told = column[3]
                start = min(filter(None, (told.get(11), told[9])))
                found.append(Chunk(start, start + told[7]))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        raise MalformedBody(DAMAGED_PARQUET) from None
    if not all(0 <= one.start <= one.end <= len(body) for one in found):
        raise MalformedBody(DAMAGED_PARQUET)
    return found


def page_at(body: bytes, place: int) -> Page:
    """Raises MalformedBody."""
    header = _Thrift(body, place, MOST_PAGE_HEADER)
    try:
        fields = header.struct()
        data = fields.get(5) or fields.get(8) or {}
        unpacked, packed = int(fields[2]), int(fields[3])
        encoding = int(data.get(2 if 5 in fields else 4, 0))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        raise MalformedBody(DAMAGED_PARQUET) from None
    if unpacked < 0 or packed < 0:
        raise MalformedBody(DAMAGED_PARQUET)
    return Page(unpacked, header.place - place + packed, encoding)


class _Thrift:
    """A reader of the compact protocol; numbers, lists and structs by field, what else there is is passed over."""

    def __init__(self, body: bytes, place: int, most: int) -> None:
        self.body, self.place, self._left = body, place, most

    def _byte(self) -> int:
        self.place += 1
        return self.body[self.place - 1]

    def _varint(self) -> int:
        number = shift = 0
        while True:
            byte = self._byte()
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number
            if shift > 70:
                raise ValueError("too long")

    def struct(self, depth: int = 0) -> dict[int, Any]:
        fields: dict[int, Any] = {}
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self._zigzag()
            fields[number] = self._value(head & 15, depth)
        return fields

    def _zigzag(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count, kind = head >> 4, head & 15
        if count == 15:
            count = self._varint()
        return [self._value(3 if kind in (1, 2) else kind, depth + 1) for _ in range(count)]

    def _value(self, kind: int, depth: int) -> Any:
        self._left -= 1
        if self._left < 0 or depth > 8:
            raise ValueError("too much")
        if kind == 9:
            return self._list(depth)
        if kind in (1, 2):  # true and false, in the head itself
            return kind == 1
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._zigzag()
        if kind == 7:
            self.place += 8
            return None
        if kind == 8:
            length = self._varint()
            self.place += length
            return None
        if kind == 12:
            return self.struct(depth + 1)
        raise ValueError("no such kind")

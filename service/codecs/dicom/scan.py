"""The one scan of a grey JPEG (ISO/IEC 10918-1 annexes B and F): its segments, tables and bits.

Decoders fill in samples that are missing, and say so nowhere but on the standard error of the process. So what they are
given has been followed to the last sample, and holds nothing that they do not need.
"""

import re
import struct
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from service.codecs.dicom.codestream import SOS
from service.errors import MalformedBody

CODES, RESTARTS = 0xC4, 0xDD
AC = 0x10  # the class of a table, of all that is no difference
MOST_BITS = 16  # of a difference
END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
RESTART = re.compile(rb"\xff[\xd0-\xd7]")
AT_ONCE = 2**14  # bytes whose bits are looked up
MOST = 4  # bytes of a sample: a code of 16 bits, and 15 more
SLACK = 16  # bits behind the last sample: some encoders end with a byte too many
NO_CODE = 255  # further than any code leads

Segments = list[tuple[int, bytes]]
Table = tuple[
    NDArray[np.uint8], NDArray[np.uint8]
]  # for each 16 bits, the code's length that they begin with, its symbol
Check = Callable[[dict[int, bytes], dict[int, Table], bytes], None]


def scanned(stream: bytes, needed: set[int], check: Check, selection: bytes = b"") -> bytes:
    """The stream with the segments that a decoder needs. `check` is given them, their tables and the coded data.

    `selection` is what the scan's header must end with, where some encoders write something else.
    Raises MalformedBody where that raises, or where the scan does not end as it should.
    """
    try:
        segments, at = _segments(stream, needed | {CODES, RESTARTS, SOS})
        ending = END.search(stream, at)
        if ending is None or ending[0] != b"\xff\xd9":
            raise ValueError
        tables = dict(_tables(b"".join(body for marker, body in segments if marker == CODES)))
        check(dict(segments), tables, stream[at : ending.start()])
    except (ValueError, KeyError, IndexError, struct.error):
        raise MalformedBody("The compressed pixel data are damaged, or end before the last pixel.") from None
    marker, header = segments.pop()
    segments.append((marker, header[: len(header) - len(selection)] + selection))
    kept = (struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body for marker, body in segments)
    return stream[:2] + b"".join(kept) + stream[at : ending.start()].rstrip(b"\xff") + ending[0]


def _segments(stream: bytes, needed: set[int]) -> tuple[Segments, int]:
    """By their markers, and where the coded data begin behind the last of them."""
    found, at, marker = [], 2, 0
    while marker != SOS:
        while stream[at + 1] == 0xFF:
            at += 1
        marker, (length,) = stream[at + 1], struct.unpack_from(">H", stream, at + 2)
        if stream[at] != 0xFF or length < 2:
            raise ValueError
        if marker in needed:
            found.append((marker, stream[at + 4 : at + 2 + length]))
        at += 2 + length
    return found, at


def parts(coded: bytes, restarts: bytes | None, units: int) -> tuple[bytes, list[tuple[int, int]]]:
    """The coded data without what is stuffed in, and of each part between restarts its units and its bytes."""
    interval = struct.unpack(">H", restarts)[0] if restarts else 0
    found = [part.rstrip(b"\xff").replace(b"\xff\0", b"\xff") for part in RESTART.split(coded)]
    counts = [min(interval, units - i) for i in range(0, units, interval)] if interval else [units]
    return b"".join(found), list(zip(counts, map(len, found), strict=True))


def _tables(body: bytes) -> Iterator[tuple[int, Table]]:
    """By their class and number."""
    at = 0
    while at < len(body):
        lengths, symbols = np.full(2**16, NO_CODE, np.uint8), np.zeros(2**16, np.uint8)
        number, counts, at, code = body[at], body[at + 1 : at + 17], at + 17, 0
        if at + sum(counts) > len(body):
            raise ValueError
        for bits, count in enumerate(counts, 1):
            for symbol in body[at : at + count]:
                first, end = code << 16 - bits, code + 1 << 16 - bits
                if end > 2**16:
                    raise ValueError
                lengths[first:end], symbols[first:end] = bits, symbol
                code += 1
            at, code = at + count, code << 1
        if number < AC and symbols.max() > MOST_BITS:
            raise ValueError
        yield number, (lengths, symbols)


def steps(table: Table) -> NDArray[np.uint8]:
    """For each 16 bits, how far a code leads that they begin with, and the bits behind it that its symbol counts."""
    lengths, symbols = table
    return np.where(lengths == NO_CODE, NO_CODE, lengths + (symbols & 15)).astype(np.uint8)


def windows(coded: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """The 16 bits from each bit on, but for those of the last two bytes."""
    wide = coded.astype(np.uint32)
    three = wide[:-2] << 16 | wide[1:-1] << 8 | wide[2:]
    return (three[:, None] >> np.arange(8, 0, -1, dtype=np.uint32)).astype(np.uint16).ravel()

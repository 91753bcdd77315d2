"""Lossless JPEG (ISO/IEC 10918-1 annex H), followed to the last sample before anything decodes it.

Decoders fill in samples that are missing, and say so nowhere but on the standard error of the process.
"""

import re
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from service.codecs.dicom.codestream import SOS, Header
from service.errors import MalformedBody

TABLES, FRAME, RESTARTS = 0xC4, 0xC3, 0xDD
END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
RESTART = re.compile(rb"\xff[\xd0-\xd7]")
AT_ONCE = 2**16  # bytes whose bits are looked up
MOST = 4  # bytes of a sample: a code of 16 bits, and 15 more
SLACK = 16  # bits behind the last sample: some encoders end with a byte too many
NO_CODE = 255  # further than any code leads


def checked(stream: bytes, header: Header) -> bytes:
    """The stream with what a decoder needs and nothing else. Raises MalformedBody where samples are missing."""
    try:
        segments, at = _segments(stream)
        ending = END.search(stream, at)
        if ending is None or ending[0] != b"\xff\xd9":
            raise ValueError
        _check(segments, stream[at : ending.start()], header)
    except (ValueError, KeyError, IndexError, struct.error):
        raise MalformedBody("The compressed pixel data are damaged, or end before the last pixel.") from None
    needed = (struct.pack(">BBH", 0xFF, marker, 2 + len(body)) + body for marker, body in segments)
    return stream[:2] + b"".join(needed) + stream[at : ending.start()].rstrip(b"\xff") + ending[0]


def _segments(stream: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """Those that decoding needs, by their markers, and where the samples begin behind the last of them."""
    found, at, marker = [], 2, 0
    while marker != SOS:
        while stream[at + 1] == 0xFF:
            at += 1
        marker, (length,) = stream[at + 1], struct.unpack_from(">H", stream, at + 2)
        if stream[at] != 0xFF or length < 2:
            raise ValueError
        if marker in (TABLES, FRAME, RESTARTS, SOS):
            found.append((marker, stream[at + 4 : at + 2 + length]))
        at += 2 + length
    return found, at


def _check(segments: list[tuple[int, bytes]], coded: bytes, header: Header) -> None:
    by_marker = dict(segments)
    restarts = by_marker.get(RESTARTS)
    interval = struct.unpack(">H", restarts)[0] if restarts else 0
    parts = [part.rstrip(b"\xff").replace(b"\xff\0", b"\xff") for part in RESTART.split(coded)]
    samples = header.rows * header.columns
    counts = [min(interval, samples - i) for i in range(0, samples, interval)] if interval else [samples]
    if interval % header.columns or len(counts) != len(parts) or len(coded) > MOST * samples + 4 * len(parts):
        raise ValueError
    tables = dict(_tables(b"".join(body for marker, body in segments if marker == TABLES)))
    _follow(b"".join(parts), tables[by_marker[SOS][2] >> 4], zip(counts, map(len, parts), strict=True))


def _tables(body: bytes) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """By their number: for each 16 bits, of how many bits the code that they begin with and its sample are."""
    at = 0
    while at < len(body):
        steps, code, lengths = np.full(2**16, NO_CODE, np.uint8), 0, body[at + 1 : at + 17]
        number, at = body[at], at + 17
        for bits, count in enumerate(lengths, 1):
            for size in body[at : at + count]:
                first, end = code << 16 - bits, code + 1 << 16 - bits
                if size > 16 or end > 2**16:
                    raise ValueError
                steps[first:end] = bits + size % 16
                code += 1
            at, code = at + count, code << 1
        yield number, steps


def _follow(coded: bytes, table: NDArray[np.uint8], parts: Iterator[tuple[int, int]]) -> None:
    """From sample to sample; each of `parts` is a number of samples and of bytes. Raises ValueError, IndexError."""
    padded = np.frombuffer(coded + bytes((0xFF, 0xFF)), np.uint8)
    steps, first, beyond, end = b"", 0, 0, 0
    for count, size in parts:
        at, end = end, end + 8 * size
        for _ in range(count):
            if at >= beyond:
                steps, first = _steps(padded[at // 8 :][: AT_ONCE + 2], table), at // 8 * 8
                beyond = first + len(steps)
            at += steps[at - first]
        if not 0 <= end - at < SLACK:
            raise ValueError


def _steps(coded: NDArray[np.uint8], table: NDArray[np.uint8]) -> bytes:
    """Of each bit but those of the last two bytes, how far a sample leads that begins there."""
    wide = coded.astype(np.uint32)
    window = wide[:-2] << 16 | wide[1:-1] << 8 | wide[2:]
    steps = np.empty((len(window), 8), np.uint8)
    for bit in range(8):
        steps[:, bit] = table[window >> 8 - bit & 0xFFFF]
    return steps.tobytes()

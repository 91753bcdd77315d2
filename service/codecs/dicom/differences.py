"""Lossless JPEG (ISO/IEC 10918-1 annex H), followed to the last sample before anything decodes it."""

import numpy as np
from numpy.typing import NDArray

from service.codecs.dicom.codestream import SOS, Header
from service.codecs.dicom.scan import AT_ONCE, MOST, RESTARTS, SLACK, Table, parts, scanned, steps, windows

FRAME = 0xC3


def checked(stream: bytes, header: Header) -> bytes:
    """The stream with what a decoder needs and nothing else. Raises MalformedBody where samples are missing."""

    def check(segments: dict[int, bytes], tables: dict[int, Table], coded: bytes) -> None:
        samples, table = header.rows * header.columns, tables[segments[SOS][2] >> 4]
        joined, found = parts(coded, segments.get(RESTARTS), samples)
        whole_rows = len(found) == 1 or found[0][0] % header.columns == 0
        if not whole_rows or len(coded) > MOST * samples + 4 * len(found):
            raise ValueError
        _follow(joined, steps(table), found)

    return scanned(stream, {FRAME}, check)


def _follow(coded: bytes, table: NDArray[np.uint8], found: list[tuple[int, int]]) -> None:
    """From sample to sample; each of `found` is a number of samples and of bytes. Raises ValueError, IndexError."""
    padded = np.frombuffer(coded + bytes((0xFF, 0xFF)), np.uint8)
    leads, first, beyond, end = b"", 0, 0, 0
    for count, size in found:
        at, end = end, end + 8 * size
        for _ in range(count):
            if at >= beyond:
                leads, first = table[windows(padded[at // 8 :][: AT_ONCE + 2])].tobytes(), at // 8 * 8
                beyond = first + len(leads)
            at += leads[at - first]
        if not 0 <= end - at < SLACK:
            raise ValueError

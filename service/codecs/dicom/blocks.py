"""Lossy JPEG of 12 bits (ISO/IEC 10918-1 annex F, extended sequential), followed to the last block."""

import numpy as np

from service.codecs.dicom.codestream import SOS, Header
from service.codecs.dicom.scan import AC, AT_ONCE, MOST, RESTARTS, SLACK, Table, parts, scanned, steps, windows

FRAME, QUANTISATION = 0xC1, 0xDB
SIDE, COEFFICIENTS = 8, 64  # of a block
BLOCK_BITS = 31 * COEFFICIENTS  # the most that one takes
ALL = bytes((0, COEFFICIENTS - 1, 0))  # coefficients, in full


def checked(stream: bytes, header: Header) -> bytes:
    """The stream with what a decoder needs and nothing else. Raises MalformedBody where blocks are missing."""

    def check(segments: dict[int, bytes], tables: dict[int, Table], coded: bytes) -> None:
        blocks = -(-header.rows // SIDE) * -(-header.columns // SIDE)
        joined, found = parts(coded, segments.get(RESTARTS), blocks)
        if len(coded) > MOST * COEFFICIENTS * blocks + 4 * len(found):
            raise ValueError
        chosen = segments[SOS][2]
        _follow(joined, tables[chosen >> 4], tables[AC | chosen & 15], found)

    return scanned(stream, {FRAME, QUANTISATION}, check, ALL)


def _follow(coded: bytes, dc: Table, ac: Table, found: list[tuple[int, int]]) -> None:
    """From block to block; each of `found` is a number of blocks and of bytes. Raises ValueError, IndexError."""
    padded = np.frombuffer(coded + bytes((0xFF, 0xFF)), np.uint8)
    # A symbol is a run of zeros and the bits of what follows; 0 ends the block.
    runs = np.where(ac[1] == 0, COEFFICIENTS, (ac[1] >> 4) + 1).astype(np.uint8)
    tables = steps(dc), steps(ac), runs
    dc_leads = ac_leads = ahead = b""
    first, beyond, end = 0, 0, 0
    for count, size in found:
        at, end = end, end + 8 * size
        for _ in range(count):
            if at + BLOCK_BITS > beyond < 8 * len(coded):
                seen, first = windows(padded[at // 8 :][: AT_ONCE + 2]), at // 8 * 8
                dc_leads, ac_leads, ahead = (table[seen].tobytes() for table in tables)
                beyond = first + len(seen)
            at += dc_leads[at - first]
            known = 1
            while known < COEFFICIENTS:
                known += ahead[at - first]
                at += ac_leads[at - first]
        if not 0 <= end - at < SLACK:
            raise ValueError

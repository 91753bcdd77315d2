"""What compressed pixel data say of themselves, before anything is decoded."""

import struct
from typing import NamedTuple

from service.errors import MalformedBody

SOI, SOS, EOI = 0xD8, 0xDA, 0xD9
NO_FRAMES = (0xC4, 0xC8, 0xCC)  # tables, among the markers of frames
JPEG_LS = 0xF7
J2K, JP2 = b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "
MAX_SCANS = 16  # of one grey picture


class Header(NamedTuple):
    """Of a codestream: a picture's sides, bits of a sample, components, and the marker of its kind of JPEG."""

    rows: int
    columns: int
    precision: int
    components: int
    frame: int = 0


def header_of(stream: bytes) -> Header:
    """Of JPEG, JPEG-LS or JPEG 2000. Raises MalformedBody."""
    try:
        if stream.startswith(JP2):
            stream = stream[stream.index(J2K) :]
        if stream.startswith(J2K):
            return _j2k(stream)
        if stream[:2] == bytes((0xFF, SOI)):
            return _jpeg(stream)
    except (struct.error, ValueError, IndexError):
        pass
    raise MalformedBody("The pixel data are damaged, or of another kind than the transfer syntax says.")


def _j2k(stream: bytes) -> Header:
    """ISO/IEC 15444-1 A.5.1. One tile part may not be cut into more tiles than pixels would fill."""
    width, height, left, top, tile_width, tile_height, *_ = struct.unpack_from(">8I", stream, 8)
    components, depth = struct.unpack_from(">HB", stream, 40)
    columns, rows = width - left, height - top
    if not tile_width or not tile_height or -(-width // tile_width) * -(-height // tile_height) > 4096:
        raise ValueError
    if max(width, height) > 2 * max(rows, columns):
        raise ValueError
    return Header(rows, columns, (depth & 0x7F) + 1, components)


def _jpeg(stream: bytes) -> Header:
    """ISO/IEC 10918-1 B.2.2: the frame's header is among the segments before the first scan."""
    at = 2
    while True:
        while stream[at] == 0xFF and stream[at + 1] == 0xFF:
            at += 1
        if stream[at] != 0xFF:
            raise ValueError
        marker = stream[at + 1]
        (length,) = struct.unpack_from(">H", stream, at + 2)
        if length < 2 or marker in (SOS, EOI):
            raise ValueError
        if (0xC0 <= marker <= 0xCF and marker not in NO_FRAMES) or marker == JPEG_LS:
            precision, rows, columns, components = struct.unpack_from(">BHHB", stream, at + 4)
            if stream.count(bytes((0xFF, SOS))) > MAX_SCANS:
                raise ValueError
            return Header(rows, columns, precision, components, marker)
        at += 2 + length


def run_length(stream: bytes, pixels: int, size: int) -> bytes:
    """The samples of a run-length frame (PS3.5 annex G), `size` bytes each, little endian. Raises MalformedBody."""
    count, *offsets = struct.unpack_from("<16I", stream)
    if count != size:
        raise MalformedBody("The run-length pixel data have another number of bytes per pixel than BitsAllocated.")
    samples = bytearray(pixels * size)
    ends = [*offsets[1:count], len(stream)]
    for i, (start, end) in enumerate(zip(offsets[:count], ends, strict=True)):
        samples[size - 1 - i :: size] = _segment(stream[start:end], pixels)
    return bytes(samples)


def _segment(stream: bytes, length: int) -> bytes:
    """One byte of every pixel; nothing is unpacked beyond `length`."""
    out, at, end = bytearray(), 0, len(stream)
    while len(out) < length and at < end:
        head = stream[at]
        if head < 128:
            out += stream[at + 1 : at + 2 + head]
            at += 2 + head
        elif head > 128:
            out += stream[at + 1 : at + 2] * (257 - head)
            at += 2
        else:
            at += 1
    if len(out) < length:
        raise MalformedBody("The run-length pixel data end before the last pixel.")
    return bytes(out[:length])

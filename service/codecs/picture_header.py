"""What the first bytes of a picture file say of the work that lies behind them, read without decoding anything.

Pillow takes hundreds of megabytes for the canvas of a WebP file of 34 bytes when it opens it, and seconds for a JPEG of
hundreds of scans, or of a million empty segments, which no thread can be stopped at. So nothing is handed to it before
its header is known.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

START_OF_SCAN = b"\xff\xda"
FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))  # markers that begin one
STRIPS = 273, 279, 324, 325  # TIFF: where strips and tiles lie, and how long they are
WIDTH, HEIGHT, COMPRESSION, ORIENTATION, ROWS_PER_STRIP, TILE_WIDTH, TILE_HEIGHT = 256, 257, 259, 274, 278, 322, 323
KIND_OF_PAGE, REDUCED, MASK = 254, 1, 4  # TIFF: what a page is, unless it is a page
MOST_PAGES, MOST_TAGS = 1024, 256  # of a TIFF, and of each page
MOST_SEGMENTS = 1024  # before the frame of a JPEG
FEW_CHUNKS, CHUNK = 256, 256  # of a PNG that many, and one more for each so many bytes
MOST_BLOCKS = 2**18  # of a GIF, 255 bytes each
BOXES = 2**16  # bytes of a HEIF or AVIF file in which the sizes stand
VIDEO_PASSES = 4  # what decoding a key frame of a video codec takes, as JPEG's passes count
CANVASES = 16  # bytes for a pixel of a WebP: the decoder's and Pillow's
SIZES = {3: "H", 4: "I"}  # of TIFF values


class Header(NamedTuple):
    """`passes` over the pixels; `parts` (strips, tiles), each a Python object once the file is open.

    `beside`: bytes that decoding takes beside the pixels themselves. `page`: which of the file's it is, from 0.
    """

    kind: str
    width: int
    height: int
    passes: int = 1
    parts: int = 1
    beside: int = 0
    page: int = 0


def pages(data: bytes) -> list[Header]:
    """Of every page of a TIFF, previews and masks left out; of the one picture of another file, if it is one."""
    first = look(data)
    if first is None or first.kind != "TIFF":
        return [first] if first else []
    order = "<" if data.startswith(b"II") else ">"
    found = []
    for page, at in enumerate(_directories(data, order)):
        header, role = _page(data, order, at)
        if page == 0 or (header and not role & (REDUCED | MASK)):
            found.append((header or first)._replace(page=page))
    return found


def _directories(data: bytes, order: str) -> Iterator[int]:
    """Where the directory of each page lies; those that lie beyond the end are none."""
    (at,) = struct.unpack_from(order + "I", data, 4)
    seen: set[int] = set()
    while at and at not in seen and len(seen) < MOST_PAGES and at + 2 <= len(data):
        (count,) = struct.unpack_from(order + "H", data, at)
        end = at + 2 + 12 * count
        if count > MOST_TAGS or end > len(data):
            return
        yield at
        seen.add(at)
        at = struct.unpack_from(order + "I", data, end)[0] if end + 4 <= len(data) else 0


def is_animated(data: bytes) -> bool:
    """Whether a PNG, GIF, WebP, HEIF or AVIF has more than one frame."""
    if data[4:8] == b"ftyp":
        return data[8:12] in (b"avis", b"msf1", b"hevc")
    return frames(data, 2) > 1


def frames(data: bytes, most: int) -> int:
    """How many frames a GIF, PNG or WebP has, as far as `most`; 1 of what is none of them.

    Of a GIF those are counted that come before one which reaches beyond the canvas.
    """
    if data.startswith(b"GIF8"):
        return _gif_frames(data, most)
    if data.startswith(b"\x89PNG"):
        at = data.find(b"acTL", 8, 2**16)
        return min(most, int.from_bytes(data[at + 4 : at + 8])) if 0 < at < data.find(b"IDAT") else 1
    if data[8:16] != b"WEBPVP8X" or not int.from_bytes(data[20:21]) & 2:
        return 1
    at, found = 12, 0
    while at + 8 <= len(data) and found < most:
        found += data[at : at + 4] == b"ANMF"
        at += 8 + -(-int.from_bytes(data[at + 4 : at + 8], "little") // 2) * 2
    return found


def look(data: bytes) -> Header | None:
    """None for what is no picture of a kind that is read, or is cut off in its header."""
    try:
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(data)
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
            return _webp(data)
        if data.startswith(b"GIF8"):
            return _gif(data)
        if data[4:8] == b"ftyp":
            return _boxed(data)
        if data.startswith(b"BM"):
            return _bmp(data)
        if data[:4] in (b"II*\0", b"MM\0*"):
            return _tiff(data)
    except (struct.error, IndexError):
        pass
    return None


def _png(data: bytes) -> Header | None:
    """None as well for what repeats its colour profile, which Pillow would inflate each time."""
    at, left, profiles = 8, FEW_CHUNKS + len(data) // CHUNK, 0
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        profiles, left = profiles + (name == b"iCCP"), left - 1
        if profiles > 1 or left < 0:
            return None
        at += 12 + length
    return Header("PNG", *struct.unpack_from(">II", data, 16))


def _jpeg(data: bytes) -> Header | None:
    at = 2
    for _ in range(MOST_SEGMENTS):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:  # padding
            at += 1
            continue
        if marker in FRAMES:
            height, width, planes = struct.unpack_from(">HHB", data, at + 5)
            passes = max(1, data.count(START_OF_SCAN, at))
            beside = _coefficients(width * height, data[at + 11 : at + 10 + 3 * planes : 3]) if passes > 1 else 0
            return Header("JPEG", width, height, passes, beside=beside)
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _coefficients(pixels: int, sampling: bytes) -> int:
    """Two bytes for each sample of each plane: those of all passes are added up before there is any pixel."""
    shares = [(one >> 4) * (one & 15) for one in sampling]
    return 2 * pixels * sum(shares) // max([1, *shares])


def _webp(data: bytes) -> Header | None:
    form = data[12:16]
    if form == b"VP8X":
        width, height = (1 + int.from_bytes(data[at : at + 3], "little") for at in (24, 27))
        return _canvas(width, height)
    if form == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return _canvas(1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if form == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return _canvas(width & 0x3FFF, height & 0x3FFF)
    return None


def _canvas(width: int, height: int) -> Header:
    return Header("WEBP", width, height, beside=CANVASES * width * height)


def _gif(data: bytes) -> Header | None:
    """None as well where the first frame reaches beyond the canvas, which Pillow would enlarge for it."""
    width, height = struct.unpack_from("<HH", data, 6)
    at = _gif_frame(data, _after_palette(data, 13, data[10]))
    fits = at is not None and _fits(data, at)
    return Header("GIF", width, height, beside=width * height) if fits else None


def _fits(data: bytes, at: int) -> bool:
    """Whether the frame of a GIF that begins there lies on its canvas."""
    left, top, wide, high = struct.unpack_from("<HHHH", data, at + 1)
    width, height = struct.unpack_from("<HH", data, 6)
    return bool(left + wide <= width and top + high <= height)


def _gif_frames(data: bytes, most: int) -> int:
    found, at = 0, _gif_frame(data, _after_palette(data, 13, data[10]))
    while at is not None and found < most and _fits(data, at):
        found += 1
        pixels = _after_palette(data, at + 10, data[at + 9])
        at = _gif_frame(data, _after_blocks(data, pixels + 1))
    return found


def _gif_frame(data: bytes, at: int) -> int | None:
    """Where the next frame begins, extensions left out."""
    while at < len(data) and data[at] == 0x21:
        at = _after_blocks(data, at + 2)
    return at if at + 10 <= len(data) and data[at] == 0x2C else None


def _after_palette(data: bytes, at: int, flags: int) -> int:
    return at + (3 << (flags & 7) + 1 if flags & 0x80 else 0)


def _after_blocks(data: bytes, at: int) -> int:
    for _ in range(MOST_BLOCKS):
        if at >= len(data) or data[at] == 0:
            break
        at += 1 + data[at]
    return at + 1


def _boxed(data: bytes) -> Header | None:
    """Of HEIF or AVIF: the largest of the sizes that the boxes tell, for tiles and previews have theirs, too."""
    kind = "AVIF" if b"avi" in data[8:64] else "HEIF"
    width = height = 0
    at = data.find(b"ispe", 0, BOXES)
    while at > 0:
        sides = struct.unpack_from(">II", data, at + 8)
        width, height = max((width, height), sides, key=lambda one: one[0] * one[1])
        at = data.find(b"ispe", at + 4, BOXES)
    return Header(kind, width, height, VIDEO_PASSES, beside=8 * width * height) if width and height else None


def _bmp(data: bytes) -> Header:
    (size,) = struct.unpack_from("<I", data, 14)
    width, height = struct.unpack_from("<HH" if size == 12 else "<ii", data, 18)
    return Header("BMP", abs(width), abs(height))


def _tiff(data: bytes) -> Header | None:
    """Of the first page."""
    order = "<" if data.startswith(b"II") else ">"
    return _page(data, order, struct.unpack_from(order + "I", data, 4)[0])[0]


def _page(data: bytes, order: str, at: int) -> tuple[Header | None, int]:
    """Of the page whose directory lies there, and what it is for."""
    numbers: dict[int, int] = {}
    parts = 1
    for tag, kind, count, value in _entries(data, order, at):
        if tag in STRIPS:
            parts = max(parts, count)
        elif kind in SIZES:
            (numbers[tag],) = struct.unpack_from(order + SIZES[kind], value)
    if not {WIDTH, HEIGHT} <= numbers.keys():
        return None, 0
    width, height = numbers[WIDTH], numbers[HEIGHT]
    part = numbers.get(TILE_WIDTH, width) * numbers.get(TILE_HEIGHT, min(numbers.get(ROWS_PER_STRIP, height), height))
    if numbers.get(COMPRESSION, 1) == 1:
        part = 0  # it is read as it lies there
    turned = width * height if numbers.get(ORIENTATION, 1) > 1 else 0
    header = Header("TIFF", width, height, parts=parts, beside=4 * (part + turned))
    return header, numbers.get(KIND_OF_PAGE, 0)


def _entries(data: bytes, order: str, at: int) -> Iterator[tuple[int, int, int, bytes]]:
    (count,) = struct.unpack_from(order + "H", data, at)
    if count > MOST_TAGS:
        raise IndexError
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        yield struct.unpack_from(order + "HHI4s", data, entry)

"""Pictures that are much larger, in more pieces or in more layers than their bytes tell."""

import base64
import io
import random
import struct
import zlib
from functools import lru_cache

from PIL import Image

from load_tests.bodies import JSON, PNG
from load_tests.hostile.bombs.parcel import amount, parcel
from load_tests.hostile.seeds import ACTIVATIONS, CLASSIFY, FORM, IMAGES, form
from load_tests.hostile.shot import Shot

SIDES = (1, 28, 1000, 3000, 5793, 11_000, 16_383, 32_767, 65_535, 2**31 - 1)
FLAT_SIDES = (600, 2000, 5700)
QUERIES = (b"", b"", b"many=true", b"explain=true", b"many=true&explain=true")
PATHS = (CLASSIFY, CLASSIFY, IMAGES, ACTIVATIONS)
MEDIA = {"PNG": PNG, "JPEG": "image/jpeg", "WEBP": "image/webp", "BMP": "image/bmp", "TIFF": "image/tiff"}
MODES = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "WEBP": ("RGB", "RGBA"),
    "BMP": ("1", "L", "RGB"),
    "TIFF": ("1", "L", "RGB", "RGBA", "I;16", "F", "CMYK"),
}
COMPRESSIONS = {"1": ("group4", "group3", "packbits"), "F": ("tiff_lzw", "tiff_adobe_deflate")}
TIFF_WAYS = ("tiff_lzw", "tiff_adobe_deflate", "packbits")


def _sent(chance: random.Random, picture: bytes, kind: str) -> Shot:
    """By itself, as base64 in JSON, or in a form; the last two several times."""
    path, query = chance.choice(PATHS), chance.choice(QUERIES)
    way = chance.random()
    if way < 0.6:
        return parcel(chance, path, picture, MEDIA[kind], query)
    times = min(amount(chance, 64), 2**24 // len(picture) + 1)
    if way < 0.8:
        return parcel(chance, path, form("image", *[picture] * times), FORM, query)
    texts = b'","'.join([base64.b64encode(picture)] * times)
    return parcel(chance, path, b'{"images":["%s"]}' % texts, JSON, query)


def declared(chance: random.Random) -> Shot:
    """A header that says much and next to nothing behind it."""
    kind = chance.choice(list(HEADERS))
    return _sent(chance, HEADERS[kind](chance, *(chance.choice(SIDES) for _ in range(2))), kind)


def _png_header(chance: random.Random, width: int, height: int) -> bytes:
    depth, colour = chance.choice(((1, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 3), (8, 4), (16, 6)))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, chance.randrange(2))
    data = zlib.compress(bytes(amount(chance, 2**22)))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _webp_header(chance: random.Random, width: int, height: int) -> bytes:
    """Lossless, and one colour throughout: a picture of any size in some thirty bytes."""
    sides = (min(width, 16_383) - 1) | (min(height, 16_383) - 1) << 14
    data = b"\x2f" + struct.pack("<I", max(sides, 0)) + b"\x07\x10\x11\x11\x88\x88\xfe\x07"
    data += bytes(len(data) % 2)
    inner = b"WEBPVP8L" + struct.pack("<I", 13) + data
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


def _bmp_header(chance: random.Random, width: int, height: int) -> bytes:
    bits, way = chance.choice(((1, 0), (8, 0), (8, 1), (4, 2), (24, 0), (32, 0), (16, 0)))
    info = struct.pack("<IiiHHIIiiII", 40, min(width, 2**31 - 1), min(height, 2**31 - 1), 1, bits, way, 0, 0, 0, 0, 0)
    palette = bytes(1024) if bits <= 8 else b""
    pixels = (b"\xff\x01" if way else b"\0\0") * amount(chance, 2**16)
    start = 14 + len(info) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + info + palette + pixels


def _tiff_header(chance: random.Random, width: int, height: int) -> bytes:
    """One strip, or very many, with nothing much in it."""
    way, depth, samples = chance.choice((1, 5, 8, 32773, 7, 4)), chance.choice((1, 8, 16, 32)), chance.choice((1, 3, 4))
    rows = chance.choice((1, height))
    strips = min(2**16, -(-height // rows))
    data = zlib.compress(bytes(amount(chance, 2**20)))
    offsets = struct.pack("<I", 8) * strips
    sizes = struct.pack("<I", len(data)) * strips
    first = 8 + len(data)
    where = first if strips > 1 else 8
    counts = first + len(offsets) if strips > 1 else len(data)
    tags = ((256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, depth), (259, 3, 1, way), (262, 3, 1, 1))
    tags += ((273, 4, strips, where), (277, 3, 1, samples), (278, 4, 1, rows), (279, 4, strips, counts))
    table = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    body = data + offsets + sizes
    again = 8 + len(body) if chance.random() < 0.3 else 0  # its next page is itself
    return struct.pack("<2sHI", b"II", 42, 8 + len(body)) + body + table + struct.pack("<I", again)


def _jpeg_header(chance: random.Random, width: int, height: int) -> bytes:
    whole = _flat("JPEG", chance.choice(MODES["JPEG"]), 16, False)
    at = whole.index(b"\xff\xc0")
    return whole[: at + 5] + struct.pack(">HH", height % 65536, width % 65536) + whole[at + 9 :]


HEADERS = {
    "PNG": _png_header,
    "WEBP": _webp_header,
    "BMP": _bmp_header,
    "TIFF": _tiff_header,
    "JPEG": _jpeg_header,
}


def flat(chance: random.Random) -> Shot:
    """A sound picture of one colour, up to the limit."""
    kind = chance.choice(list(MODES))
    side = chance.choice(FLAT_SIDES[: 2 if kind in ("BMP", "WEBP") else 3])
    return _sent(chance, _flat(kind, chance.choice(MODES[kind]), side, chance.random() < 0.5), kind)


@lru_cache(maxsize=64)
def _flat(kind: str, mode: str, side: int, other: bool) -> bytes:
    """`other`: progressive, lossless, or compressed in another way."""
    ways = COMPRESSIONS.get(mode, TIFF_WAYS)
    options = {"JPEG": {"progressive": other}, "WEBP": {"lossless": other, "method": 0}}
    options["TIFF"] = {"compression": ways[other]}
    buffer = io.BytesIO()
    Image.new(mode, (side, side)).save(buffer, kind, **options.get(kind, {}))
    return buffer.getvalue()


def scans(chance: random.Random) -> Shot:
    """A progressive JPEG whose last pass comes again and again: each looks at every block."""
    whole = _flat("JPEG", "RGB", chance.choice((64, 600, 2000)), True)
    last = whole.rindex(b"\xff\xda")
    return _sent(chance, whole[:last] + whole[last:-2] * amount(chance, 2000) + whole[-2:], "JPEG")


def pages(chance: random.Random) -> Shot:
    """A picture with very many more behind it: pages of a TIFF, frames of a WebP or of a PNG."""
    kind = chance.choice(("TIFF", "WEBP", "PNG"))
    return _sent(chance, _pages(kind, chance.choice((8, 600)), chance.choice((2, 20, 120))), kind)


@lru_cache(maxsize=24)
def _pages(kind: str, side: int, count: int) -> bytes:
    first, *rest = (Image.new("L", (side, side), i % 256) for i in range(count))
    buffer = io.BytesIO()
    options = {"compression": "tiff_lzw"} if kind == "TIFF" else {}
    first.save(buffer, kind, save_all=True, append_images=rest, **options)
    return buffer.getvalue()


def strips(chance: random.Random) -> Shot:
    """A TIFF in strips of a row, as many as there are rows."""
    side = chance.choice((1000, 20_000))
    buffer = io.BytesIO()
    Image.new("1", (8, side)).save(buffer, "TIFF", strip_size=1, compression=chance.choice((None, "tiff_lzw")))
    return _sent(chance, buffer.getvalue(), "TIFF")


def chunks(chance: random.Random) -> Shot:
    """A PNG of very many chunks, or of few that inflate to much."""
    whole = _flat("PNG", "L", 600, False)
    text = zlib.compress(bytes(amount(chance, 2**26)))
    extra = {
        b"zTXt": b"a\0\0" + text,
        b"iCCP": b"a\0\0" + text,
        b"iTXt": b"a\0\1\0\0\0" + text,
        b"tEXt": b"a\0b",
        b"eXIf": b"II*\0\x08\0\0\0" + struct.pack("<HHHII", 1, 274, 4, 2**28, 8),
        b"IDAT": b"",
    }
    name = chance.choice(list(extra))
    times = min(amount(chance, 20_000), 2**22 // (len(extra[name]) + 12) + 1)
    return _sent(chance, whole[:33] + _chunk(name, extra[name]) * times + whole[33:], "PNG")


def busy(chance: random.Random) -> Shot:
    """Noise, dots, lines, checks or rings, which make the preparation look at very many pieces."""
    pattern = chance.choice(("noise", "dots", "lines", "checks", "rings"))
    return _sent(chance, _busy(pattern, chance.choice((600, 2000))), "PNG")


@lru_cache(maxsize=16)
def _busy(pattern: str, side: int) -> bytes:
    def odd(value: int) -> int:
        return 255 * (value % 2)

    def dark(value: int) -> int:
        return 0 if value < 40 else 255

    noise = Image.frombytes("L", (side, side), random.Random(0).randbytes(side * side))
    rows = bytes((0, 255)) * (side // 2) + bytes((255, 0)) * (side // 2)
    grey = {
        "noise": noise,
        "dots": noise.point(dark),
        "lines": Image.linear_gradient("L").resize((side, side), Image.Resampling.NEAREST).point(odd),
        "checks": Image.frombytes("L", (side, side), rows * (side // 2)),
        "rings": Image.radial_gradient("L").resize((side, side), Image.Resampling.NEAREST).point(odd),
    }[pattern]
    buffer = io.BytesIO()
    grey.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def segments(chance: random.Random) -> Shot:
    """A JPEG of very many segments, next to nothing in each."""
    whole = _flat("JPEG", "L", 64, False)
    segment = chance.choice((b"\xff\xfe\0\2", b"\xff\xe1\0\2", b"\xff\xdb\0\2", b"\xff"))
    return _sent(chance, whole[:2] + segment * amount(chance, 2**20) + whole[2:], "JPEG")


def directories(chance: random.Random) -> Shot:
    """A TIFF of many pages, whose long lists of tags lie over one another."""
    tags, count = amount(chance, 65_535), amount(chance, 1024)
    sides = struct.pack("<HHIIHHII", 256, 4, 1, 8, 257, 4, 1, 8)
    file = bytearray(struct.pack("<2sHIH", b"II", 42, 8, tags) + sides * (tags // 2 + count + 2))
    for at in range(8, 8 + 16 * count, 16):
        struct.pack_into("<H", file, at, tags)
        struct.pack_into("<I", file, at + 2 + 12 * tags, at + 16)
    return _sent(chance, bytes(file), "TIFF")


BOMBS = (declared, flat, scans, pages, strips, chunks, segments, directories, busy)

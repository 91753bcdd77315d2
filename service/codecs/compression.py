"""Content encodings of HTTP bodies: gzip, deflate (RFC 9110 section 8.4.1) and zstd (RFC 8878)."""

import gzip
import io
import re
import zlib
from collections.abc import Callable
from typing import Any

import zstandard

from service.caching import short_cache
from service.errors import BodyTooLarge, MalformedBody, UnsupportedMedia

GZIP = b"\x1f\x8b"
MAX_MEMBERS = 1024  # of a gzip file
PIECE = 2**16
MAX_WINDOW_BYTES = 8 * 2**20  # RFC 9659: what a zstd body may make its receiver allocate

WEIGHTED = re.compile(rb"([\w*-]+)\s*(?:;\s*q=(\d(?:\.\d{0,3})?))?")

# Below this, and of these, compressing takes more than it saves.
WORTHWHILE_BYTES = 1024
COMPRESSED_ALREADY = ("image/", "application/zip")
NUMBERS = ("application/x-npy", "application/octet-stream")

CODERS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": lambda body: zstandard.ZstdCompressor(level=1).compress(body),
    "gzip": lambda body: gzip.compress(body, compresslevel=1, mtime=0),
    "deflate": lambda body: zlib.compress(body, level=1),
}


def decompressed(body: bytes, encoding: bytes, limit: int) -> bytes:
    """The body as it was before `encoding`. Raises BodyTooLarge before more than `limit` bytes are decoded."""
    name = encoding.decode("latin-1").strip().lower().removeprefix("x-")  # RFC 9110: x-gzip is gzip
    if name == "identity":
        return body
    if name not in CODERS:
        raise UnsupportedMedia(f"Compress with {', '.join(CODERS)} or not at all.", "content-encoding")
    try:
        decoded = (_unzstd if name == "zstd" else _inflated)(body, limit)
    except (EOFError, zlib.error, zstandard.ZstdError):
        raise MalformedBody(f"The body is not {name}, or damaged.", "content-encoding") from None
    if len(decoded) > limit:
        raise BodyTooLarge(f"The decompressed body has more than {limit} bytes.")
    return decoded


def _inflated(body: bytes, limit: int) -> bytes:
    """A zlib stream, or the members of a gzip file one after the other, cut off after `limit` + 1 bytes."""
    decoder, decoded, members, at = _inflater(), 0, 1, 0
    pieces: list[bytes] = []
    while at < len(body) and decoded <= limit:
        if decoder.eof:
            members += 1
            if members > MAX_MEMBERS or not body.startswith(GZIP):
                raise EOFError
            decoder = _inflater()
        piece = memoryview(body)[at : at + PIECE]  # what lies behind a member is copied, so it must not be all the rest
        pieces.append(decoder.decompress(piece, limit + 1 - decoded))
        decoded += len(pieces[-1])
        at += len(piece) - len(decoder.unused_data) - len(decoder.unconsumed_tail)
    if decoded <= limit and not decoder.eof:
        raise EOFError
    return b"".join(pieces)


def _inflater() -> Any:
    return zlib.decompressobj(zlib.MAX_WBITS | 32)  # tells zlib and gzip apart itself


def _unzstd(body: bytes, limit: int) -> bytes:
    """A zstd frame, cut off after `limit` + 1 bytes.

    The library decodes either within a bound or with word of a truncated frame, so a bounded pass goes first.
    """
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    with decoder.stream_reader(io.BytesIO(body)) as reader:
        bounded: bytes = reader.read(limit + 1)
    if len(bounded) > limit:
        return bounded
    frame = decoder.decompressobj()
    decoded: bytes = frame.decompress(body)
    if not frame.eof or frame.unused_data:
        raise EOFError
    return decoded


def coding_for(accept_encoding: bytes, media_type: str, size: int) -> str | None:
    """The content encoding of an answer; None for as it is.

    HTTP libraries list whatever they can decode, and floats hardly shrink, at 26 ms per MB: binary tensors are
    compressed only for a client that names a single coding, as one does who means it.
    """
    if size < WORTHWHILE_BYTES or media_type.startswith(COMPRESSED_ALREADY):
        return None
    if media_type in NUMBERS and b"," in accept_encoding:
        return None
    return _preferred(accept_encoding)


@short_cache(longest=1024)
def _preferred(accept_encoding: bytes) -> str | None:
    """RFC 9110 section 12.5.3; the cheapest coding first where the client does not mind."""
    # Part by part: a search through all of it would take the square of its length.
    parts = (WEIGHTED.fullmatch(part.strip()) for part in accept_encoding.split(b","))
    weights = {part[1].lower(): float(part[2] or 1) for part in parts if part}
    weight, coding = max(
        ((weights.get(name.encode(), weights.get(b"*", 0.0)), name) for name in CODERS), key=lambda one: one[0]
    )
    return coding if weight > 0 else None

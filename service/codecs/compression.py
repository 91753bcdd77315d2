"""Content encodings of HTTP bodies: gzip, deflate (RFC 9110 section 8.4.1) and zstd (RFC 8878)."""

import gzip
import io
import zlib
from collections.abc import Callable
from functools import lru_cache

import zstandard

from service.errors import BodyTooLarge, MalformedBody, UnsupportedMedia
from service.messages import parse_media_type

GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
MAX_WINDOW_BYTES = 8 * 2**20  # RFC 9659: what a zstd body may make its receiver allocate

# Below this the headers that compression adds and the time it takes are more than it saves.
WORTHWHILE_BYTES = 1024


def decompressed(body: bytes, encoding: bytes, limit: int) -> bytes:
    """The body as it was before `encoding`, at most `limit` bytes: not one more is ever decoded.

    Raises UnsupportedMedia, MalformedBody and BodyTooLarge.
    """
    name = encoding.strip().lower()
    if name == b"identity":
        return body
    if name not in DECODERS:
        raise UnsupportedMedia(f"Compress with {', '.join(CODINGS)} or not at all.", "content-encoding")
    try:
        decoded = DECODERS[name](body, limit + 1)
    except (EOFError, zlib.error, zstandard.ZstdError):
        raise MalformedBody(f"The body is not {name.decode()}, or a damaged one.", "content-encoding") from None
    if len(decoded) > limit:
        raise BodyTooLarge(f"The decompressed body has more than {limit} bytes.")
    return decoded


def _inflated(body: bytes, most: int) -> bytes:
    """At most `most` bytes of a zlib stream or of gzip members one after the other."""
    decoded = b""
    while body and len(decoded) < most:
        decoder = zlib.decompressobj(GZIP_OR_ZLIB)
        decoded += decoder.decompress(body, most - len(decoded))
        if not decoder.eof and len(decoded) < most:
            raise EOFError
        body = decoder.unused_data
    return decoded


def _unzstd(body: bytes, most: int) -> bytes:
    decoder = zstandard.ZstdDecompressor(max_window_size=MAX_WINDOW_BYTES)
    with decoder.stream_reader(io.BytesIO(body), read_across_frames=True) as reader:
        decoded: bytes = reader.read(most)
    if len(decoded) < most and not _ends_with_a_frame(body):
        raise EOFError
    return decoded


def preferred_coding(accept_encoding: bytes) -> str | None:
    """The coding to answer with, the cheapest first where the client does not mind; None for no compression."""
    return _preferred(accept_encoding)


DECODERS: dict[bytes, Callable[[bytes, int], bytes]] = {b"gzip": _inflated, b"deflate": _inflated, b"zstd": _unzstd}
CODINGS: dict[str, Callable[[bytes], bytes]] = {}

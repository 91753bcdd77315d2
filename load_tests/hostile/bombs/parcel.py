"""How a bomb is sent: where to, in which coding, how large."""

import gzip
import random
import zlib

import zstandard

from load_tests.hostile.shot import Shot

CODERS = {
    b"gzip": lambda body: gzip.compress(body, 6, mtime=0),
    b"deflate": zlib.compress,
    b"zstd": zstandard.ZstdCompressor(level=3).compress,
}
SHRINKS = 2**15  # bytes from which a body is sent compressed now and then


def parcel(
    chance: random.Random, path: str, body: bytes, media_type: str, query: bytes = b"", accept: str = ""
) -> Shot:
    """Large bodies are compressed more often than not."""
    headers = {b"content-type": media_type.encode()}
    if accept:
        headers[b"accept"] = accept.encode()
    if len(body) > SHRINKS and chance.random() < 0.6:
        coding = chance.choice(list(CODERS))
        headers[b"content-encoding"], body = coding, CODERS[coding](body)
    return Shot("POST", path, query, headers, body)


def amount(chance: random.Random, most: int, least: int = 1) -> int:
    """Between the two; as often in the tens as in the thousands."""
    return round(least * (most / least) ** chance.random())

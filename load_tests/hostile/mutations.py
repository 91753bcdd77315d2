"""Bytes that are nearly right: a real payload with something wrong in it."""

import gzip
import random
import re

import zstandard

NUMBERS = (
    b"-1",
    b"0",
    b"1e999",
    b"-0.0",
    b"NaN",
    b"null",
    b"true",
    b"1" * 400,
    b"9223372036854775808",
    b"1e-320",
    b'"7"',
)
TOKENS = (
    b"[" * 2000,
    b'{"a":' * 1200,
    b'"\\ud800"',
    b'"\\u0000"',
    b"\xff\xfe\x00",
    b"[]",
    b"{}",
    b",,",
    b"\r\n--",
    b"--\r\n",
    b"'|O'",
    b"'>f8'",
    b"(9223372036854775807, 0)",
    b"(-1,)",
    b"data:image/png;base64,",
    b"\x00" * 64,
    b"\x28\xb5\x2f\xfd",
    b"\x1f\x8b\x08\x00",
)
WORDS = (
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"\x01\x00\x00\x00",
)


def mutated(body: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """`body` after one to four accidents; `others` are bodies that pieces may come from."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        body = chance.choice(ACCIDENTS)(body, chance, others)
    return body


def _flip(body: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    changed = bytearray(body)
    for _ in range(chance.choice((1, 1, 8))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwrite(body: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    at = chance.randrange(len(body) + 1)
    word = chance.choice(WORDS)[: chance.choice((1, 2, 4))]
    return body[:at] + word + body[at + len(word) :]


def _cut_out(body: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    start, end = sorted(chance.randrange(len(body) + 1) for _ in range(2))
    return body[:start] + body[end:]


def _truncate(body: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    return body[: chance.randrange(len(body) + 1)]


def _repeat(body: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    start, end = sorted(chance.randrange(len(body) + 1) for _ in range(2))
    return body[:end] + body[start:end][:2048] * chance.choice((1, 2, 16)) + body[end:]


def _insert(body: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    at = chance.randrange(len(body) + 1)
    return body[:at] + chance.choice((chance.choice(TOKENS), chance.randbytes(8))) + body[at:]


def _splice(body: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    other = chance.choice(others)
    return body[: chance.randrange(len(body) + 1)] + other[chance.randrange(len(other) + 1) :]


def _renumber(body: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    found = [match.span() for match in re.finditer(rb"\d+", body[:4096])]
    if not found:
        return body
    start, end = chance.choice(found)
    return body[:start] + chance.choice(NUMBERS) + body[end:]


ACCIDENTS = (_flip, _overwrite, _cut_out, _truncate, _repeat, _insert, _splice, _renumber)
ENCODERS = {b"gzip": gzip.compress, b"zstd": zstandard.ZstdCompressor().compress}

"""JSON whose parts are many, deep, long or empty."""

import random

from load_tests.bodies import JSON, applicants, as_json
from load_tests.hostile.bombs.parcel import amount, parcel
from load_tests.hostile.seeds import FIELDS, SCORE
from load_tests.hostile.shot import Shot

TARGETS = FIELDS | dict.fromkeys(("/v1/models/digits/predict", "/v1/models/ct-denoiser/predict"), ("inputs",))
UNITS = (
    b"0",
    b"-0.0",
    b"1e-9",
    b"true",
    b"null",
    b'""',
    b'"1"',
    b"[]",
    b"{}",
    b"[0]",
    b"[[]]",
    b'{"a":1}',
    b'[{"a":[]}]',
)
MOST = 2**24  # bytes of a document before it is compressed


def _sent(chance: random.Random, path: str, field: bytes, value: bytes) -> Shot:
    body = b'{"%s":%s}' % (field, value)
    if field == b"inputs" and "predict" in path:
        name = chance.choice((b"x", b"image", b"hu", b"k"))
        body = b'{"inputs":{"%s":%s}}' % (name, value)
    elif field == b"inputs" and chance.random() < 0.8:
        tensor = (
            chance.choice((b"FP32", b"INT64", b"BOOL", b"BYTES", b"FP64")),
            chance.choice((b"[2,3]", value[:500_000])),
        )
        body = b'{"inputs":[{"name":"x","datatype":"%s","shape":%s,"data":%s}]}' % (*tensor, value)
    return parcel(chance, path, body, JSON)


def _aim(chance: random.Random) -> tuple[str, bytes]:
    path = chance.choice(list(TARGETS))
    return path, chance.choice(TARGETS[path]).encode()


def wide(chance: random.Random) -> Shot:
    """An array of the same again and again, itself in up to three others."""
    unit = chance.choice(UNITS)
    for _ in range(chance.choice((1, 1, 2, 3))):
        times = min(amount(chance, 2**22), MOST // (len(unit) + 1))
        unit = b"[" + b",".join([unit] * times) + b"]"
    return _sent(chance, *_aim(chance), unit)


def deep(chance: random.Random) -> Shot:
    opening, closing = chance.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"[[],", b"]"), (b'[{"a":', b"}]")))
    levels = chance.choice((900, 1023, 1024, amount(chance, 200_000)))
    closed = closing * levels if chance.random() < 0.7 else b""
    return _sent(chance, *_aim(chance), opening * levels + b"1" + closed)


def empty_axes(chance: random.Random) -> Shot:
    """A shape with nothing along one axis and much along another."""
    inner = b"[]"
    for _ in range(chance.choice((1, 1, 2, 5))):
        inner = b"[" + b",".join([inner] * min(amount(chance, 100_000), MOST // len(inner) // 2 + 1)) + b"]"
    return _sent(chance, *_aim(chance), inner)


def digits(chance: random.Random) -> Shot:
    """Numbers of very many digits."""
    long = chance.choice((b"1", b"0", b"9")) * amount(chance, 2**20)
    number = chance.choice((b"%s", b"0.%s", b"%s.5", b"1e-%s", b"1.%se300", b"-%s", b'"%s"', b"0.0%s1e-5")) % long
    numbers = b"[" + b",".join([number] * min(amount(chance, 1000), 2**21 // len(number) + 1)) + b"]"
    return _sent(chance, *_aim(chance), chance.choice((number, numbers, b"[" + numbers + b"]")))


def names(chance: random.Random) -> Shot:
    """Fields in great number, of great length, or the same one again and again."""
    path, field = _aim(chance)
    most = amount(chance, 300_000)
    value = chance.choice((b"1", b"[]", b"{}", b"[[[0]]]"))
    fields = {
        "many": lambda: b",".join(b'"k%d":%s' % (i, value) for i in range(most)),
        "long": lambda: b'"%s":%s' % (chance.choice((b"n", b"\\u00e9", b"\xc3\xa9", b"\\n")) * most * 4, value),
        "same": lambda: b",".join([b'"%s":%s' % (field, value)] * most),
        "alike": lambda: b",".join(b'"%s%d":%s' % (b"k" * 100, i, value) for i in range(most // 10)),
    }
    body = b"{" + fields[chance.choice(list(fields))]() + b"}"
    body = chance.choice((body, b'{"%s":%s}' % (field, body), b'{"%s":[%s]}' % (field, body)))
    return parcel(chance, path, body, JSON)


def texts(chance: random.Random) -> Shot:
    """A long text where a short one, a number or a picture in base64 should be."""
    unit = chance.choice((b"A", b"/", b"=", b"\\u0041", b"\\ud83d\\ude00", b"\xe2\x82\xac", b" ", b"1", b"\\n"))
    text = b'"%s%s"' % (chance.choice((b"", b"data:image/png;base64,", b"data:")), unit * amount(chance, 2**21))
    several = b"[" + b",".join([text] * min(amount(chance, 300), MOST // len(text) + 1)) + b"]"
    return _sent(chance, *_aim(chance), chance.choice((text, several)))


def people(chance: random.Random) -> Shot:
    """Applicants: very many, empty, or with what no regular expression likes."""
    row = dict(chance.choice(applicants()))
    times = amount(chance, 300)
    for name in chance.sample(list(row), chance.choice((1, 1, 20))):
        row[name] = chance.choice(("1", "9.", " ", "1e", "A", "A11 ", "+", "0", "1 ")) * amount(
            chance, 30_000
        ) + chance.choice(("x", "", " ", "\0", ".", "e9999"))
    many = [row] * times if chance.random() < 0.8 else [{}] * amount(chance, 300_000)
    return parcel(chance, SCORE, as_json({"applicants": many}).content[:MOST], JSON)


BOMBS = (wide, deep, empty_axes, digits, names, texts, people)

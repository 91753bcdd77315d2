"""Multipart bodies of very many parts, headers and near misses of the boundary."""

import random

from load_tests.bodies import digit_png, slice_dicom
from load_tests.hostile.bombs.parcel import amount, parcel
from load_tests.hostile.seeds import ACTIVATIONS, CLASSIFY, DENOISE, FORM, IMAGES, form
from load_tests.hostile.shot import Shot

MOST = 2**21
TARGETS = {CLASSIFY: "image", IMAGES: "image", ACTIVATIONS: "image", DENOISE: "dicom"}


def parts(chance: random.Random) -> Shot:
    path = chance.choice(list(TARGETS))
    content = chance.choice((b"", b"x", digit_png(7).content, slice_dicom().content))
    name = chance.choice((TARGETS[path], "model", "x" * amount(chance, 10_000)))
    times = min(amount(chance, 40_000), MOST // (len(content) + len(name) + 80) + 1)
    return parcel(chance, path, form(name, *[content] * times), FORM)


def fields(chance: random.Random) -> Shot:
    """Fields that are no files: very many, or very long."""
    path, name = chance.choice(list(TARGETS.items()))
    field = b'--edge\r\ncontent-disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    value = chance.choice((b"a", b"1", b"\xff", b"\xc3\xa9")) * amount(chance, MOST)
    times = min(amount(chance, 40_000), MOST // (len(value) + 60) + 1)
    names = (b"model", b"version", b"many", b"explain", name.encode(), b"")
    body = b"".join(field % (chance.choice(names), value) for _ in range(times))
    return parcel(chance, path, body + form(name, digit_png(7).content), FORM)


def heads(chance: random.Random) -> Shot:
    """A part with very many headers, very long ones, or one of which never ends."""
    line = chance.choice(
        (b"a: b\r\n", b"a: " + b"b" * 1000 + b"\r\n", b"a" * 1000 + b": b\r\n", b"a;", b'name="x";', b"\r\n ")
    )
    path, name = chance.choice(list(TARGETS.items()))
    lines = line * min(amount(chance, 200_000), MOST // len(line))
    head = b'--edge\r\ncontent-disposition: form-data; name="%s"%s\r\n' % (
        name.encode(),
        chance.choice((b"", b"; filename=f")),
    )
    return parcel(chance, path, head + lines + b"\r\nx\r\n--edge--\r\n", FORM)


def edges(chance: random.Random) -> Shot:
    """A body that is nearly the boundary, again and again."""
    unit = chance.choice((b"\r\n--edg", b"\r\n-", b"\r", b"\r\n", b"--", b"--edge", b"\n", b"\r\n--edge\r\n", b"-"))
    path, name = chance.choice(list(TARGETS.items()))
    return parcel(chance, path, form(name, unit * amount(chance, MOST // len(unit))), FORM)


def boundaries(chance: random.Random) -> Shot:
    """A boundary of any length."""
    path, name = chance.choice(list(TARGETS.items()))
    boundary = chance.choice("-aA'") * amount(chance, 60_000)
    body = form(name, digit_png(7).content).replace(b"--edge", b"--" + boundary.encode())
    return parcel(chance, path, body * 3, f"multipart/form-data; boundary={boundary}")


BOMBS = (parts, fields, heads, edges, boundaries)

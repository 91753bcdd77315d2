"""CSV of very many columns, rows, quotes or line ends."""

import random

from load_tests.bodies import applicants
from load_tests.hostile.bombs.parcel import amount, parcel
from load_tests.hostile.seeds import CSV, SCORE
from load_tests.hostile.shot import Shot

MOST = 2**22
UNITS = (b"1", b"", b"A11", b'""', b'"a,b"', b"1;2", b"\xc3\xa9", b"'", b"1\t2")


def cells(chance: random.Random) -> Shot:
    """Any number of columns and rows."""
    unit = chance.choice(UNITS)
    columns, rows = amount(chance, 400_000), amount(chance, 400_000)
    rows = max(1, min(rows, MOST // (columns * (len(unit) + 1))))
    end = chance.choice((b"\n", b"\r\n", b"\r"))
    name = chance.choice((b"c%d", b"age_years", b"", b'"%d"'))
    head = b",".join(name.replace(b"%d", b"%d" % i) for i in range(columns))
    return parcel(chance, SCORE, head + end + (b",".join([unit] * columns) + end) * rows, CSV)


def lines(chance: random.Random) -> Shot:
    """Next to nothing but line ends, blanks, quotes or separators."""
    unit = chance.choice((b"\n", b"\r", b"\r\n", b'"', b",", b" ", b";", b"\t", b'""', b'"\n', b",\n", b'"a"b', b"\0"))
    head = ",".join(applicants()[0]).encode() + b"\n" if chance.random() < 0.6 else b""
    return parcel(chance, SCORE, head + unit * amount(chance, 2**21), CSV)


def values(chance: random.Random) -> Shot:
    """Sound rows but for one cell, which is long."""
    row = {name: str(value) for name, value in applicants()[0].items()}
    name = chance.choice(list(row))
    row[name] = chance.choice("1 9.0eA+-") * amount(chance, 2**17) + chance.choice(("x", "", "e", " "))
    head, line = ",".join(row), ",".join(row.values())
    rows = min(amount(chance, 300), MOST // len(line) + 1)
    return parcel(chance, SCORE, "\n".join([head, *[line] * rows]).encode(), CSV)


BOMBS = (cells, lines, values)

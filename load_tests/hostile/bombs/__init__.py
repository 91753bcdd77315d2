"""Requests that want to cost much, by what they are made of: each decoder's expensive corners."""

import random
from collections.abc import Callable

from load_tests.hostile.bombs import documents, forms, lines, pictures, slices, tables, tensors
from load_tests.hostile.shot import Shot

Bomb = Callable[[random.Random], Shot]

BOMBS: dict[str, Bomb] = {
    f"{module.__name__.rpartition('.')[2]}.{bomb.__name__}": bomb
    for module in (pictures, slices, documents, tables, tensors, forms, lines)
    for bomb in module.BOMBS
}

"""Requests that want to cost much, by what they are made of: each decoder's expensive corners."""

import random
from collections.abc import Callable

from load_tests.hostile.bombs import documents, forms, lines, pictures, slices, tables, tensors
from load_tests.hostile.shot import Shot

Bomb = Callable[[random.Random], Shot]

MODULES = (pictures, slices, documents, tables, tensors, forms, lines)
BOMBS: dict[str, Bomb] = {
    f"{module.__name__.rpartition('.')[2]}.{bomb.__name__}": bomb for module in MODULES for bomb in module.BOMBS
}


def forget() -> None:
    """Drop what is kept so that bombs are made quickly, for it takes hundreds of megabytes."""
    for module in MODULES:
        for made in vars(module).values():
            if hasattr(made, "cache_clear"):
                made.cache_clear()

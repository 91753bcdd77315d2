"""Caches whose keys come from clients."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar

ENTRIES = 256

T = TypeVar("T")


def short_cache(longest: int) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Remember what a function makes of a few hundred first arguments of at most `longest` bytes; others it computes.

    So what clients send makes no cache grow beyond a bound.
    """

    def decorate(function: Callable[..., T]) -> Callable[..., T]:
        remembered = lru_cache(maxsize=ENTRIES)(function)

        @wraps(function)
        def call(key: bytes, *others: Any) -> T:
            return remembered(key, *others) if len(key) <= longest else function(key, *others)

        return call

    return decorate

"""Data from outside in place of a recipe's own: what its readers give once it has been told to use them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.bundle import Source

P = ParamSpec("P")
T = TypeVar("T")

REPORT = "data.md"


@dataclass(frozen=True, kw_only=True)
class Given:
    """Data from outside, read, validated and split.

    source    what a bundle says of it: its sha256 is over all that was read
    replaces  the source of the recipe that it stands in for, the first of them
    reader    the name of the function in training.data that gives `value` from now on
    report    what was found in it, in Markdown
    hyper     hyper-parameters that follow from it, such as how many rows validate
    folds     of a table: which of five each row [N] is in, where the first is held out
    cuts      of a series: where its validation begins, and where what is held out
    """

    source: Source
    replaces: str
    reader: str
    value: Any
    report: str
    hyper: dict[str, Any] = field(default_factory=dict)
    folds: NDArray[np.int64] | None = None
    cuts: tuple[int, int] | None = None


_used: dict[str, Given] = {}


def replaceable(reader: Callable[P, T]) -> Callable[P, T]:
    """A reader of a source that gives what `use` was told, where it was told something."""

    @wraps(reader)
    def read(*args: P.args, **options: P.kwargs) -> T:
        found = _used.get(reader.__name__)
        if found:
            value: T = found.value
            return value
        return reader(*args, **options)

    return read


def use(given: Given) -> None:
    """From now on, in this process."""
    _used[given.reader] = given


def forget() -> None:
    """Every reader gives its own data again."""
    _used.clear()


def given_for(reader: Callable[..., Any]) -> Given | None:
    """What a reader was told to give."""
    return _used.get(reader.__name__)


def source_of(name: str) -> Source | None:
    """What a bundle says of the data from outside of that name."""
    return next((one.source for one in _used.values() if one.source.name == name), None)

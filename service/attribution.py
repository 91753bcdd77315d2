"""Whose key asked and which model answers, for the log: noted where it is known, read where the line is written.

Each request runs in a task of its own, so what one notes no other one sees.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from types import MappingProxyType

NOTHING: Mapping[str, str] = MappingProxyType({})

_noted: ContextVar[Mapping[str, str]] = ContextVar("noted", default=NOTHING)


def note(**what: str) -> None:
    _noted.set({**_noted.get(), **what})


def noted() -> Mapping[str, str]:
    """`key`, `model` and `version`, as far as they are known."""
    return _noted.get()

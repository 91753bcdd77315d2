"""How a text is taken apart before a graph takes it: what the manifest of a model of words says."""

import re
from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import NamedTuple

from pydantic import Field, field_validator

from service.bundle.record import Record


class Word(NamedTuple):
    """A word as the graph takes it, and the characters [start, end) of the text that it was."""

    text: str
    start: int
    end: int


class Tokeniser(Record):
    """Words are what the regular expression `pattern` finds, in small letters; a text has at most `most` of them.

    The graph's input has a text's words in their order, and behind them empty ones.
    """

    pattern: str = Field(max_length=1000)
    most: int = Field(gt=0, le=2**16)

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"the pattern is no regular expression: {error}") from None
        return pattern

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def words(self, text: str) -> list[Word]:
        """Of a text that has too many, one too many; of one without any, an empty one."""
        return list(islice(self._found(text), self.most + 1)) or [Word("", 0, 0)]

    def _found(self, text: str) -> Iterator[Word]:
        for match in self._compiled.finditer(text):
            if match[0]:
                yield Word(match[0].lower(), *match.span())

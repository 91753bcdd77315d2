"""Who takes part in the bench, and what it must answer."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
from numpy.typing import ArrayLike

from load_tests.bench.raw import RawModel
from load_tests.bench.work import Work
from load_tests.bodies import JSON, Body


class WrongAnswer(Exception):
    """A contender that is fast and wrong."""


class Contender(NamedTuple):
    """A server that answers one body. `echo` names the contender that bounds it.

    `work` counts the batches behind the service's own endpoints. The server is asked while `awake`.
    """

    product: str
    form: str
    url: str
    body: Body
    right: Callable[[bytes], bool]
    echo: str = ""
    work: Callable[[], Work] | None = None
    headers: Mapping[str, str] = {}
    awake: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def name(self) -> str:
        return f"{self.product}, {self.form}"

    @property
    def is_json(self) -> bool:
        return self.body.media_type == JSON

    def check(self) -> None:
        """Raises WrongAnswer."""
        headers = {"content-type": self.body.media_type, **self.headers}
        try:
            with self.awake(), urlopen(Request(self.url, self.body.content, headers), timeout=60) as response:
                answer = response.read()
        except HTTPError as error:
            raise WrongAnswer(f"{self.name} at {self.url} answered {error.code}: {error.read()[:300]!r}") from None
        if not self.right(answer):
            raise WrongAnswer(f"{self.name} at {self.url} gave a wrong answer: {answer[:300]!r}")


class Part(NamedTuple):
    """Each request holds `rows` rows, called `unit`. Its runs take `stretch` times as long as others."""

    title: str
    contenders: tuple[Contender, ...]
    raw: RawModel
    connections: tuple[int, ...]
    batches: tuple[int, ...]
    unit: str = "requests"
    rows: int = 1
    stretch: int = 1


def close(answer: ArrayLike, expected: ArrayLike, atol: float = 1e-4) -> bool:
    return np.shape(answer) == np.shape(expected) and np.allclose(answer, expected, atol=atol)

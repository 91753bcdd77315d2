"""Other products that serve the digit model, in environments that `python -m load_tests.bench.competitors` makes.

A module here is a server under one of them, the text file of the same name what is installed for it.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from load_tests import servers
from load_tests.servers import PROJECT, Server

ENVIRONMENTS = PROJECT / ".competitors"


class Competitor(NamedTuple):
    """A product, its module here and a path that answers 200 once it serves. `polls`: also while nobody asks it.

    `logs`: every request.
    """

    product: str
    module: str
    ready: str
    polls: bool = False
    logs: bool = False

    @property
    def requirements(self) -> Path:
        return Path(__file__).with_name(f"{self.module}.txt")

    @property
    def environment(self) -> Path:
        return ENVIRONMENTS / self.module

    @property
    def python(self) -> Path:
        return self.environment / "bin" / "python"

    @property
    def record(self) -> Path:
        """The requirements that were installed; written last."""
        return self.environment / "installed.txt"

    def is_installed(self) -> bool:
        return self.record.exists() and self.record.read_bytes() == self.requirements.read_bytes()

    def serving(self, environment: dict[str, str]) -> AbstractContextManager[Server]:
        """Raises ServerError."""
        logging = {"ACCESS_LOG": "all"} if self.logs else {}
        return servers.module(f"{__name__}.{self.module}", self.ready, environment | logging, self.python, self.polls)


FASTAPI = Competitor("FastAPI", "fastapi", "/docs")  # of slices, too
COMPETITORS = (
    FASTAPI,
    Competitor("FastAPI, logging", "fastapi", "/docs", logs=True),
    Competitor("LitServe", "litserve", "/health", polls=True),
    Competitor("KServe", "kserve", "/v2/models/digits/ready"),
    Competitor("MLServer", "mlserver", "/v2/models/digits/ready"),
    Competitor("PyTriton", "pytriton", "/v2/models/digits/ready"),
)

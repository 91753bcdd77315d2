"""How far a job has come, in a file beside its output, so that it can go on there."""

import os
from pathlib import Path

from pydantic import BaseModel

SUFFIX = ".progress.json"


class Job(BaseModel):
    """What a job is: of a file that says something else no job goes on.

    `decimal` is the decimal mark of a CSV, empty where its first rows do not show one.
    """

    task: str
    model: str
    version: str
    source: str
    source_size: int
    options: dict[str, str]
    part: tuple[int, int]
    block: int
    decimal: str | None = None


class Progress(BaseModel):
    """`items` are those that were read, in blocks that are written whole."""

    job: Job
    items: int = 0
    answered: int = 0
    rejected: int = 0
    output: int = 0
    rejects: int = 0
    columns: list[str] = []
    done: bool = False

    def write(self, path: Path) -> None:
        """At once or not at all."""
        writing = path.with_name(f"{path.name}.writing")
        with writing.open("w") as file:
            file.write(self.model_dump_json(indent=1))
            file.flush()
            os.fsync(file.fileno())
        writing.rename(path)


def read(path: Path) -> Progress | None:
    return Progress.model_validate_json(path.read_bytes()) if path.exists() else None

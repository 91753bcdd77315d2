"""Right requests to every endpoint for every bundle of a folder, as the tasks themselves give them."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from service.bundle import Bundle, current, names
from service.task import Example, Task
from service.tasks import TASKS


class ExampleRequest(NamedTuple):
    """A request to `path`, which names the model where the query does not."""

    task: Task
    model: str
    path: str
    example: Example

    @property
    def query(self) -> str:
        named = f"model={self.model}" if self.task.kind else ""
        return "&".join(filter(None, [named, self.example.query]))

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{self.query}" if self.query else self.path


def requests_of(models: Path) -> Iterator[ExampleRequest]:
    for name in names(models):
        yield from requests_to(current(models, name))


def requests_to(bundle: Bundle) -> Iterator[ExampleRequest]:
    inputs, outputs = bundle.golden()
    manifest = bundle.manifest
    for task in TASKS:
        if task.kind in (None, manifest.task.kind):
            for example in task.examples(manifest, inputs, outputs):
                yield ExampleRequest(task, manifest.name, task.path.format(name=manifest.name), example)

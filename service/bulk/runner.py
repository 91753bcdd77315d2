"""What a process of a job does: its own sessions, and the very stages that a request goes through."""

import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple

import orjson

from service.bulk.progress import Job
from service.bulk.sources import Block, File, Row, reason_of
from service.bundle import Arrays, Bundle, CreditScoring, TabularPrediction, TextClassification, current
from service.codecs.cells import Table
from service.engine.batcher import Run
from service.engine.cascade import open_answering
from service.errors import QuartetError
from service.limits import Limits
from service.messages import DICOM, JSON, Answer, Request
from service.settings import Settings
from service.task import Payload, Prepared, Task
from service.tasks import TASKS
from service.tasks.rows import decimal_of

POSITION = re.compile(r"\w*\[(\d+)\]\.?")  # of a row in the path of a field
TEXT_COLUMN = "text"

Samples = Table | list[Any]


class Result(NamedTuple):
    """Of one item: what is written of it, or why it is rejected. `content` is a file that answers a file."""

    item: Row | File
    found: Mapping[str, Any] = {}
    content: bytes = b""
    reason: str = ""


class Runner:
    """A model, and the stages of its task."""

    def __init__(
        self, task: Task, bundle: Bundle, settings: Settings, options: Mapping[str, str], decimal: str | None = None
    ) -> None:
        """`options` as in the query of a request. Raises QuartetError for one that the task does not have.

        `decimal`: rows are of a CSV, whose numbers have this mark, where it is not empty.
        """
        self.task, self.bundle, self.manifest = task, bundle, bundle.manifest
        self._settings, self._options, self._decimal = settings, options, decimal
        self._limits = Limits(max_rows=2**31, max_pixels=settings.max_pixels)
        self._runs: dict[str, Run] = {}
        self._files = DICOM in task.writers  # a file is answered by a file
        self._parsed = {
            option.name: option.parse(options[option.name], option.name)
            for option in task.options
            if option.name in options
        }

    def run(self, block: Block) -> list[Result]:
        """In the order of the block."""
        if isinstance(block[0], File):
            return [self._file(item) for item in block if isinstance(item, File)]
        return self._rows([item for item in block if isinstance(item, Row)])

    def _rows(self, rows: list[Row]) -> list[Result]:
        """All at once; where that fails, each by itself, to tell the bad ones."""
        samples = self._samples(rows)
        try:
            return self._answered(rows, samples)
        except QuartetError:
            reasons = [self._reason(samples, place) for place in range(len(rows))]
        good = [place for place, reason in enumerate(reasons) if not reason]
        answered = iter(self._answered([rows[place] for place in good], picked(samples, good)) if good else [])
        return [
            Result(row, reason=reason) if reason else next(answered) for row, reason in zip(rows, reasons, strict=True)
        ]

    def _samples(self, rows: list[Row]) -> Samples:
        """What the task takes of rows; other columns pass by."""
        spec = self.manifest.task
        if not isinstance(spec, CreditScoring | TabularPrediction):
            return [row.values.get(TEXT_COLUMN) for row in rows]
        if self._decimal is not None:
            table = table_of(rows)
            return table._replace(decimal=self._decimal or decimal_of(columns_of(table), spec))
        return [{name: value for name, value in row.values.items() if name in spec.names or not name} for row in rows]

    def _reason(self, samples: Samples, place: int) -> str:
        try:
            self._prepared(picked(samples, [place]))
        except QuartetError as error:
            error.field = POSITION.sub("", error.field or "", count=1)
            return reason_of(error)
        return ""

    def _prepared(self, samples: Samples) -> Prepared:
        return self.task.prepare(Payload(samples, JSON, None, None, self._parsed), self.manifest, self._limits)

    def _answered(self, rows: list[Row], samples: Samples) -> list[Result]:
        found = self._predictions(self._answer(self._prepared(samples), JSON))
        return [Result(row, one) for row, one in zip(rows, found, strict=True)]

    def _file(self, file: File) -> Result:
        query = "&".join(f"{name}={value}" for name, value in self._options.items())
        request = Request(file.content, {}, query.encode())
        try:
            self.task.recognise(request)
            payload = self.task.read(request, self._limits)
            prepared = self.task.prepare(payload, self.manifest, self._limits)
            if self._files:
                return Result(file, content=self._answer(prepared, DICOM).body)
            predictions = self._predictions(self._answer(prepared, JSON))
        except QuartetError as error:
            return Result(file, reason=reason_of(error))
        return Result(file, predictions[0] if len(predictions) == 1 else {"predictions": predictions})

    def _answer(self, prepared: Prepared, media_type: str) -> Answer:
        outputs: Arrays = {}
        for graph in prepared.graphs:
            if graph not in self._runs:
                self._runs[graph] = open_answering(self.bundle, self._settings, 1, graph)
            taken = {one.name for one in self.manifest.graphs[graph].inputs}
            outputs |= self._runs[graph]({name: array for name, array in prepared.inputs.items() if name in taken})
        return self.task.writers[media_type](outputs, prepared.context, self.manifest)

    def _predictions(self, answer: Answer) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = orjson.loads(answer.body)["predictions"]
        return found


def table_of(rows: Sequence[Row]) -> Table:
    """Of a CSV: those that have fewer or more cells than names are uneven."""
    names = max((list(filter(None, row.values)) for row in rows), key=len)
    uneven = frozenset(place for place, row in enumerate(rows) if len(row.values) != len(names))
    return Table(names, [list(row.values.values()) for row in rows], uneven)


def columns_of(table: Table) -> dict[str, list[Any]]:
    even = [row for place, row in enumerate(table.rows) if place not in table.uneven]
    return {name: [row[place] for row in even] for place, name in enumerate(table.names)}


def picked(samples: Samples, places: Sequence[int]) -> Samples:
    """Some of them."""
    if not isinstance(samples, Table):
        return [samples[place] for place in places]
    uneven = frozenset(new for new, place in enumerate(places) if place in samples.uneven)
    return samples._replace(rows=[samples.rows[place] for place in places], uneven=uneven)


def mark_of_first(bundle: Bundle, block: Block) -> str:
    """The decimal mark that the first rows of a CSV show; empty: none."""
    spec, rows = bundle.manifest.task, [item for item in block if isinstance(item, Row)]
    if not rows or not isinstance(spec, CreditScoring | TabularPrediction):
        return ""
    return decimal_of(columns_of(table_of(rows)), spec) or ""


def takes_rows(bundle: Bundle) -> bool:
    return isinstance(bundle.manifest.task, CreditScoring | TabularPrediction | TextClassification)


_runner: list[Runner] = []  # of this process


def runner_of(job: Job, models: Path) -> Runner:
    task = next(one for one in TASKS if one.name == job.task)
    return Runner(task, current(models, job.model), Settings.from_environment(), job.options, job.decimal)


def begin(job: Job, models: Path, parent: int) -> None:
    """Of a process of the pool, which ends when its parent does, however that ends."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    _runner.append(runner_of(job, models))


def run(block: Block) -> list[Result]:
    return _runner[0].run(block)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        sleep(0.5)
    os._exit(1)


def flattened(found: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Columns of a table: numbers and texts by their path, lists as JSON."""
    for name, value in found.items():
        path = f"{before}{name}"
        if isinstance(value, Mapping):
            yield from flattened(value, f"{path}.")
        elif isinstance(value, list):
            yield path, orjson.dumps(value).decode()
        else:
            yield path, value

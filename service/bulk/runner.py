"""What a process of a job does: its own sessions, and the very stages that a request goes through."""

import os
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple

import orjson

from service.bulk.sources import Block, File, Row
from service.bundle import Arrays, Bundle, CreditScoring, TabularPrediction, TextClassification, current
from service.engine.session import Session
from service.errors import QuartetError
from service.limits import Limits
from service.messages import DICOM, JSON, Answer, Request
from service.settings import Settings
from service.task import Payload, Prepared, Task
from service.tasks import TASKS

POSITION = re.compile(r"\w*\[(\d+)\]\.?")  # of a row in the path of a field
TEXT_COLUMN = "text"


class Result(NamedTuple):
    """Of one item: what is written of it, or why it is rejected. `content` is a file that answers a file."""

    item: Row | File
    found: Mapping[str, Any] = {}
    content: bytes = b""
    reason: str = ""


class Runner:
    """A model, and the stages of its task."""

    def __init__(self, task: Task, bundle: Bundle, settings: Settings, options: Mapping[str, str]) -> None:
        """`options` as in the query of a request. Raises QuartetError for one that the task does not have."""
        self.task, self.bundle, self.manifest = task, bundle, bundle.manifest
        self._settings, self._options = settings, options
        self._limits = Limits(max_rows=2**31, max_pixels=settings.max_pixels)
        self._sessions: dict[str, Session] = {}
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
        samples = [self._sample(row) for row in rows]
        try:
            return self._answered(rows, samples)
        except QuartetError:
            reasons = [self._reason(sample) for sample in samples]
        good = [i for i, reason in enumerate(reasons) if not reason]
        answered = iter(self._answered([rows[i] for i in good], [samples[i] for i in good]) if good else [])
        return [
            Result(row, reason=reason) if reason else next(answered) for row, reason in zip(rows, reasons, strict=True)
        ]

    def _sample(self, row: Row) -> Any:
        """What the task takes of a row; other columns pass by."""
        spec = self.manifest.task
        if isinstance(spec, CreditScoring | TabularPrediction):
            return {name: value for name, value in row.values.items() if name in spec.names or not name}
        return row.values.get(TEXT_COLUMN)

    def _reason(self, sample: Any) -> str:
        try:
            self._prepared([sample])
        except QuartetError as error:
            return f"{POSITION.sub('', error.field, count=1)}: {error.detail}" if error.field else error.detail
        return ""

    def _prepared(self, samples: list[Any]) -> Prepared:
        return self.task.prepare(Payload(samples, JSON, None, None, self._parsed), self.manifest, self._limits)

    def _answered(self, rows: list[Row], samples: list[Any]) -> list[Result]:
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
            return Result(file, reason=f"{error.field}: {error.detail}" if error.field else error.detail)
        return Result(file, predictions[0] if len(predictions) == 1 else {"predictions": predictions})

    def _answer(self, prepared: Prepared, media_type: str) -> Answer:
        outputs: Arrays = {}
        for graph in prepared.graphs:
            if graph not in self._sessions:
                self._sessions[graph] = Session(self.bundle, self._settings.provider, 1, graph)
            taken = {one.name for one in self.manifest.graphs[graph].inputs}
            outputs |= self._sessions[graph].run(
                {name: array for name, array in prepared.inputs.items() if name in taken}
            )
        return self.task.writers[media_type](outputs, prepared.context, self.manifest)

    def _predictions(self, answer: Answer) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = orjson.loads(answer.body)["predictions"]
        return found


def takes_rows(bundle: Bundle) -> bool:
    return isinstance(bundle.manifest.task, CreditScoring | TabularPrediction | TextClassification)


_runner: list[Runner] = []  # of this process


def begin(task_name: str, models: Path, model: str, options: Mapping[str, str], parent: int) -> None:
    """Of a process of the pool, which ends when its parent does, however that ends."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    task = next(one for one in TASKS if one.name == task_name)
    _runner.append(Runner(task, current(models, model), Settings.from_environment(), options))


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

"""Answers to rows in parts: the table that came with columns behind it, or a line of JSON for each row.

What goes wrong once an answer has begun is told in it: of a row in its `error`, of the stream in a last row or line
that has nothing but an error.
"""

import io
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from service.bundle import Arrays, Manifest
from service.codecs import arrow, cells
from service.codecs.cells import Table
from service.errors import QuartetError
from service.messages import ARROW, CSV, NDJSON
from service.task import RowStream
from service.tasks import scored
from service.tasks.rows import Rows


class Writer(Protocol):
    def part(self, found: Rows, outputs: Arrays, context: Any, first: int) -> bytes:
        """The rows of a part, which `first` rows came before. Raises InvalidValue where a column's name is taken."""
        ...

    def end(self, rows: int, skipped: int) -> bytes:
        """After the last part."""
        ...

    def failed(self, error: QuartetError, problem: bytes) -> bytes:
        """In place of the parts that do not come."""
        ...


def writer_of(media_type: str, stream: RowStream, manifest: Manifest) -> Writer:
    writers: dict[str, Callable[[RowStream, Manifest], Writer]] = {
        CSV: CsvWriter,
        NDJSON: LineWriter,
        ARROW: ArrowWriter,
    }
    return writers[media_type](stream, manifest)


class LineWriter:
    def __init__(self, stream: RowStream, manifest: Manifest) -> None:
        self._stream, self._manifest = stream, manifest

    def part(self, found: Rows, outputs: Arrays, context: Any, first: int) -> bytes:
        lines: list[dict[str, Any]] = [{"row": first + place + 1} for place in range(found.total)]
        kept = found.kept if found.kept is not None else range(found.total)
        predictions = self._stream.predictions(outputs, context, self._manifest) if len(found.encoded) else []
        for place, one in zip(kept, predictions, strict=True):
            lines[place] |= one
        for fault in found.faults:
            if fault.row is not None:
                told = fault.told()
                del told["row"]
                lines[fault.row].setdefault("errors", []).append(told)
        return b"".join(orjson.dumps(one, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n" for one in lines)

    def end(self, rows: int, skipped: int) -> bytes:
        return orjson.dumps({"rows": rows, "skipped": skipped}) + b"\n"

    def failed(self, error: QuartetError, problem: bytes) -> bytes:
        return b'{"error": ' + problem + b"}\n"


class _TableWriter:
    """What CSV and Arrow have in common: columns behind those of the table, the last one for errors."""

    def __init__(self, stream: RowStream, manifest: Manifest) -> None:
        self._stream, self._manifest = stream, manifest
        self._like: Table | None = None
        self._names: list[str] = []

    def _columns(self, found: Rows, outputs: Arrays, context: Any) -> Mapping[str, Any]:
        return self._stream.columns(outputs, context, self._manifest)

    def end(self, rows: int, skipped: int) -> bytes:
        return b""


class CsvWriter(_TableWriter):
    def part(self, found: Rows, outputs: Arrays, context: Any, first: int) -> bytes:
        columns, begun = self._columns(found, outputs, context), self._like is not None
        sent, self._names = scored.named(found, columns, self._manifest.task)  # type: ignore[arg-type]
        self._like = sent
        lines = scored.lines(found, sent, columns)
        return cells.write_rows(sent, lines) if begun else cells.write(sent, self._names, lines)

    def failed(self, error: QuartetError, problem: bytes) -> bytes:
        assert self._like is not None
        return cells.write_rows(self._like, [[*[""] * (len(self._names) - 1), _told(error)]])


class ArrowWriter(_TableWriter):
    def __init__(self, stream: RowStream, manifest: Manifest) -> None:
        super().__init__(stream, manifest)
        self._sink = io.BytesIO()
        self._writer: Any = None
        self._schema: Any = None

    def part(self, found: Rows, outputs: Arrays, context: Any, first: int) -> bytes:
        columns = self._columns(found, outputs, context)
        sent, _ = scored.named(found, columns, self._manifest.task)  # type: ignore[arg-type]
        batch = scored.batch(found, sent, columns, self._manifest.task)  # type: ignore[arg-type]
        if self._writer is None:
            self._schema = batch.schema
            self._writer = arrow.stream_writer(self._sink, batch.schema)
        self._writer.write_batch(batch)
        return self._written()

    def end(self, rows: int, skipped: int) -> bytes:
        assert self._writer is not None
        self._writer.close()
        return self._written()

    def failed(self, error: QuartetError, problem: bytes) -> bytes:
        assert self._writer is not None
        self._writer.write_batch(arrow.error_row(self._schema, _told(error)))
        return self.end(0, 0)

    def _written(self) -> bytes:
        written = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return written


def _told(error: QuartetError) -> str:
    return ": ".join(filter(None, (error.field, error.detail)))

"""What goes out: CSV or JSON lines, which grow, Parquet in parts, or a folder of files; and what is rejected."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from service.bulk.runner import Result, flattened
from service.bulk.sources import BulkError, File, Row

REJECTS = ".rejects.jsonl"


class Growing:
    """A file to which whole blocks are added; what lies behind the last noted one is cut off when it is opened."""

    def __init__(self, path: Path, size: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._file.truncate(size)
        self._file.seek(size)
        self.size = size

    def add(self, content: bytes) -> None:
        self._file.write(content)
        self.size += len(content)

    def sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


class Rejects(Growing):
    """A line for each rejected item: its number, the reason, and the row, or the file's name."""

    def write(self, results: list[Result]) -> None:
        rejected = [one for one in results if one.reason]
        self.add(b"".join(orjson.dumps(_reject(one), default=str) + b"\n" for one in rejected))


def _reject(result: Result) -> dict[str, Any]:
    named = {"row": result.item.values} if isinstance(result.item, Row) else {"file": result.item.name}
    return {"number": result.item.number, "reason": result.reason, **named}


class CsvSink(Growing):
    """The columns that came in, and those that were found; the first answered row says which."""

    def __init__(self, path: Path, size: int, columns: list[str]) -> None:
        super().__init__(path, size)
        self.columns = columns

    def write(self, results: list[Result]) -> None:
        rows = [_row(one) for one in results if not one.reason]
        if not rows:
            return
        text = io.StringIO()
        begins = not self.columns
        self.columns = self.columns or list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(text, self.columns, lineterminator="\n", extrasaction="ignore")
        if begins:
            writer.writeheader()
        writer.writerows(rows)
        self.add(text.getvalue().encode())


class JsonLinesSink(Growing):
    """A line for each answered item."""

    columns: list[str] = []

    def write(self, results: list[Result]) -> None:
        lines = [orjson.dumps(_named(one), default=str) + b"\n" for one in results if not one.reason]
        self.add(b"".join(lines))


class ParquetSink:
    """A folder with a part for each block; `size` counts them."""

    columns: list[str] = []

    def __init__(self, path: Path, size: int) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path, self.size = path, size

    def write(self, results: list[Result]) -> None:
        import pyarrow
        from pyarrow import parquet

        rows = [_row(one) for one in results if not one.reason]
        if rows:
            part = self._path / f"part-{self.size:06}.parquet"
            parquet.write_table(pyarrow.Table.from_pylist(rows), part.with_suffix(".writing"))
            part.with_suffix(".writing").rename(part)
        self.size += 1

    def sync(self) -> None:
        """A part is whole as soon as it has its name."""

    def close(self) -> None:
        """Nothing is open."""


class FolderSink:
    """Answers to files under their names. `size` counts nothing: a file is whole as soon as it has its name."""

    columns: list[str] = []
    size = 0

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path.resolve()

    def write(self, results: list[Result]) -> None:
        for one in results:
            if not one.reason and isinstance(one.item, File):
                target = (self._path / one.item.name).resolve()
                if not target.is_relative_to(self._path):
                    raise BulkError(f"{one.item.name} leads out of {self._path}")
                target.parent.mkdir(parents=True, exist_ok=True)
                writing = target.with_name(f".{target.name}.writing")
                writing.write_bytes(one.content)
                writing.rename(target)

    def sync(self) -> None:
        """Nothing waits."""

    def close(self) -> None:
        """Nothing is open."""


Sink = CsvSink | JsonLinesSink | ParquetSink | FolderSink


def sink_of(output: Path, files: bool, size: int, columns: list[str]) -> Sink:
    """By the suffix of `output`; `files`: files are answered by files. Raises BulkError."""
    suffix = output.suffix.lower()
    if files:
        if suffix:
            raise BulkError(f"{output}: name a folder, for each file is answered by a file")
        return FolderSink(output)
    if suffix == ".csv":
        return CsvSink(output, size, columns)
    if suffix == ".jsonl":
        return JsonLinesSink(output, size)
    if suffix == ".parquet":
        return ParquetSink(output, size)
    raise BulkError(f"{output}: name a file that ends in .csv, .jsonl or .parquet")


def _named(result: Result) -> Mapping[str, Any]:
    came = result.item.values if isinstance(result.item, Row) else {"file": result.item.name}
    return {**came, **result.found}


def _row(result: Result) -> dict[str, Any]:
    return dict(flattened(_named(result)))

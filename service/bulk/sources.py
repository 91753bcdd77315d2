"""What comes in: rows of CSV, JSON lines or Parquet, or the files of a folder or a zip, in blocks."""

import csv
import io
import zipfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import fsspec
import orjson

from service.codecs.cells import Lines, Reader, encoding_of
from service.errors import ClientError, QuartetError

LONGEST_ROW = 2**20  # characters, of a row of a CSV
ENOUGH = 64  # bytes, to know an encoding by
MOST_INFLATED = 2**30  # bytes of one file of a zip


class BulkError(Exception):
    """Why a job cannot begin or go on, in words for the one who began it."""


class Row(NamedTuple):
    """A row of a table, `number` from 1."""

    number: int
    values: dict[str, Any]


class File(NamedTuple):
    """A file of a folder or a zip, by its path in there."""

    number: int
    name: str
    content: bytes


def reason_of(error: QuartetError) -> str:
    return f"{error.field}: {error.detail}" if error.field else error.detail


Item = Row | File
Block = list[Item]


def blocks(source: str, size: int, skip: int) -> Iterator[Block]:
    """The items behind the first `skip`, `size` at a time. Raises BulkError."""
    items = islice(_items(source), skip, None)
    while block := list(islice(items, size)):
        yield block


def blocks_of(source: str, size: int, part: tuple[int, int], skip: int) -> Iterator[Block]:
    """Those of a job's part, every Nth from the Ith, behind the first `skip` items that it has done."""
    index, count = part
    return islice(blocks(source, size, 0), index + count * -(-skip // size), None, count)


def is_table(source: str) -> bool:
    return PurePosixPath(source).suffix.lower() in READERS


def is_csv(source: str) -> bool:
    return PurePosixPath(source).suffix.lower() == ".csv"


def _items(source: str) -> Iterator[Item]:
    suffix = PurePosixPath(source).suffix.lower()
    if suffix in READERS:
        for number, values in enumerate(READERS[suffix](source), 1):
            yield Row(number, values)
    elif suffix == ".zip":
        yield from _zip(source)
    elif Path(source).is_dir():
        yield from _folder(Path(source))
    else:
        raise BulkError(f"{source} is no folder and none of {', '.join([*READERS, '.zip'])}")


def _csv(source: str) -> Iterator[dict[str, Any]]:
    """Too few cells show as a row that lacks a column, too many as one that has a column without a name."""
    csv.field_size_limit(LONGEST_ROW)
    with _opened(source, "rb") as stream:
        text = io.TextIOWrapper(stream, encoding_of(stream.read(ENOUGH)), newline="")
        stream.seek(0)
        try:
            reader = Reader(Lines(text, LONGEST_ROW), "")
            for cells in reader:
                extra = {"": cells[-1]} if len(cells) > len(reader.names) else {}
                yield dict(zip(reader.names, cells, strict=False)) | extra
        except ClientError as error:
            raise BulkError(f"{source}: {reason_of(error)}") from None
        except UnicodeDecodeError as error:
            raise BulkError(f"{source} is not in {error.encoding.upper()}: {error.reason}") from None


def _json_lines(source: str) -> Iterator[dict[str, Any]]:
    with _opened(source, "rb") as stream:
        for number, line in enumerate(stream, 1):
            if line.strip():
                try:
                    row = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise BulkError(f"{source}: line {number} is no JSON: {error.msg}") from None
                if not isinstance(row, dict):
                    raise BulkError(f"{source}: line {number} is no object")
                yield row


def _parquet(source: str) -> Iterator[dict[str, Any]]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise BulkError("Parquet wants pyarrow: pip install pyarrow") from None
    with _opened(source, "rb") as stream:
        for batch in parquet.ParquetFile(stream).iter_batches():
            yield from batch.to_pylist()


READERS = {".csv": _csv, ".jsonl": _json_lines, ".parquet": _parquet}


def _opened(source: str, mode: str, **options: Any) -> AbstractContextManager[IO[Any]]:
    """Of this machine, or by its address (`s3://`, `gs://`, ...) where the library for it is installed."""
    try:
        opened: AbstractContextManager[IO[Any]] = fsspec.open(source, mode, **options)
    except (ImportError, ValueError) as error:
        raise BulkError(f"{source}: {error}") from None
    return opened


def _folder(folder: Path) -> Iterator[File]:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    for number, path in enumerate(files, 1):
        yield File(number, path.relative_to(folder).as_posix(), path.read_bytes())


def _zip(source: str) -> Iterator[File]:
    with _opened(source, "rb") as stream, zipfile.ZipFile(stream) as archive:
        entries = sorted((one for one in archive.infolist() if not one.is_dir()), key=lambda one: one.filename)
        for number, entry in enumerate(entries, 1):
            if entry.file_size > MOST_INFLATED:
                raise BulkError(f"{source}: {entry.filename} has {entry.file_size} bytes")
            yield File(number, entry.filename, archive.read(entry))

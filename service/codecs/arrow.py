"""Tables of Apache Arrow and Parquet, where pyarrow is installed: columns of plain values, and back.

What a file or a message will take is claimed by its headers before pyarrow sees it; what it holds is validated before
it is looked at, for offsets may point anywhere.
"""

import io
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from typing import Any

import numpy as np

from service.codecs.arrow_frames import (
    BATCH,
    DAMAGED,
    DAMAGED_PARQUET,
    DICTIONARY,
    SCHEMA,
    Frame,
    chunks_of,
    frame_of,
    page_at,
    size_of_frame,
)
from service.codecs.cells import LONGEST_ROW, Table
from service.errors import EmptyBody, InvalidValue, MalformedBody, NotAcceptable, UnsupportedMedia
from service.limits import Limits
from service.messages import ARROW, PARQUET, repeated

INSTALL = "This service reads and writes Arrow and Parquet once pyarrow is installed beside it: pip install"
INSTALL += " 'quartet[arrow]'. Until then send and ask for text/csv or application/json."
MOST_COLUMNS = 2000
MOST_FOOTER = 2**20, 2**16  # characters of a string, elements of a list
PREFIXED = 7  # the encoding whose strings share beginnings: a few bytes become any number


def pyarrow(refusal: type[UnsupportedMedia] | type[NotAcceptable] = UnsupportedMedia) -> Any:
    """The package. Raises UnsupportedMedia, or what else is to say that it is not there."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError:
        name = "content-type" if refusal is UnsupportedMedia else "accept"
        raise refusal(INSTALL, name) from None
    return pyarrow


def read_stream(body: bytes, field: str, limits: Limits) -> Table:
    """Raises MalformedBody, EmptyBody, TooManyRows, and InvalidValue for names and types that no table here has."""
    frames, batches, rows = Frames(field), [], 0
    for batch in frames.batches(body, limits):
        batches.append(batch)
        rows += len(batch)
        if rows > limits.max_rows:
            break
    if not rows:
        raise EmptyBody("The Arrow stream has no row.")
    limits.check_rows(rows, field)
    if not frames.complete:
        raise MalformedBody("The Arrow stream ends within a message.")
    if len(batches) == 1:
        return frames.table(batches[0])
    return frames.table(pyarrow().Table.from_batches(batches).unify_dictionaries().combine_chunks().to_batches()[0])


def read_parquet(body: bytes, field: str, limits: Limits) -> Table:
    """Raises what `read_stream` raises, and UnsupportedMedia for an encoding."""
    pa = pyarrow()
    _claim_pages(body, limits)
    with _understood(pa, DAMAGED_PARQUET):
        file = pa.parquet.ParquetFile(
            pa.BufferReader(body),
            thrift_string_size_limit=MOST_FOOTER[0],
            thrift_container_size_limit=MOST_FOOTER[1],
            pre_buffer=False,
        )
        schema, metadata = file.schema_arrow, file.metadata
        check_schema(schema, field)
        texts = [one.name for one in schema if pa.types.is_string(one.type) or pa.types.is_large_string(one.type)]
        file = pa.parquet.ParquetFile(pa.BufferReader(body), metadata=metadata, read_dictionary=texts, pre_buffer=False)
        batches = [one for one in _first_rows(file, limits.max_rows + 1) if len(one)]
        if not batches:
            raise EmptyBody("The Parquet file has no row.")
        limits.check_rows(sum(map(len, batches)), field)
        batch = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks().to_batches()[0]
        batch.validate(full=True)
        table = _table(batch, field)
        limits.claim(4 * sum(len(cell) for row in table.rows for cell in row if isinstance(cell, str)))
        return table._replace(columns=batch.cast(schema))


@contextmanager
def _understood(pa: Any, refusal: str) -> Iterator[None]:
    """Whatever pyarrow makes of damaged bytes is said in our words."""
    try:
        yield
    except (pa.ArrowException, OSError, OverflowError, UnicodeDecodeError, StopIteration):
        raise MalformedBody(refusal) from None


def _first_rows(file: Any, count: int) -> Iterator[Any]:
    """One too many is enough to refuse a million."""
    for batch in file.iter_batches(batch_size=count, use_threads=False):
        yield batch
        count -= len(batch)
        if count <= 0:
            return


def _claim_pages(body: bytes, limits: Limits) -> None:
    for chunk in chunks_of(body):
        limits.check_time()
        place = chunk.start
        while place < chunk.end:
            page = page_at(body, place)
            if page.encoding == PREFIXED:
                raise UnsupportedMedia(
                    "DELTA_BYTE_ARRAY is not read here: write it plain or with a dictionary.", "content-type"
                )
            limits.claim(2 * page.unpacked)
            place += page.size


class Frames:
    """The messages of a stream, as its bytes come."""

    def __init__(self, field: str, longest: int | None = None) -> None:
        """A message has at most `longest` bytes."""
        self._field, self._longest, self._held = field, longest, b""
        self._pa = pyarrow()
        self._schema: Frame | None = None
        self._dictionaries: dict[int, list[Frame]] = {}
        self.ended = False

    @property
    def complete(self) -> bool:
        """Whether no message has begun and not ended."""
        return self._schema is not None and not self._held

    @property
    def size(self) -> int:
        """Bytes that wait for the rest of their message, or are needed for those to come."""
        return len(self._held) + sum(len(one.content) for several in self._dictionaries.values() for one in several)

    def batches(self, chunk: bytes, limits: Limits) -> Iterator[Any]:
        """The record batches that are complete with this chunk."""
        self._held += chunk
        while self._held and not self.ended:
            size = size_of_frame(self._held[: 2**20 + 16])
            if self._longest is not None and (size or len(self._held)) > self._longest and size != 0:
                raise MalformedBody(f"A message has more than {self._longest} bytes: send smaller record batches.")
            if size is None or size > len(self._held):
                return
            content, self._held = self._held[: size or 8], self._held[size or 8 :]
            if size == 0:
                self.ended = True
            elif (batch := self._taken(frame_of(content), limits)) is not None:
                yield batch

    def table(self, batch: Any) -> Table:
        with _understood(self._pa, DAMAGED):
            return _table(batch, self._field)

    def _taken(self, frame: Frame, limits: Limits) -> Any:
        if self._schema is None:
            if frame.kind != SCHEMA:
                raise MalformedBody(DAMAGED)
            self._schema = frame
            with _understood(self._pa, DAMAGED):
                check_schema(self._opened(b"").schema, self._field)
        elif frame.kind == DICTIONARY:
            before = self._dictionaries.get(frame.dictionary, []) if frame.is_delta else []
            self._dictionaries[frame.dictionary] = [*before, frame]
            if len(self._dictionaries) > MOST_COLUMNS or len(before) > MOST_COLUMNS:
                raise MalformedBody(DAMAGED)
        elif frame.kind == BATCH:
            return self._read(frame, limits)
        else:
            raise MalformedBody(DAMAGED)
        return None

    def _read(self, frame: Frame, limits: Limits) -> Any:
        needed = [one for several in self._dictionaries.values() for one in several]
        limits.claim(3 * sum(len(one.content) + one.unpacked for one in (*needed, frame)))
        with _understood(self._pa, DAMAGED):
            batch = self._opened(b"".join(one.content for one in needed) + frame.content).read_next_batch()
            batch.validate(full=True)
            return batch

    def _opened(self, more: bytes) -> Any:
        assert self._schema is not None
        return self._pa.ipc.open_stream(self._schema.content + more)


def check_schema(schema: Any, field: str) -> None:
    """Raises InvalidValue for what no CSV could say."""
    types, names = pyarrow().types, list(schema.names)
    if len(names) > MOST_COLUMNS:
        raise InvalidValue(f"The table has more than {MOST_COLUMNS} columns.", field)
    if len(set(names)) < len(names):
        raise InvalidValue("Given twice among the columns.", repeated(names))
    for one in schema:
        inner = one.type.value_type if types.is_dictionary(one.type) else one.type
        odd = types.is_nested(inner) or types.is_dictionary(inner) or types.is_run_end_encoded(inner)
        if odd or isinstance(inner, pyarrow().BaseExtensionType):
            raise InvalidValue(f"A column of {str(one.type)[:80]} is no column of plain values.", one.name or field)


def _table(batch: Any, field: str) -> Table:
    """Raises MalformedBody for a row that is longer than a CSV may have."""
    columns = [list(_cells(column)) for column in batch.columns]
    rows = [list(row) for row in zip(*columns, strict=True)] if columns else []
    for place, row in enumerate(rows):
        if sum(len(cell) for cell in row if isinstance(cell, str | bytes)) > LONGEST_ROW:
            raise MalformedBody(f"The row has more than {LONGEST_ROW} characters.", f"{field}[{place}]")
    return Table(list(batch.schema.names), rows, columns=batch)


def _cells(column: Any) -> Iterator[Any]:
    """Values of a column; one of a dictionary is made once, however often it is named."""
    if not hasattr(column, "dictionary"):
        yield from map(_plain, column.to_pylist())
        return
    known: dict[int, Any] = {}
    for index in column.indices.to_pylist():
        if index is not None and index not in known:
            known[index] = _plain(column.dictionary[index].as_py())
        yield None if index is None else known[index]


def _plain(value: Any) -> Any:
    """Numbers and texts as they are, others as a CSV would say them."""
    kind = type(value)
    if kind is float:
        return None if value != value else value
    if kind is str or kind is int or value is None:
        return value
    if kind is bool:
        return str(value).lower()
    return value.hex() if isinstance(value, bytes) else str(value)


def answer_batch(sent: Table, numbers: Set[str], added: Mapping[str, Any]) -> Any:
    """The record batch that was sent, or made of cells, with columns behind it: masked arrays of numbers, or texts.

    `numbers` are the columns of cells that hold some; all others go back as texts.
    """
    pa = pyarrow(NotAcceptable)
    if sent.columns is not None:
        arrays = list(sent.columns.columns)
    else:
        cells = zip(*(_filled(row, len(sent.names)) for row in sent.rows), strict=True)
        arrays = [
            pa.array([_number(one) for one in column], pa.float64())
            if name in numbers
            else pa.array([None if one is None else str(one) for one in column], pa.string())
            for name, column in zip(sent.names, cells, strict=True)
        ]
    for values in added.values():
        if isinstance(values, np.ma.MaskedArray):
            arrays.append(pa.array(values.data, mask=np.ma.getmaskarray(values)))
        else:
            arrays.append(pa.array(values, pa.string()))
    return pa.RecordBatch.from_arrays(arrays, names=[*sent.names, *added])


def stream_writer(sink: io.BytesIO, schema: Any) -> Any:
    return pyarrow(NotAcceptable).ipc.new_stream(sink, schema)


def error_row(schema: Any, detail: str) -> Any:
    """A row of such a table with nothing but an error, which is its last column."""
    pa = pyarrow(NotAcceptable)
    *others, last = schema
    arrays = [*(pa.nulls(1, one.type) for one in others), pa.array([detail], last.type)]
    return pa.RecordBatch.from_arrays(arrays, names=schema.names)


def _filled(row: Sequence[Any], width: int) -> list[Any]:
    return [*row, *[None] * (width - len(row))][:width]


def _number(cell: object) -> float | None:
    return float(cell) if isinstance(cell, int | float) and not isinstance(cell, bool) else None


def write(batch: Any, media_type: str) -> bytes:
    """A stream or a Parquet file of one batch."""
    pa, sink = pyarrow(NotAcceptable), io.BytesIO()
    if media_type == PARQUET:
        pa.parquet.write_table(pa.Table.from_batches([batch]), sink, compression="zstd")
        return sink.getvalue()
    assert media_type == ARROW
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()

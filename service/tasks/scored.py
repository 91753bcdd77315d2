"""The table that a client sent, with columns for what the model says of each row."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.codecs import arrow, cells
from service.codecs.cells import Table
from service.codecs.decimals import COMMA, POINT
from service.errors import InvalidValue
from service.messages import CSV, Answer
from service.tasks.rows import Rows, RowSpec

ERROR = "error"  # the column that says what is wrong with a row that was skipped


Columns = Mapping[str, NDArray[np.floating] | list[str]]
"""What a model adds to each row that was right: numbers as an array, texts as a list."""


def table(found: Rows, columns: Columns, spec: RowSpec, media_type: str) -> Answer:
    """Raises InvalidValue where the table has a column that would be added, NotAcceptable where pyarrow is missing."""
    sent, names = named(found, columns, spec)
    if media_type != CSV:
        return Answer(arrow.write(batch(found, sent, columns, spec), media_type), media_type, found.headers())
    return Answer(cells.write(sent, names, lines(found, sent, columns)), CSV, found.headers())


def named(found: Rows, columns: Columns, spec: RowSpec) -> tuple[Table, list[str]]:
    """The table that was sent, and the names of all columns of the answer. Raises InvalidValue where one is taken."""
    sent = found.sent if isinstance(found.sent, Table) else _table(found.sent, spec)
    names = [*columns, *([ERROR] if found.kept is not None else [])]
    if twice := [name for name in names if name in sent.names]:
        raise InvalidValue("The answer has a column of this name: rename yours.", twice[0])
    return sent, [*sent.names, *names]


def lines(found: Rows, sent: Table, columns: Columns) -> list[list[Any]]:
    """The cells of the answer."""
    added = list(zip(*([_written(one, found.decimal) for one in column] for column in columns.values()), strict=True))
    if found.kept is None:
        return [[*row, *more] for row, more in zip(sent.rows, added, strict=True)]
    return _with_errors(found, sent, dict(zip(found.kept, added, strict=True)), len(columns))


def batch(found: Rows, sent: Table, columns: Columns, spec: RowSpec) -> Any:
    """The answer as a record batch of Arrow; what a skipped row lacks is null."""
    numbers = set() if isinstance(found.sent, Table) else {one.name for one in spec.attributes if one.range}
    rows = len(sent.rows)
    kept = range(rows) if found.kept is None else found.kept
    added = {name: _spread(column, kept, rows) for name, column in columns.items()}
    if found.kept is not None:
        wrong = wrong_rows(found)
        added[ERROR] = [" ".join(wrong[place]) if place in wrong else None for place in range(rows)]
    return arrow.answer_batch(sent, numbers, added)


def _spread(column: NDArray[np.floating] | list[str], kept: Sequence[int], rows: int) -> Any:
    """A value for each row that was sent, where only the kept ones have any."""
    if isinstance(column, list):
        told: list[str | None] = [None] * rows
        for place, value in zip(kept, column, strict=True):
            told[place] = value
        return told
    values, absent = np.zeros(rows, column.dtype), np.ones(rows, bool)
    values[list(kept)], absent[list(kept)] = column, False
    return np.ma.MaskedArray(values, absent)


def wrong_rows(found: Rows) -> dict[int, list[str]]:
    """What is wrong with each skipped row, by its place."""
    wrong: dict[int, list[str]] = {}
    for fault in found.faults:
        if fault.row is not None:
            wrong.setdefault(fault.row, []).append(": ".join(filter(None, (fault.column[:200], fault.error.detail))))
    return wrong


def _with_errors(found: Rows, sent: Table, added: Mapping[int, Sequence[str]], width: int) -> list[list[Any]]:
    """All rows that were sent: a skipped one has an error and no more."""
    wrong, rows = wrong_rows(found), []
    for place, row in enumerate(sent.rows):
        given = [*row, *[""] * (len(sent.names) - len(row))][: len(sent.names)]
        rows.append([*given, *added.get(place, [""] * width), " ".join(wrong.get(place, ()))])
    return rows


def _table(sent: Sequence[Mapping[str, Any]], spec: RowSpec) -> Table:
    """Of rows that came as JSON."""
    names = [one.name for one in spec.attributes]
    return Table(names, [["" if row.get(name) is None else row[name] for name in names] for row in sent])


def _written(value: object, decimal: str) -> str:
    """Numbers as short as float32 lets them be."""
    if not isinstance(value, float | np.floating):
        return str(value)
    text = str(np.float32(value))
    return text.replace(POINT, COMMA) if decimal == COMMA else text


def check(names: Sequence[str], count: int) -> Callable[[bytes], None]:
    """Of an answer: as many rows as were sent, with the columns that were and more."""

    def wanted(answer: bytes) -> None:
        header, *rows = csv.reader(io.StringIO(answer.decode()))
        if header[: len(names)] != list(names) or len(header) == len(names) or len(rows) != count:
            raise ValueError(f"{header} with {len(rows)} rows is no answer to {count} rows of {list(names)}")

    return wanted

"""The table that a client sent, with columns for what the model says of each row."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from service.codecs import cells
from service.codecs.cells import Table
from service.codecs.decimals import COMMA, POINT
from service.errors import InvalidValue
from service.messages import CSV, Answer
from service.tasks.rows import Rows, RowSpec

ERROR = "error"  # the column that says what is wrong with a row that was skipped


def table(found: Rows, columns: Mapping[str, Sequence[Any]], spec: RowSpec) -> Answer:
    """Raises InvalidValue where the table has a column that would be added."""
    sent = found.sent if isinstance(found.sent, Table) else _table(found.sent, spec)
    names = [*columns, *([ERROR] if found.kept is not None else [])]
    if twice := [name for name in names if name in sent.names]:
        raise InvalidValue("The answer has a column of this name: rename yours.", twice[0])
    added = zip(*([_written(one, found.decimal) for one in column] for column in columns.values()), strict=True)
    if found.kept is None:
        rows = [[*row, *more] for row, more in zip(sent.rows, added, strict=True)]
    else:
        rows = _with_errors(found, sent, dict(zip(found.kept, added, strict=True)), len(columns))
    return Answer(cells.write(sent, [*sent.names, *names], rows), CSV, found.headers())


def _with_errors(found: Rows, sent: Table, added: Mapping[int, Sequence[str]], width: int) -> list[list[Any]]:
    """All rows that were sent: a skipped one has an error and no more."""
    wrong: dict[int, list[str]] = {}
    for fault in found.faults:
        if fault.row is not None:
            wrong.setdefault(fault.row, []).append(": ".join(filter(None, (fault.column[:200], fault.error.detail))))
    rows = []
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

"""Rows as clients send them, as JSON or in a table, to the numbers that the graph takes; and what is wrong with them.

All errors of a request are told, not only the first; with `on_error=skip` the rows that are right are answered.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from service.bundle import Arrays, Attribute, CreditScoring, Manifest, TabularPrediction
from service.codecs.cells import NAMED, Table
from service.codecs.decimals import COMMA, POINT, mark_of, written
from service.errors import ClientError, InvalidValue, MalformedBody
from service.messages import flag
from service.task import Option, Payload

MOST_ERRORS = 100  # that are told of a request
REFUSE: Literal["refuse"] = "refuse"
SKIP = "skip"
HEADERS = {
    "x-csv-separator": {"description": "Between the cells of the CSV that was sent.", "schema": {"type": "string"}},
    "x-csv-decimal": {"description": "Of its numbers: point or comma.", "schema": {"type": "string"}},
    "x-rows-skipped": {"description": "How many rows were wrong, with `on_error=skip`.", "schema": {"type": "integer"}},
}
RowSpec = CreditScoring | TabularPrediction


OnError = Literal["refuse", "skip"]


class RowError(BaseModel):
    """What is wrong with a row, counted from 1; without a row it is wrong with the whole table."""

    row: int | None = None
    column: str | None = None
    detail: str
    field: str | None = None


class Fault(NamedTuple):
    """What is wrong with a row, by its place; with the whole table where there is none."""

    row: int | None
    column: str
    error: ClientError

    def told(self, first: int = 0) -> dict[str, Any]:
        """Rows are counted from 1, as people do; `first` came before these."""
        row = {} if self.row is None else {"row": first + self.row + 1}
        column = {"column": self.column[:200]} if self.column else {}
        return row | column | {"detail": self.error.detail, "field": self.error.field}


class Rows(NamedTuple):
    """Those that are answered, encoded [N, attributes], and what was sent.

    `kept` has the places of the rows that are right, where others were skipped. `decimal` is how a table writes
    numbers.
    """

    encoded: NDArray[np.float32]
    sent: Table | Sequence[Mapping[str, Any]]
    kept: tuple[int, ...] | None = None
    faults: tuple[Fault, ...] = ()
    decimal: str = POINT
    mark: str | None = None  # the same, where it left no doubt

    def headers(self) -> tuple[tuple[bytes, bytes], ...]:
        """What was found out of a CSV."""
        skipped = () if self.kept is None else ((b"x-rows-skipped", b"%d" % self.skipped),)
        if not isinstance(self.sent, Table) or self.sent.columns is not None:
            return skipped
        separator = NAMED[self.sent.separator].encode()
        return (b"x-csv-separator", separator), (b"x-csv-decimal", NAMED_MARKS[self.decimal]), *skipped

    @property
    def skipped(self) -> int:
        return self.total - len(self.encoded)

    @property
    def total(self) -> int:
        """Of the rows that were sent."""
        return len(self.sent.rows) if isinstance(self.sent, Table) else len(self.sent)

    def told(self) -> dict[str, Any]:
        """What JSON says of skipped rows; nothing where none were to be skipped."""
        if self.kept is None:
            return {}
        return {"rows": [place + 1 for place in self.kept], "errors": listed(self.faults)}


NAMED_MARKS = {POINT: b"point", COMMA: b"comma"}


def _on_error(value: object, name: str) -> str | None:
    if value in (None, REFUSE):
        return None
    if value == SKIP:
        return SKIP
    raise InvalidValue(f"Must be {REFUSE} or {SKIP}.", name)


ON_ERROR = Option(
    "on_error",
    "`skip` answers the rows that are right and lists what is wrong with the others; `refuse` answers none of them.",
    {"type": "string", "enum": [REFUSE, SKIP], "default": REFUSE},
    _on_error,
)


def _unsaid(value: object, name: str) -> bool | None:
    """Of a body that is read whole."""
    if flag(value, name):
        raise InvalidValue("Say it in the URL, and send the rows as CSV, lines of JSON or an Arrow stream.", name)
    return None


STREAM = Option(
    "stream",
    "Answer rows while others arrive, any number of them: of CSV, lines of JSON or an Arrow stream.",
    parse=_unsaid,
)


def read_rows(payload: Payload, field: str, spec: RowSpec) -> Rows:
    """Raises the first error with all of them, unless the others' rows are wanted and there are any."""
    sent, skip = payload.samples, payload.options.get("on_error") == SKIP
    rows = encode(sent, spec, field)
    if rows.faults and not (skip and len(rows.encoded)):
        raise first_of(rows.faults)
    if not skip:
        return rows._replace(kept=None)
    return rows if rows.kept is not None else rows._replace(kept=tuple(range(len(rows.encoded))))


def encode(sent: Table | Sequence[Mapping[str, Any]], spec: RowSpec, field: str, first: int = 0) -> Rows:
    """The rows that are right, and what is wrong with the others; of a part of them, which `first` rows came before."""
    return _of_table(sent, spec, field, first) if isinstance(sent, Table) else _of_json(sent, spec, field, first)


def inputs_of(rows: Rows, manifest: Manifest) -> Arrays:
    return {manifest.inputs[0].name: rows.encoded}


def listed(faults: Sequence[Fault], first: int = 0) -> list[dict[str, Any]]:
    return [fault.told(first) for fault in faults[:MOST_ERRORS]]


def first_of(faults: Sequence[Fault], first: int = 0) -> ClientError:
    """The first error, which tells of all; `first` rows came before these."""
    error = faults[0].error
    error.errors, error.error_count = listed(faults, first), len(faults)
    return error


def _without_faulty(encoded: Sequence[Sequence[float]], faults: Iterable[Fault]) -> tuple[list[int], NDArray[Any]]:
    wrong = {fault.row for fault in faults}
    kept = [] if None in wrong else [place for place in range(len(encoded)) if place not in wrong]
    return kept, np.array([encoded[place] for place in kept], np.float32)


def _of_json(sent: Sequence[Mapping[str, Any]], spec: RowSpec, field: str, first: int) -> Rows:
    try:
        encoded = [_encode(row, spec, f"{field}[{place}]") for place, row in enumerate(sent, first)]
        return Rows(np.array(encoded, np.float32), sent)
    except ClientError:
        faults: list[Fault] = []
        encoded = [_encode_all(row, spec, f"{field}[{first + i}]", i, faults) for i, row in enumerate(sent)]
        kept, right = _without_faulty(encoded, faults)
        return Rows(right, sent, tuple(kept), tuple(faults))


def _encode(row: Mapping[str, object], task: RowSpec, path: str) -> list[float]:
    """The fast way, which ends at the first error."""
    if row.keys() != task.names:
        for _, error in _wrong_names(row.keys(), task, path):
            raise error
    return [
        # Looked up here where it is a category, which spares most of them a call.
        found
        if type(value := row.get(attribute.name)) is str and (found := attribute.positions.get(value)) is not None
        else _number(attribute, value, path)
        for attribute in task.attributes
    ]


def _encode_all(row: Mapping[str, object], task: RowSpec, path: str, place: int, faults: list[Fault]) -> list[float]:
    """The thorough way, taken once something is wrong: what is adds to `faults`."""
    lacking = {name for name in task.required if name not in row}
    faults += [Fault(place, name, error) for name, error in _wrong_names(row.keys(), task, path)]
    encoded = []
    for attribute in task.attributes:
        try:
            found = 0.0 if attribute.name in lacking else _number(attribute, row.get(attribute.name), path)
        except ClientError as error:
            faults.append(Fault(place, attribute.name, error))
            found = 0.0
        encoded.append(found)
    return encoded


def _wrong_names(given: Set[str], task: RowSpec, path: str) -> Iterator[tuple[str, ClientError]]:
    """Names that nobody knows, then those that are needed and missing."""
    for name in sorted(given - task.names):
        yield name, InvalidValue("Unknown attribute.", f"{path}.{name}")
    for name in sorted(task.required - given):
        yield name, InvalidValue("Missing.", f"{path}.{name}")


def _of_table(sent: Table, spec: RowSpec, field: str, first: int) -> Rows:
    """Columns that are no attributes are left alone."""
    faults = [
        Fault(place, "", _uneven(len(sent.rows[place]), len(sent.names), f"{field}[{first + place}]"))
        for place in sent.uneven
    ]
    places = {name: place for place, name in enumerate(sent.names) if name in spec.names}
    missing = [name for name in sorted(spec.required) if name not in places]
    faults += [Fault(None, name, InvalidValue("Missing.", f"{field}[0].{name}")) for name in missing]
    even = [place for place in range(len(sent.rows)) if place not in sent.uneven]
    columns = {
        one.name: [sent.rows[row][places[one.name]] for row in even] for one in spec.attributes if one.name in places
    }
    mark = sent.decimal or decimal_of(columns, spec)
    encoded = [[0.0] * len(spec.attributes) for _ in sent.rows]
    for place, one in enumerate(spec.attributes):
        for row, cell in zip(even, columns.get(one.name, [None] * len(even)), strict=True):
            if one.name in missing:
                break
            try:
                encoded[row][place] = _number(one, cell, f"{field}[{first + row}]", mark)
            except ClientError as error:
                faults.append(Fault(row, one.name, error))
    order = {name: place for place, name in enumerate(sent.names)}
    faults.sort(
        key=lambda one: (bool(missing and one.column), -1 if one.row is None else one.row, order.get(one.column, -1))
    )
    kept, right = _without_faulty(encoded, faults)
    return Rows(right, sent, tuple(kept), tuple(faults), mark or POINT, mark)


def decimal_of(columns: Mapping[str, Sequence[object]], spec: RowSpec) -> str | None:
    """The decimal mark of a table's numbers, where they show it."""
    return mark_of(cell for one in spec.attributes if one.range for cell in columns.get(one.name, ()))


def _uneven(cells: int, names: int, path: str) -> ClientError:
    return MalformedBody(f"The row has {cells} cells, the header {names}.", path)


def _number(attribute: Attribute, value: object, path: str, mark: str | None = None) -> float:
    """What the graph takes for the value; `mark` is the decimal mark of a table that shows which it has."""
    if attribute.missing is not None and (value is None or (isinstance(value, str) and not value.strip())):
        return attribute.missing
    if attribute.range is None:
        position = attribute.positions.get(value) if isinstance(value, str) else None
        if position is None:
            allowed = ", ".join(attribute.values)
            raise InvalidValue(f"Must be one of {allowed}.", f"{path}.{attribute.name}")
        return position
    low, high = attribute.range
    # Asked for by type, the fastest way: nearly all are, and a boolean is none.
    number = value if type(value) is float or type(value) is int else written(value, f"{path}.{attribute.name}", mark)
    if number is None or not low <= number <= high:  # also refuses NaN
        raise InvalidValue(f"Must be a number from {low:g} to {high:g}.", f"{path}.{attribute.name}")
    return number

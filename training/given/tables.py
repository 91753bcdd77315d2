"""Tables from outside: CSV or Parquet, the recipe's attributes and what it is to predict in columns."""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from service.bundle import Attribute
from training.data.given import Given
from training.data.store import DataError
from training.given import sizes
from training.given.report import Report
from training.given.schema import Schema, schema_of, source
from training.given.sides import TEST, fingerprint, fold_of, split
from training.recipe import Recipe

Columns = dict[str, list[str]]
Make = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]], Any]
"""Of rows [N, A], targets [N, T] and which are held out [N], what the recipe's reader gives."""


def table(
    reader: Callable[..., Any],
    attributes: Sequence[Attribute],
    targets: Iterable[str],
    make: Make,
    labels: tuple[str, ...] = (),
) -> Callable[[Recipe[Any], Path], Given]:
    """How a recipe takes a table in place of what `reader` gives. A target is a number, or one of `labels`."""
    wanted = tuple(targets)

    def given(recipe: Recipe[Any], path: Path) -> Given:
        schema = schema_of(path)
        columns = read(path)
        report = Report(path, lambda row: f"line {row + 2}")
        _columns_there(columns, [*(one.name for one in attributes), *wanted], schema, path)
        x = np.column_stack([_attribute(one, columns[schema.column(one.name)], schema, report) for one in attributes])
        y = np.column_stack([_target(columns[schema.column(name)], labels, schema, report) for name in wanted])
        keys = [fingerprint(row.astype(np.float32).tobytes()) for row in x]
        _contradictions(keys, y, report)
        whom = columns[schema.identity] if schema.identity else None
        sides = split(keys, whom, columns[schema.split] if schema.split else None, report)
        for side in ("train", TEST) if labels else ():
            counts = Counter(y[sides == side, 0].astype(int).tolist())
            report.per_class(side, {label: counts[index] for index, label in enumerate(labels)})
        _constant(attributes, x, report)
        text, held = report.check("train", TEST), sides == TEST
        return Given(
            source=source(path, schema, [path.read_bytes()]),
            replaces=recipe.sources[0],
            reader=reader.__name__,
            value=make(x, y, held),
            report=text,
            hyper=sizes.fitting(recipe.hyper, int((~held).sum())),
            folds=np.array([fold_of(*one) for one in zip(keys, whom or keys, sides, strict=True)]),
        )

    return given


def read(path: Path) -> Columns:
    """The columns as text. Raises DataError."""
    if path.is_dir():
        raise DataError(f"{path} is a folder: a table comes in one CSV or Parquet file")
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            found = pyarrow.parquet.read_table(path).to_pydict()
            return {name: ["" if one is None else str(one) for one in values] for name, values in found.items()}
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = list(csv.reader(file, strict=True)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error, pyarrow.ArrowException) as error:
        raise DataError(f"{path.name} cannot be read: {type(error).__name__}") from error
    if len(set(header)) < len(header):
        raise DataError(f"{path.name} names a column twice")
    for line, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise DataError(f"{path.name}, line {line}: {len(row)} values, and {len(header)} columns")
    if not rows:
        raise DataError(f"{path.name} has no rows")
    return {name: [row[place].strip() for row in rows] for place, name in enumerate(header)}


def _columns_there(columns: Columns, names: list[str], schema: Schema, path: Path) -> None:
    wanted = [schema.column(name) for name in names] + [one for one in (schema.identity, schema.split) if one]
    if lacking := [name for name in wanted if name not in columns]:
        raise DataError(
            f"{path.name} lacks {', '.join(lacking)}; it has {', '.join(columns)}. "
            f"Where a column has another name, say so in {path.stem}.schema.json"
        )


def _attribute(one: Attribute, texts: list[str], schema: Schema, report: Report) -> NDArray[np.float64]:
    values, known = np.zeros(len(texts)), schema.values.get(one.name, {})
    for row, text in enumerate(texts):
        text = known.get(text, text)
        if text in schema.missing and text not in one.positions:
            if one.missing is None:
                report.wrong(row, f"{one.name} is missing")
            values[row] = one.missing or 0
        elif one.range is None:
            if text not in one.positions:
                report.wrong(row, f"{one.name} must be one of {', '.join(one.values)}")
            values[row] = one.positions.get(text, 0)
        else:
            values[row] = _number(row, one.name, text, report)
            if not one.range[0] <= values[row] <= one.range[1]:
                report.wrong(row, f"{one.name} must be from {one.range[0]:g} to {one.range[1]:g}")
    return values


def _number(row: int, name: str, text: str, report: Report) -> float:
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        report.wrong(row, f"{name} must be a number")
        return 0.0
    return number


def _target(texts: list[str], labels: tuple[str, ...], schema: Schema, report: Report) -> NDArray[np.float64]:
    """A number, or the place of the label; labels may be told by their places."""
    if not labels:
        return np.array([_number(row, "the target", text, report) for row, text in enumerate(texts)])
    known = {str(place): place for place in range(len(labels))} | {label: i for i, label in enumerate(labels)}
    found = [known.get(schema.labels.get(text, text)) for text in texts]
    for row, place in enumerate(found):
        if place is None:
            report.wrong(row, f"the label must be one of {', '.join(labels)}")
    return np.array([place or 0 for place in found], np.float64)


def _contradictions(keys: list[str], y: NDArray[np.float64], report: Report) -> None:
    first: dict[str, int] = {}
    apart = sum((y[first.setdefault(key, row)] != y[row]).any() for row, key in enumerate(keys))
    if apart:
        report.doubts.append(f"{apart} rows are copies of others with another target")


def _constant(attributes: Sequence[Attribute], x: NDArray[np.float64], report: Report) -> None:
    for one, column in zip(attributes, x.T, strict=True):
        if (column == column[0]).all():
            report.doubts.append(f"{one.name} is the same in all rows")

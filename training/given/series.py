"""A series from outside: CSV or Parquet with a column `value`, a row for each step, the oldest first.

Time decides the sides: the last values measure, those before them validate. `held_out` and `validation` in the schema
file say how many; by default they are shares of the series, and grow with it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.given import Given
from training.data.store import DataError
from training.given.report import Report
from training.given.schema import Schema, schema_of, source
from training.given.sides import SIDES
from training.given.tables import read
from training.recipe import Recipe

KNOWN_YEARS, LEAST_YEARS = 3, 2  # before the first forecast; that validate, and that are held out


def series(reader: Callable[..., Any], season: int, horizon: int) -> Callable[[Recipe[Any], Path], Given]:
    """How a recipe takes a series in place of the one that `reader` gives."""

    def given(recipe: Recipe[Any], path: Path) -> Given:
        schema = schema_of(path)
        report = Report(path, lambda row: f"line {row + 2}")
        values = _values(path, schema, report)
        held = schema.held_out or max(horizon + season, round(0.22 * len(values)))
        validating = schema.validation or max(horizon + season, round(0.2 * len(values)))
        known = len(values) - held - validating
        if held <= horizon or validating <= horizon:
            report.errors.append(f"more than {horizon} values must be held out, and as many validate")
        if known < 4 * season + horizon:
            report.errors.append(f"{len(values)} values are too few: {4 * season + horizon} must be left to train")
        return _given(recipe, reader, path, schema, report, values, (known, validating, held))

    return given


def by_year(
    reader: Callable[..., Any], strays: Callable[[NDArray[np.float32], int, int], bool]
) -> Callable[[Recipe[Any], Path], Given]:
    """The same of months, of which `reader` gives whole years [Y, 12]; the first value is of a year's first month.

    `strays` says of such years, of how many are known before the first forecast, and of how many before what is held
    out, whether something can be learned of them.
    """

    def given(recipe: Recipe[Any], path: Path) -> Given:
        schema = schema_of(path)
        report = Report(path, lambda row: f"line {row + 2}")
        values = _values(path, schema, report)
        count = len(values) // 12
        if rest := len(values) % 12:
            report.doubts.append(f"the last {rest} values are of a year that is not over: they are left out")
        held = _whole_years("held_out", schema.held_out, max(LEAST_YEARS, round(0.28 * count)), report)
        validating = _whole_years("validation", schema.validation, max(LEAST_YEARS, round(0.36 * count)), report)
        known = count - held - validating
        if known < KNOWN_YEARS or min(held, validating) < LEAST_YEARS:
            report.errors.append(
                f"{count} whole years are too few: {KNOWN_YEARS} must be known before the first forecast, "
                f"{LEAST_YEARS} validate and {LEAST_YEARS} be held out"
            )
        sales_YM = values[: 12 * count].reshape(count, 12).astype(np.float32)
        if not report.errors and np.ptp(values) and not strays(sales_YM, known, known + validating):
            report.errors.append("the years are alike but for their level, so nothing tells how far a year may stray")
        sides = (12 * known, 12 * validating, 12 * held)
        return _given(recipe, reader, path, schema, report, sales_YM, sides)

    return given


def _whole_years(name: str, told: int | None, usual: int, report: Report) -> int:
    if told is not None and (told % 12 or told < 0):
        report.errors.append(f"{name} must be a number of months that makes whole years")
    return usual if told is None else told // 12


def _values(path: Path, schema: Schema, report: Report) -> NDArray[np.float64]:
    columns, name = read(path), schema.column("value")
    if name not in columns:
        raise DataError(f"{path.name} lacks {name}; say in {path.stem}.schema.json what the values are called")
    values = np.array([_number(row, text, report) for row, text in enumerate(columns[name])])
    if len(values) and (values == values[0]).all():
        report.errors.append("all values are the same")
    return values


def _given(
    recipe: Recipe[Any],
    reader: Callable[..., Any],
    path: Path,
    schema: Schema,
    report: Report,
    value: NDArray[Any],
    sides: tuple[int, int, int],
) -> Given:
    """`sides` are how many values train, validate and are held out."""
    for side, number in zip(SIDES, sides, strict=True):
        report.count(side, max(0, number))
    return Given(
        report=report.check(),
        source=source(path, schema, [path.read_bytes()]),
        replaces=recipe.sources[0],
        reader=reader.__name__,
        value=value,
        cuts=(sides[0], sides[0] + sides[1]),
    )


def _number(row: int, text: str, report: Report) -> float:
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if not abs(number) <= 1e15:
        report.wrong(row, "the value must be a number from -1e15 to 1e15")
        return 0.0
    return number

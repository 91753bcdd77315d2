"""A series from outside: CSV or Parquet with a column `value`, a row for each step, the oldest first."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from training.data.given import Given
from training.data.store import DataError
from training.given.report import Report
from training.given.schema import schema_of, source
from training.given.tables import read
from training.recipe import Recipe


def series(reader: Callable[..., Any], season: int, horizon: int) -> Callable[[Recipe[Any], Path], Given]:
    """How a recipe takes a series in place of the one that `reader` gives.

    Time decides the sides: the last values measure, those before them validate. `held_out` and `validation` in the
    schema file say how many; by default they are shares of the series, and grow with it.
    """

    def given(recipe: Recipe[Any], path: Path) -> Given:
        schema, columns = schema_of(path), read(path)
        name = schema.column("value")
        if name not in columns:
            raise DataError(f"{path.name} lacks {name}; say in {path.stem}.schema.json what the values are called")
        report = Report(path, lambda row: f"line {row + 2}")
        values = np.array([_number(row, text, report) for row, text in enumerate(columns[name])])
        held = schema.held_out or max(horizon + season, round(0.22 * len(values)))
        validating = schema.validation or max(horizon + season, round(0.2 * len(values)))
        known = len(values) - held - validating
        if held <= horizon or validating <= horizon:
            report.errors.append(f"more than {horizon} values must be held out, and as many validate")
        if known < 4 * season + horizon:
            report.errors.append(f"{len(values)} values are too few: {4 * season + horizon} must be left to train")
        for side, number in zip(("train", "validation", "test"), (known, validating, held), strict=True):
            report.count(side, max(0, number))
        if len(values) and (values == values[0]).all():
            report.errors.append("all values are the same")
        text = report.check()
        return Given(
            source=source(path, schema, [path.read_bytes()]),
            replaces=recipe.sources[0],
            reader=reader.__name__,
            value=values,
            report=text,
            cuts=(known, known + validating),
        )

    return given


def _number(row: int, text: str, report: Report) -> float:
    try:
        number = float(text)
    except ValueError:
        number = np.nan
    if not abs(number) <= 1e15:
        report.wrong(row, "the value must be a number from -1e15 to 1e15")
        return 0.0
    return number

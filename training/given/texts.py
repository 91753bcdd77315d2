"""Texts from outside: CSV or Parquet with the columns `text` and `label`, or a folder of .txt for each label."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from training.data.given import Given
from training.data.store import DataError
from training.data.texts import Texts, TextSplit, letters_of
from training.given import sizes
from training.given.report import Report
from training.given.schema import Schema, schema_of, source
from training.given.sides import SIDES, fingerprint, split
from training.given.tables import Columns, read
from training.recipe import Recipe

SURE = 3.0  # the rating of a text that nobody rated, for or against


def texts(reader: Callable[..., Any], labels: tuple[str, ...]) -> Callable[[Recipe[Any], Path], Given]:
    """How a recipe takes texts in place of the TextSplit that `reader` gives."""

    def given(recipe: Recipe[Any], path: Path) -> Given:
        schema = schema_of(path)
        columns = _folder(path) if path.is_dir() else read(path)
        lacking = [one for one in map(schema.column, ("text", "label")) if one not in columns]
        if lacking:
            raise DataError(f"{path.name} lacks {', '.join(lacking)}; say in {path.stem}.schema.json what it is called")
        found = columns[schema.column("text")]
        report = Report(path, lambda row: columns["file"][row] if path.is_dir() else f"row {row + 1}")
        label = _labels(columns[schema.column("label")], labels, schema, report)
        for row, text in enumerate(found):
            if not text.strip():
                report.wrong(row, "is empty")
        keys = [fingerprint((letters_of(text) or text).encode()) for text in found]
        whom = columns.get(schema.identity) if schema.identity else None
        sides = split(keys, whom, columns.get(schema.split) if schema.split else None, report)
        for side in SIDES:
            counts = Counter(label[sides == side].tolist())
            report.per_class(side, {name: counts[index] for index, name in enumerate(labels)})
        text = report.check(*SIDES)
        every = Texts(found, label, np.where(label == 0, -SURE, SURE).astype(np.float32))
        parts = TextSplit(*(every.rows(sides == side) for side in SIDES))
        rows = zip(columns[schema.column("label")], found, strict=True)
        return Given(
            source=source(path, schema, (part.encode() for row in rows for part in row)),
            replaces=recipe.sources[0],
            reader=reader.__name__,
            value=parts,
            report=text,
            hyper=sizes.fitting(recipe.hyper, len(parts.train.texts)),
        )

    return given


def _folder(path: Path) -> Columns:
    """A text is a file, and its label the folder."""
    files = sorted(path.glob("*/*.txt"))
    if not files:
        raise DataError(f"{path.name} holds no texts: there must be a folder of .txt files for each label")
    try:
        found = [file.read_text(encoding="utf-8") for file in files]
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: a file is not in UTF-8") from error
    names = [file.relative_to(path).as_posix() for file in files]
    return {"text": found, "label": [file.parent.name for file in files], "file": names}


def _labels(given: list[str], labels: tuple[str, ...], schema: Schema, report: Report) -> Any:
    places = {name: place for place, name in enumerate(labels)}
    found = [places.get(schema.labels.get(one, one)) for one in given]
    for row, place in enumerate(found):
        if place is None:
            report.wrong(row, f"the label must be one of {', '.join(labels)}")
    return np.array([place or 0 for place in found], np.int64)

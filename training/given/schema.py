"""The schema file beside data from outside, `<name>.schema.json` or `schema.json` in a folder: what stands where."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from service.bundle import Source
from training.data.store import DataError


class Schema(BaseModel):
    """All of it may be left out, and so may the file.

    columns   what the file calls an attribute, a target, `text`, `label` or `value`; the same name by default
    labels    the recipe's label for each of the file's
    values    of an attribute, the recipe's value for each of the file's
    missing   what stands for a value that is not there
    identity  the column, or in a folder the regular expression with one group over file names, that says whom a row
              is about: all that is about one is on one side
    split     the column that says train, validation or test, where the data has sides of its own
    noisy     CT slices are as noisy as those that are to be denoised, and no truth
    held_out, validation   of a series: how many values at the end measure, and how many before them validate
    """

    model_config = ConfigDict(extra="forbid")

    columns: dict[str, str] = {}
    labels: dict[str, str] = {}
    values: dict[str, dict[str, str]] = {}
    missing: tuple[str, ...] = ("", "?", "NA", "NaN", "nan", "null", "None")
    identity: str | None = None
    split: str | None = None
    held_out: int | None = None
    validation: int | None = None
    noisy: bool = False
    licence: str = ""
    address: str = "data that was given to the command"

    def column(self, name: str) -> str:
        return self.columns.get(name, name)


def schema_of(path: Path) -> Schema:
    """Raises DataError where the file is not one, with the field."""
    if not path.exists():
        raise DataError(f"{path} is not there: --data wants a file or a folder")
    file = path / "schema.json" if path.is_dir() else path.with_suffix(".schema.json")
    if not file.exists():
        return Schema()
    try:
        return Schema.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{file.name}, {'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}") from None


def source(path: Path, schema: Schema, contents: Iterable[bytes]) -> Source:
    """What a bundle says of data from outside: its hash is over the contents, in their order."""
    whole = hashlib.sha256()
    for content in contents:
        whole.update(hashlib.sha256(content).digest())
    return Source(
        name=path.stem if path.is_file() else path.resolve().name,
        package=path.name or path.resolve().name,
        sha256=whole.hexdigest(),
        licence=schema.licence,
        address=schema.address,
    )

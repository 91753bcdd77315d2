"""What every record of a manifest has in common, and arrays by the names of tensors."""

from sys import getsizeof
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

NAME = r"^[a-z0-9]+(-[a-z0-9]+)*$"
VERSION = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

Name = Annotated[str, Field(pattern=NAME, max_length=64)]
Version = Annotated[str, Field(pattern=VERSION, max_length=64)]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=128)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Family = Literal["classify", "regress", "denoise", "generate", "sequence", "analyse"]
Arrays = dict[str, NDArray[Any]]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def size_of(arrays: Arrays) -> int:
    """Bytes, those of texts among them: an array of objects itself only points at them."""
    size = 0
    for array in arrays.values():  # every request comes by: a generator would take twice as long
        size += array.nbytes if array.dtype.kind not in "OU" else sum(map(getsizeof, array.ravel().tolist()))
    return size


def rows_of(arrays: Arrays) -> list[Arrays]:
    """Each row of batch-first arrays by itself."""
    count = len(next(iter(arrays.values())))
    return [{name: array[row : row + 1] for name, array in arrays.items()} for row in range(count)]


def repeat_rows(arrays: Arrays, rows: int) -> Arrays:
    """The rows of `arrays` repeated until there are `rows` of them."""
    return {name: np.take(array, np.arange(rows) % len(array), axis=0) for name, array in arrays.items()}

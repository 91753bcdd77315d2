"""Tables that packages carry as frames of pandas or in Parquet: names of columns to arrays, read without pandas.

A pickle may name any function, so all but those that a frame needs are refused before they are looked up; what stands
in for pandas' own classes only keeps what it is given.
"""

import io
import lzma
import pickle
from typing import Any

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from training.data.store import DataError, fetch

Frame = dict[str, NDArray[Any]]


class _Index:
    def __init__(self, data: Any = (), **_: Any) -> None:
        self.data = data


class _Manager:
    def __init__(self, blocks: Any, axes: Any) -> None:
        self.blocks, self.columns = blocks, axes[0].data


class _Frame:
    _mgr: _Manager


class FrameUnpickler(pickle.Unpickler):
    """Reads data frames of numbers and texts and nothing else."""

    ALLOWED = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy.core.numeric", "_frombuffer"): np.empty(0).__reduce_ex__(5)[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("builtins", "slice"): slice,
        ("pandas.core.frame", "DataFrame"): _Frame,
        ("pandas.core.internals.managers", "BlockManager"): _Manager,
        ("pandas._libs.internals", "_unpickle_block"): lambda values, places, _: (values, places),
        ("pandas.core.indexes.base", "_new_Index"): lambda cls, fields: cls(**fields),
        ("pandas.core.indexes.base", "Index"): _Index,
        ("pandas.core.indexes.range", "RangeIndex"): _Index,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise DataError(f"the pickle wants {module}.{name}, which is no part of a table: do not use this file")
        return self.ALLOWED[module, name]


def read_frame(source: str) -> Frame:
    """The columns of a source whose one file is a frame, compressed by xz."""
    (content,) = fetch(source).read().values()
    manager = FrameUnpickler(io.BytesIO(lzma.decompress(content))).load()._mgr
    columns: Frame = {}
    for values, places in manager.blocks:
        chosen = np.arange(len(manager.columns))[places]
        columns |= {manager.columns[place]: row for place, row in zip(chosen, values, strict=True)}
    return {name: columns[name] for name in manager.columns}


def read_parquet(source: str) -> dict[str, Frame]:
    """The tables of a source in Parquet, by the names of their files without what follows a dot."""
    found = {}
    for file, content in fetch(source).read().items():
        table = pyarrow.parquet.read_table(io.BytesIO(content))
        columns = zip(table.column_names, table.columns, strict=True)
        found[file.partition(".")[0]] = {name: np.asarray(column.to_numpy()) for name, column in columns}
    return found

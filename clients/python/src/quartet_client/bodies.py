"""What people hold (arrays, pictures, tables, data sets, files), as the body of a request."""

import base64
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import PIL.Image
    import pydicom
    from numpy.typing import NDArray

FilePath: TypeAlias = str | os.PathLike[str]
Picture: TypeAlias = "FilePath | bytes | PIL.Image.Image | NDArray[np.generic]"
Table: TypeAlias = "FilePath | bytes | Mapping[str, Any] | Sequence[Mapping[str, Any]] | pd.DataFrame"
Clip: TypeAlias = "FilePath | bytes | NDArray[np.generic] | Sequence[Picture]"
Histories: TypeAlias = (
    "FilePath | bytes | Sequence[float] | Sequence[Sequence[float]] | NDArray[np.generic] | pd.DataFrame"
)
Slice: TypeAlias = "FilePath | bytes | pydicom.Dataset | NDArray[np.generic]"

NPY, DICOM, CSV = "application/x-npy", "application/dicom", "text/csv"
SIGNATURES = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"BM", "image/bmp"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"GIF8", "image/gif"),
    (b"\x93NUMPY", NPY),
)


def pictures(images: "Picture | Sequence[Picture]", part: str = "image") -> dict[str, Any]:
    """One picture as it is, an array as `.npy`, several pictures as parts of a form."""
    if isinstance(images, list | tuple):
        parts = [_picture(one) for one in images]
        return {"files": [(part, (f"{n}", content, media)) for n, (content, media) in enumerate(parts)]}
    content, media = _picture(images)  # type: ignore[arg-type]
    return {"content": content, "headers": {"content-type": media}}


def clips(given: "Clip | Sequence[Clip]") -> dict[str, Any]:
    """An animation or array as it is, several as parts of a form, clips of pictures in a row in base64."""
    if isinstance(given, list | tuple) and any(isinstance(one, list | tuple) for one in given):
        return {"json": {"clips": [_in_base64(one) for one in given]}}
    return pictures(given, "clip")  # type: ignore[arg-type]  # no list within


def _in_base64(clip: Any) -> Any:
    if isinstance(clip, list | tuple):
        return [_in_base64(one) for one in clip]
    return base64.b64encode(_picture(clip)[0]).decode()


def histories(series: Histories) -> dict[str, Any]:
    """CSV as it is, numbers as JSON. A column of a frame begins with its first value; what is missing becomes null."""
    if isinstance(series, str | os.PathLike | bytes):
        return {"content": read(series), "headers": {"content-type": CSV}}
    values: Any = series
    if hasattr(values, "columns"):
        columns = (column.loc[column.first_valid_index() :] for _, column in values.items())
        return {"json": {"series": [json.loads(column.to_json(orient="values")) for column in columns]}}
    rows = _plain(values)
    return {"json": {"series": [_plain(row) for row in rows] if rows and hasattr(rows[0], "__len__") else [rows]}}


def _plain(values: Any) -> list[Any]:
    return list(values.tolist() if hasattr(values, "tolist") else values)


def rows(table: Table, name: str) -> dict[str, Any]:
    """CSV as it is; one row, several or a frame as JSON under `name`. What is missing in a frame becomes null."""
    if isinstance(table, str | os.PathLike | bytes):
        return {"content": read(table), "headers": {"content-type": CSV}}
    if isinstance(table, Mapping):
        return {"json": {name: [dict(table)]}}
    if hasattr(table, "to_json"):
        records = json.loads(table.to_json(orient="records"))
        return {"json": {name: records}}
    return {"json": {name: [dict(row) for row in table]}}


def ct_slice(slice: Slice) -> dict[str, Any]:
    """A data set or file as DICOM, an array of Hounsfield units as `.npy`."""
    if hasattr(slice, "save_as"):
        buffer = io.BytesIO()
        slice.save_as(buffer)
        return {"content": buffer.getvalue(), "headers": {"content-type": DICOM}}
    if hasattr(slice, "__array__"):
        return {"content": npy(slice), "headers": {"content-type": NPY}}
    content = read(slice)
    return {"content": content, "headers": {"content-type": NPY if content.startswith(b"\x93NUMPY") else DICOM}}


def npy(array: Any) -> bytes:
    import numpy

    buffer = io.BytesIO()
    numpy.save(buffer, numpy.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def array(content: bytes) -> "NDArray[Any]":
    import numpy

    loaded: NDArray[Any] = numpy.load(io.BytesIO(content), allow_pickle=False)
    return loaded


def data_set(content: bytes) -> "pydicom.Dataset":
    import pydicom

    return pydicom.dcmread(io.BytesIO(content))


def read(file: "FilePath | bytes") -> bytes:
    return file if isinstance(file, bytes) else Path(file).read_bytes()


def media_type_of(content: bytes) -> str:
    """By the first bytes; `application/octet-stream` where they say nothing."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    found: Iterable[str] = (media for signature, media in SIGNATURES if content.startswith(signature))
    return next(iter(found), "application/octet-stream")


def _picture(image: Picture) -> tuple[bytes, str]:
    if isinstance(image, str | os.PathLike | bytes):
        content = read(image)
        return content, media_type_of(content)
    if hasattr(image, "save"):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue(), "image/png"
    return npy(image), NPY

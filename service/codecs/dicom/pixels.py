"""Stored values of a slice, whatever they are compressed with."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from service.codecs.dicom import jpeg
from service.codecs.dicom.codestream import Header, header_of, run_length
from service.codecs.dicom.elements import PIXEL_DATA, File
from service.codecs.dicom.fragments import split
from service.errors import InvalidValue, MalformedBody, QuartetError, UnsupportedMedia

NATIVE = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"}
RUN_LENGTH = "1.2.840.10008.1.2.5"


class Format(NamedTuple):
    """How a slice's values are stored: PS3.3 C.7.6.3, PS3.5 section 8."""

    rows: int
    columns: int
    allocated: int
    stored: int
    high: int
    signed: bool

    @property
    def pixels(self) -> int:
        return self.rows * self.columns

    def value_of(self, word: int) -> int:
        """What 16 bits of a data set mean as a stored value."""
        bits = min(16, self.stored)
        word &= 2**bits - 1
        return word - 2**bits if self.signed and word >= 2 ** (bits - 1) else word

    @classmethod
    def read(cls, dataset: Dataset, field: str | None) -> "Format":
        """Raises InvalidValue."""
        rows, columns = (_whole(dataset, name, None, field) for name in ("Rows", "Columns"))
        allocated = _whole(dataset, "BitsAllocated", None, field)
        stored = _whole(dataset, "BitsStored", allocated, field)
        high = _whole(dataset, "HighBit", stored - 1, field)
        signed = _whole(dataset, "PixelRepresentation", 0, field) == 1
        if rows < 1 or columns < 1 or allocated not in (8, 16, 32):
            raise InvalidValue("A slice has Rows and Columns of 1 or more, and 8, 16 or 32 BitsAllocated.", field)
        if not 1 <= stored <= high + 1 <= allocated:
            raise InvalidValue("BitsStored, HighBit and BitsAllocated contradict one another.", field)
        return cls(rows, columns, allocated, stored, high, signed)


def _whole(dataset: Dataset, name: str, default: int | None, field: str | None) -> int:
    value = dataset.get(name)
    if value is None or value == "":
        value = default
    if not isinstance(value, int):
        raise InvalidValue(f"The slice needs {name}, one whole number.", field)
    return int(value)


def stored_frames(file: File, format: Format, frames: int, field: str | None) -> Iterator[NDArray[Any]]:
    """Whole numbers [H, W] of the image's own size and sign; bits beside those that are stored are masked away.

    Raises InvalidValue, MalformedBody, UnsupportedMedia.
    """
    element, size = file.elements[PIXEL_DATA], format.allocated // 8
    if element.fragments:
        for stream in split(file.elements, element.value, frames, field):
            yield _encapsulated(file.syntax, stream, format, field)
        return
    length = format.pixels * size
    if len(element.value) < frames * length:
        raise MalformedBody("The pixel data end before the last pixel.", field)
    for start in range(0, frames * length, length):
        raw = np.frombuffer(element.value, f"{'>' if file.big else '<'}u{size}", format.pixels, start)
        yield _masked(raw.astype(f"=u{size}", copy=False), format, format.high)


def _encapsulated(syntax: str, stream: bytes, format: Format, field: str | None) -> NDArray[Any]:
    if syntax == RUN_LENGTH:
        size = format.allocated // 8
        return _masked(np.frombuffer(run_length(stream, format.pixels, size), f"<u{size}"), format, format.high)
    raw, precision = _decoded(syntax, stream, format, field)
    return _masked(raw, format, format.high if precision > format.stored else format.stored - 1)


def _masked(raw: NDArray[Any], format: Format, high: int) -> NDArray[Any]:
    """[H, W], shifted to the top, where the sign stands, and back."""
    raw = raw.reshape(format.rows, format.columns)
    own = np.dtype(f"{'i' if format.signed else 'u'}{format.allocated // 8}")
    if format.stored == format.allocated:
        return raw.view(own)
    values: NDArray[Any] = np.left_shift(raw, format.allocated - high - 1).view(own)
    shifted: NDArray[Any] = np.right_shift(values, format.allocated - format.stored)
    return shifted


def _decoded(syntax: str, stream: bytes, format: Format, field: str | None) -> tuple[NDArray[Any], int]:
    """Unsigned values with as many bits as the slice allocates, and how many bits the codestream has."""
    if syntax not in CODECS:
        raise UnsupportedMedia(
            "Pixel data in this transfer syntax cannot be read: docs/ct.md lists those that can.", field
        )
    frames, decode = CODECS[syntax]
    header = header_of(stream)
    if (header.rows, header.columns) != (format.rows, format.columns):
        says = f"{header.rows}x{header.columns}, the data set {format.rows}x{format.columns}"
        raise InvalidValue(f"Rows and Columns: the compressed picture has {says}.", field)
    if header.components != 1 or header.precision > format.allocated or header.frame not in frames:
        raise InvalidValue("The compressed picture is not of the kind that the data set says.", field)
    try:
        values = decode(stream, header)
    except QuartetError:
        raise
    except Exception:  # the codecs raise nearly anything on hostile bytes
        raise MalformedBody("The compressed pixel data are damaged.", field) from None
    if values.size != format.pixels:
        raise MalformedBody("The compressed pixel data are damaged.", field)
    kind = "i" if values.dtype.kind == "i" else "u"
    sized = values.astype(f"{kind}{format.allocated // 8}")
    return sized.view(f"u{format.allocated // 8}"), header.precision


# The codecs are loaded by the first slice that needs one: most never do.
def _jpeg_ls(stream: bytes, header: Header) -> NDArray[Any]:
    import jpeg_ls

    buffer, _ = jpeg_ls.decode_pixel_data(stream)
    return np.frombuffer(buffer, "u1" if header.precision <= 8 else "<u2")


def _jpeg_2000(stream: bytes, header: Header) -> NDArray[Any]:
    import openjpeg.utils

    values: NDArray[Any] = openjpeg.utils.decode(stream)
    return values


Codec = Callable[[bytes, Header], NDArray[Any]]
# By transfer syntax: the frames that it allows, as JPEG marks them, and what decodes it.
CODECS: dict[str, tuple[tuple[int, ...], Codec]] = {
    "1.2.840.10008.1.2.4.50": ((0xC0,), jpeg.lossy),
    "1.2.840.10008.1.2.4.51": ((0xC0, 0xC1), jpeg.lossy),
    "1.2.840.10008.1.2.4.57": ((0xC3,), jpeg.lossless),
    "1.2.840.10008.1.2.4.70": ((0xC3,), jpeg.lossless),
    "1.2.840.10008.1.2.4.80": ((0xF7,), _jpeg_ls),
    "1.2.840.10008.1.2.4.81": ((0xF7,), _jpeg_ls),
    "1.2.840.10008.1.2.4.90": ((0,), _jpeg_2000),
    "1.2.840.10008.1.2.4.91": ((0,), _jpeg_2000),
    "1.2.840.10008.1.2.4.201": ((0,), _jpeg_2000),
    "1.2.840.10008.1.2.4.202": ((0,), _jpeg_2000),
    "1.2.840.10008.1.2.4.203": ((0,), _jpeg_2000),
}

# Transfer syntaxes that lose something, by the names that PS3.3 has for what they do.
LOSSY = {
    "1.2.840.10008.1.2.4.50": "ISO_10918_1",
    "1.2.840.10008.1.2.4.51": "ISO_10918_1",
    "1.2.840.10008.1.2.4.81": "ISO_14495_1",
    "1.2.840.10008.1.2.4.91": "ISO_15444_1",
    "1.2.840.10008.1.2.4.203": "ISO_15444_15",
}

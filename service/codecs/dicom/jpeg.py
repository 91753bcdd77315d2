"""JPEG (ISO/IEC 10918-1) decoded: 8 bits by Pillow, what is deeper or lossless by GDCM."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.codecs.dicom import blocks, differences
from service.codecs.dicom.codestream import Header
from service.errors import UnsupportedMedia


# GDCM is loaded by the first slice that needs it: most never do.
def lossy(stream: bytes, header: Header) -> NDArray[Any]:
    if header.precision == 12:
        return _of_12_bits(blocks.checked(stream, header), header)
    if header.precision != 8:
        raise UnsupportedMedia("Lossy JPEG of other than 8 or 12 bits cannot be read.")
    with Image.open(io.BytesIO(stream), formats=["JPEG"]) as image:
        return np.asarray(image)


def _of_12_bits(stream: bytes, header: Header) -> NDArray[Any]:
    import gdcm

    codec, decoded = gdcm.JPEGCodec(), gdcm.DataElement()
    codec.SetNumberOfDimensions(2)
    codec.SetDimensions((header.columns, header.rows, 1))
    # Of more bits allocated it would try the library for 16 bits first, which complains on the standard error.
    codec.SetPixelFormat(gdcm.PixelFormat(1, header.precision, header.precision, header.precision - 1, 0))
    codec.SetPhotometricInterpretation(_grey())
    codec.Decode(_pixel_data(stream), decoded)
    return np.frombuffer(_bytes_of(decoded.GetByteValue()), "<u2")


def lossless(stream: bytes, header: Header) -> NDArray[Any]:
    import gdcm

    size = 1 if header.precision <= 8 else 2
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((header.columns, header.rows, 1))
    image.SetDataElement(_pixel_data(differences.checked(stream, header)))
    image.SetPhotometricInterpretation(_grey())
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    image.SetPixelFormat(gdcm.PixelFormat(1, 8 * size, header.precision, header.precision - 1, 0))
    return np.frombuffer(_bytes_of(image), f"<u{size}")


def _pixel_data(stream: bytes) -> Any:
    """As GDCM takes it; from here on it tells nothing to the standard error."""
    import gdcm

    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(stream)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    return element


def _grey() -> Any:
    import gdcm

    return gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2)


def _bytes_of(holder: Any) -> bytes:
    """GDCM gives bytes as text."""
    return bytes(holder.GetBuffer().encode("utf-8", "surrogateescape"))

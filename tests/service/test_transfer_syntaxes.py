"""Every transfer syntax that the page lists is read, and the derived image has the same pixels."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gdcm
import jpeg_ls
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from openjpeg.utils import encode_array
from PIL import Image
from pydicom.uid import UID, ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from service.codecs.dicom import read_image, write_derived
from service.codecs.dicom.pixels import CODECS, LOSSY, NATIVE, RUN_LENGTH
from tests.service.slices import LIMITS, MADE, SLICE, opened

PART = slice(40, 72)  # rows and columns of what tests/service/part.jhc holds, by OpenJPH
COMPRESSED = "1.2.840.10008.1.2.4."
pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")


def by_gdcm(values: NDArray[Any], syntax: str) -> bytes:
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetByteStringValue(values.astype("<u2").tobytes())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((values.shape[1], values.shape[0], 1))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 16, 15, 0))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian))
    image.SetDataElement(element)
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(image)
    image.thisown = False  # GDCM frees it with what it was given to
    assert change.Change()
    fragment = change.GetOutput().GetDataElement().GetSequenceOfFragments().GetFragment(0)
    return bytes(fragment.GetByteValue().GetBuffer().encode("utf-8", "surrogateescape"))


def jpeg(values: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


Encoder = Callable[[NDArray[Any]], bytes]
ENCODERS: dict[str, Encoder] = {
    "50": jpeg,
    "51": jpeg,
    "57": lambda values: by_gdcm(values, "JPEGLosslessProcess14"),
    "70": lambda values: by_gdcm(values, "JPEGLosslessProcess14_1"),
    "80": lambda values: bytes(jpeg_ls.encode_array(values.astype(np.uint16))),
    "81": lambda values: bytes(jpeg_ls.encode_array(values.astype(np.uint16), lossy_error=2)),
    "90": lambda values: encode_array(values),
    "91": lambda values: encode_array(values, compression_ratios=[3]),
    **dict.fromkeys(("201", "202", "203"), lambda _: (Path(__file__).parent / "part.jhc").read_bytes()),
}


def written(syntax: str) -> tuple[bytes, NDArray[Any]]:
    """A file in this syntax, and the values that it holds."""
    dataset, values = opened(SLICE), opened(SLICE).pixel_array
    number = syntax.removeprefix(COMPRESSED)
    if syntax == RUN_LENGTH:
        dataset.compress(RLELossless)
    elif number in ENCODERS:
        if number.startswith("20"):
            values = values[PART, PART]
        if number in ("50", "51"):
            values = (values.clip(0, 4095) >> 4).astype(np.uint8)
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
        dataset.PixelData = pydicom.encaps.encapsulate([ENCODERS[number](values)])
        dataset["PixelData"].VR = "OB"
        dataset.Rows, dataset.Columns = values.shape
    elif syntax == ExplicitVRBigEndian:
        dataset.PixelData = values.astype(">i2").tobytes()
    dataset.PixelPaddingValue = None
    dataset.file_meta.TransferSyntaxUID, buffer = UID(syntax), io.BytesIO()
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    pydicom.dcmwrite(buffer, dataset, implicit_vr=implicit, little_endian=little)
    return buffer.getvalue(), values


@pytest.mark.parametrize("syntax", sorted({*NATIVE, RUN_LENGTH, *CODECS}))
def test_it_is_read_and_the_derived_image_has_the_same_pixels(syntax: str) -> None:
    body, values = written(syntax)
    assert opened(body).file_meta.TransferSyntaxUID == syntax
    image = read_image(body, LIMITS)
    (frame,) = image.frames
    apart = np.abs(image.hu[0] - (values * frame.slope + frame.intercept))
    assert apart.max() <= (60 if syntax in LOSSY else 0)
    derived = opened(write_derived(image, image.hu, MADE))
    assert not derived.file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(derived.pixel_array * frame.slope + frame.intercept, image.hu[0])
    assert derived.get("LossyImageCompression", "00") == ("01" if syntax in LOSSY else "00")

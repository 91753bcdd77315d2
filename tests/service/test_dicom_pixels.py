"""How the pixels of a CT slice are stored: bits, signs, compression."""

import re
from pathlib import Path

import gdcm
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import JPEGExtended12Bit, JPEGLosslessSV1, RLELossless

from service.codecs.dicom import blocks, jpeg, read_image, write_derived
from service.codecs.dicom.codestream import Header, header_of, run_length
from service.codecs.dicom.differences import checked
from service.codecs.dicom.pixels import CODECS, NATIVE, RUN_LENGTH
from service.errors import (
    InvalidValue,
    MalformedBody,
    UnsupportedMedia,
)
from tests.service.slices import LIMITS, MADE, SLICE, opened, saved

SHIFT = 96  # what dcmtk adds to the values that it compresses with loss, and takes from RescaleIntercept


def test_run_length_encoding_is_read_and_answered_uncompressed(ct_slice: bytes) -> None:
    dataset = opened(ct_slice)
    dataset.compress(RLELossless)
    source = read_image(saved(dataset), LIMITS)
    np.testing.assert_array_equal(source.hu, read_image(ct_slice, LIMITS).hu)
    derived = opened(write_derived(source, source.hu, MADE))
    assert not derived.file_meta.TransferSyntaxUID.is_compressed
    np.testing.assert_array_equal(derived.pixel_array, opened(ct_slice).pixel_array)


def test_a_compression_that_cannot_be_read_is_unsupported(ct_slice: bytes) -> None:
    with pytest.raises(UnsupportedMedia, match="docs/ct.md"):
        read_image(body_in_syntax(ct_slice, "1.2.840.10008.1.2.4.102"), LIMITS)


def body_in_syntax(body: bytes, uid: str) -> bytes:
    """The slice labelled as of another transfer syntax, its pixel data encapsulated."""
    dataset = opened(body)
    dataset.file_meta.TransferSyntaxUID = uid
    dataset.PixelData = pydicom.encaps.encapsulate([bytes(100)])
    dataset["PixelData"].is_undefined_length = True
    return saved(dataset)


@pytest.mark.parametrize("name", ["693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm"])
def test_jpeg_2000_is_read_with_the_sign_of_the_data_set(name: str) -> None:
    body = Path(str(get_testdata_file(name))).read_bytes()
    dataset, source = opened(body), read_image(body, LIMITS)
    expected = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    np.testing.assert_array_equal(source.hu[0], expected)
    derived = opened(write_derived(source, source.hu, MADE))
    np.testing.assert_array_equal(derived.pixel_array, dataset.pixel_array)


def test_the_page_lists_every_transfer_syntax_that_is_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "ct.md").read_text(encoding="utf-8")
    assert set(re.findall(r"`(1\.2\.840\.10008\.1\.2[.0-9]*)`", page)) == {*NATIVE, RUN_LENGTH, *CODECS}


def test_bits_beside_those_stored_are_masked(ct_slice: bytes) -> None:
    dataset = opened(ct_slice)
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    expected = dataset.pixel_array.view(np.uint16) & 0xFFF
    dataset.PixelData = (expected | 0x8000).astype("<u2").tobytes()
    dataset.add_new(0x60000102, "US", 15)
    source = read_image(saved(dataset), LIMITS)
    np.testing.assert_array_equal(
        source.hu[0], expected * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    )
    derived = opened(write_derived(source, source.hu, MADE))
    np.testing.assert_array_equal(derived.pixel_array, expected)
    assert 0x60000102 not in derived


@pytest.mark.parametrize("signed", [True, False])
def test_32_bits_are_clipped_to_the_right_sign(ct_slice: bytes, signed: bool) -> None:
    dataset = opened(ct_slice)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 32, 32, 31, int(signed)
    dataset.PixelData = bytes(4 * 128 * 128)
    source = read_image(saved(dataset), LIMITS)
    stored = opened(write_derived(source, np.full((1, 128, 128), 1e12, np.float32), MADE)).pixel_array
    assert (stored == 2 ** (32 - signed) - 1).all()


def test_runs_are_not_unpacked_beyond_the_slice(ct_slice: bytes) -> None:
    segment = b"\x81\0" * 200_000
    assert run_length((1).to_bytes(4, "little") + (64).to_bytes(4, "little") + bytes(56) + segment, 100, 1) == bytes(
        100
    )


def test_a_codestream_of_another_size_is_refused_before_it_is_decoded(ct_slice: bytes) -> None:
    dataset = opened(Path(str(get_testdata_file("693_J2KI.dcm"))).read_bytes())
    dataset.Rows = 128
    with pytest.raises(InvalidValue, match="512x512"):
        read_image(saved(dataset), LIMITS)


@pytest.fixture(scope="module")
def lossless() -> bytes:
    """CT_small.dcm in lossless JPEG, as a single fragment."""
    values = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    values.SetByteStringValue(opened(SLICE).PixelData)
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((128, 128, 1))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 16, 15, 1))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.ExplicitVRLittleEndian))
    image.SetDataElement(values)
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGLosslessProcess14_1))
    change.SetInput(image)
    image.thisown = False  # GDCM frees it with what it was given to; Python as well would end the process
    assert change.Change()
    fragment = change.GetOutput().GetDataElement().GetSequenceOfFragments().GetFragment(0)
    return bytes(fragment.GetByteValue().GetBuffer().encode("utf-8", "surrogateescape"))


def in_lossless_jpeg(stream: bytes) -> bytes:
    dataset = opened(SLICE)
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    dataset.PixelData = pydicom.encaps.encapsulate([stream])
    return saved(dataset)


def scan_of(stream: bytes) -> int:
    """Where the entropy-coded data begin."""
    at = stream.index(b"\xff\xda")
    return at + 2 + int.from_bytes(stream[at + 2 : at + 4])


def test_lossless_jpeg_is_read(lossless: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    hu = read_image(in_lossless_jpeg(lossless), LIMITS).hu
    np.testing.assert_array_equal(hu, read_image(SLICE, LIMITS).hu)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("missing", [2, 3, 10, 1_000, 10_000])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9", b"\xff\xff\xd9"])
def test_lossless_jpeg_that_lacks_samples_is_refused(
    lossless: bytes, missing: int, end: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert lossless.rstrip(b"\0").endswith(b"\xff\xd9")
    whole = lossless[: lossless.rindex(b"\xff\xd9")].rstrip(b"\xff")
    with pytest.raises(MalformedBody, match="damaged"):
        read_image(in_lossless_jpeg(whole[:-missing] + end), LIMITS)
    assert capfd.readouterr() == ("", "")


@pytest.fixture(scope="module")
def twelve_bits() -> bytes:
    """32x32 pixels of CT_small.dcm in lossy JPEG of 12 bits, by dcmtk."""
    return (Path(__file__).parent / "part.jpg").read_bytes()


def in_lossy_jpeg(stream: bytes) -> bytes:
    dataset = opened(SLICE)
    dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    dataset.Rows = dataset.Columns = 32
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    dataset.RescaleIntercept = -1024 - SHIFT
    dataset.PixelData = pydicom.encaps.encapsulate([stream])
    return saved(dataset)


def test_lossy_jpeg_of_12_bits_is_read(twelve_bits: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    source = read_image(in_lossy_jpeg(twelve_bits), LIMITS)
    np.testing.assert_allclose(source.hu[0], read_image(SLICE, LIMITS).hu[0, 40:72, 40:72], atol=6)
    derived = opened(write_derived(source, source.hu, MADE))
    np.testing.assert_array_equal(derived.pixel_array.astype(int) - 1024 - SHIFT, source.hu[0])
    assert derived.LossyImageCompression == "01"
    assert capfd.readouterr() == ("", "")


def test_a_scan_of_12_bits_that_says_less_of_its_coefficients_is_read(capfd: pytest.CaptureFixture[str]) -> None:
    body = Path(str(get_testdata_file("JPEG-lossy.dcm"))).read_bytes()
    stream = pydicom.encaps.get_frame(opened(body).PixelData, 0, number_of_frames=1)
    values = jpeg.lossy(stream, header_of(stream))
    assert (values.size, int(values.min()), int(values.max())) == (1024 * 256, 0, 264)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("missing", [4, 10, 100, 500])
@pytest.mark.parametrize("end", [b"", b"\xff\xd9", b"\xff\xff\xd9"])
def test_lossy_jpeg_of_12_bits_that_lacks_blocks_is_refused(
    twelve_bits: bytes, missing: int, end: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = twelve_bits[: twelve_bits.rindex(b"\xff\xd9")].rstrip(b"\xff")
    with pytest.raises(MalformedBody, match="damaged"):
        read_image(in_lossy_jpeg(whole[:-missing] + end), LIMITS)
    assert capfd.readouterr() == ("", "")


def test_lossy_jpeg_of_16_bits_is_no_jpeg_that_the_standard_knows(twelve_bits: bytes) -> None:
    frame = twelve_bits.index(b"\xff\xc1")
    deeper = twelve_bits[: frame + 4] + b"\x10" + twelve_bits[frame + 5 :]
    with pytest.raises(UnsupportedMedia, match="8 or 12 bits"):
        read_image(in_lossy_jpeg(deeper), LIMITS)


def test_restarts_in_lossy_jpeg_are_followed() -> None:
    """Codes of one bit, 0, for no change of the mean and for the end of a block: four blocks are a byte."""
    table = bytes([1, *bytes(15)]) + b"\0"
    segments = b"\xff\xc4\0\x26\0" + table + b"\x10" + table + b"\xff\xdd\0\4\0\4" + b"\xff\xda\0\x08\1\1\0\0\x3f\0"
    header = Header(16, 32, 12, 1, 0xC1)
    stream = b"\xff\xd8" + segments + b"\0\xff\xd0\0\xff\xd9"
    assert blocks.checked(stream, header) == stream
    for damaged in (stream.replace(b"\xff\xd0", b""), stream.replace(b"\0\xff\xd9", b"\xff\xd9")):
        with pytest.raises(MalformedBody):
            blocks.checked(damaged, header)


def test_restarts_in_lossless_jpeg_are_followed() -> None:
    """A code of one bit, 0, for a difference of none: 8 rows of 8 samples are a byte each, and restart each."""
    segments = b"\xff\xc4\0\x14\0" + bytes([1, *bytes(15)]) + b"\0" + b"\xff\xdd\0\4\0\x08"
    segments += b"\xff\xda\0\x08\1\1\0\1\0\0"
    rows = [b"\0" + bytes((0xFF, 0xD0 + row % 8)) for row in range(7)]
    header = Header(8, 8, 16, 1, 0xC3)
    stream = b"\xff\xd8" + segments + b"".join(rows) + b"\0\xff\xd9"
    assert checked(stream, header) == stream
    for damaged in (stream.replace(b"\0\xff\xd3", b"\xff\xd3"), stream.replace(b"\xff\xd3", b"")):
        with pytest.raises(MalformedBody):
            checked(damaged, header)

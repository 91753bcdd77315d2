"""CT slices in DICOM: Hounsfield units in, a derived image out, and nothing of the file in a warning."""

import io
import struct
import zlib
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from service.codecs.dicom import STATISTICS, read_image, read_images, write_derived
from service.errors import (
    BodyTooLarge,
    DeadlineExceeded,
    InvalidValue,
    MalformedBody,
    QuartetError,
    TooManyPixels,
)
from tests.service.slices import LIMITS, MADE, SLICE, opened, saved

# As service.codecs.dicom sets it for the process; pytest forgets that before each test.
pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")


def test_pixels_are_in_hounsfield_units(ct_slice: bytes) -> None:
    dataset = opened(ct_slice)
    expected = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    np.testing.assert_array_equal(read_image(ct_slice, LIMITS).hu[0], expected)


def test_a_slice_written_unchanged_has_the_pixels_it_had(ct_slice: bytes) -> None:
    source = read_image(ct_slice, LIMITS)
    derived = read_image(write_derived(source, source.hu, MADE), LIMITS)
    np.testing.assert_array_equal(derived.hu, source.hu)


def test_the_derived_image_is_a_new_instance_that_names_its_source(ct_slice: bytes) -> None:
    original, source = opened(ct_slice), read_image(ct_slice, LIMITS)
    derived = opened(write_derived(source, source.hu, MADE))
    assert derived.ImageType[0] == "DERIVED"
    assert derived.SOPInstanceUID != original.SOPInstanceUID
    assert derived.SeriesInstanceUID != original.SeriesInstanceUID
    assert derived.StudyInstanceUID == original.StudyInstanceUID
    assert derived.PatientID == original.PatientID
    assert derived.SourceImageSequence[0].ReferencedSOPInstanceUID == original.SOPInstanceUID
    assert "ct-denoiser 1" in derived.DerivationDescription
    assert derived.file_meta.MediaStorageSOPInstanceUID == derived.SOPInstanceUID


def test_values_beyond_the_stored_type_are_clipped(ct_slice: bytes) -> None:
    source = read_image(ct_slice, LIMITS)
    hu = np.where(np.arange(128) < 64, np.float32(-1e6), np.float32(1e6)) * np.ones((1, 128, 1), np.float32)
    stored = opened(write_derived(source, hu, MADE)).pixel_array
    assert (stored[:, :64] == -(2**15)).all()
    assert (stored[:, 64:] == 2**15 - 1).all()


def test_what_the_source_says_of_its_pixels_is_not_said_of_others(ct_slice: bytes) -> None:
    original = opened(ct_slice)
    original.HistogramSequence = []
    for name in set(STATISTICS) - {"HistogramSequence"}:
        original.add_new(name, "SS", 7)
    source = read_image(saved(original), LIMITS)
    derived = opened(write_derived(source, source.hu / 2, MADE))
    assert set(STATISTICS) <= set(original.dir())
    assert not set(STATISTICS) & set(derived.dir())


def test_slices_of_one_series_stay_one_series(ct_slice: bytes) -> None:
    first, second = read_image(ct_slice, LIMITS), read_image(ct_slice, LIMITS)
    series = {opened(write_derived(one, one.hu, MADE)).SeriesInstanceUID for one in (first, second)}
    assert len(series) == 1


def test_a_deflated_file_is_read_within_a_bound(ct_slice: bytes) -> None:
    dataset = opened(ct_slice)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    body = saved(dataset)
    source = read_image(body, LIMITS)
    np.testing.assert_array_equal(source.hu, read_image(ct_slice, LIMITS).hu)
    np.testing.assert_array_equal(read_image(write_derived(source, source.hu, MADE), LIMITS).hu, source.hu)
    head = body[: 132 + 12 + opened(body).file_meta.FileMetaInformationGroupLength]
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    huge = head + b"".join(compressor.compress(bytes(2**20)) for _ in range(200)) + compressor.flush()
    with pytest.raises(BodyTooLarge, match="deflated"):
        read_image(huge, LIMITS)


def test_what_is_not_ct_is_refused() -> None:
    body = Path(str(get_testdata_file("MR_small.dcm"))).read_bytes()
    with pytest.raises(InvalidValue, match="not a CT") as refusal:
        read_image(body, LIMITS, "dicom[1]")
    assert refusal.value.field == "dicom[1]"


def test_a_file_without_pixels_is_refused(ct_slice: bytes) -> None:
    dataset = opened(ct_slice)
    del dataset.PixelData
    with pytest.raises(InvalidValue, match="no pixel data"):
        read_image(saved(dataset), LIMITS)


def test_a_slice_over_the_limit_is_refused_before_it_is_decoded(ct_slice: bytes) -> None:
    dataset = opened(ct_slice)
    dataset.Rows = dataset.Columns = 60_000
    with pytest.raises(TooManyPixels, match="60000x60000"):
        read_image(saved(dataset), LIMITS)


@pytest.mark.parametrize("frames", [2, 64])
def test_several_frames_are_refused(ct_slice: bytes, frames: int) -> None:
    dataset = opened(ct_slice)
    dataset.NumberOfFrames = frames
    with pytest.raises(InvalidValue, match="holds one frame"):
        read_image(saved(dataset), LIMITS)


def test_a_slope_of_zero_is_refused(ct_slice: bytes) -> None:
    dataset = opened(ct_slice)
    dataset.RescaleSlope = "0"
    with pytest.raises(InvalidValue, match="slope"):
        read_image(saved(dataset), LIMITS)


@pytest.mark.parametrize("keep", [0, 1, 100, 131, 140, 1000, 20_000])
def test_a_truncated_file_is_malformed(ct_slice: bytes, keep: int) -> None:
    with pytest.raises((MalformedBody, InvalidValue)):
        read_image(ct_slice[:keep], LIMITS)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: bytes(128) + b"DICM" + tail))
def test_bytes_that_are_no_dicom_file_are_refused(body: bytes) -> None:
    with pytest.raises(QuartetError):
        read_image(body, LIMITS)


def test_implicit_value_representations_are_read(ct_slice: bytes) -> None:
    dataset, buffer = opened(ct_slice), io.BytesIO()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.save_as(buffer, implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(read_image(buffer.getvalue(), LIMITS).hu, read_image(ct_slice, LIMITS).hu)


HEADER = 7_000  # bytes of CT_small.dcm before its pixel data, where a flip matters


@given(st.lists(st.tuples(st.integers(0, HEADER), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_slice_is_answered_or_refused(flips: list[tuple[int, int]]) -> None:
    body = bytearray(SLICE)
    for position, value in flips:
        body[position] = value
    try:
        source = read_image(bytes(body), LIMITS)
        write_derived(source, source.hu, MADE)
    except QuartetError:
        pass


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize("name", ["RescaleSlope", "RescaleIntercept"])
def test_without_rescale_values_nothing_is_taken_for_hounsfield_units(
    ct_slice: bytes, name: str, value: str | None
) -> None:
    dataset = opened(ct_slice)
    setattr(dataset, name, value)
    with pytest.raises(InvalidValue, match=name):
        read_image(saved(dataset), LIMITS)


def test_names_in_a_wrong_character_set_keep_their_bytes(ct_slice: bytes) -> None:
    dataset, buffer = opened(ct_slice), io.BytesIO()
    dataset.PatientName = "M?ller^Anna"
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.save_as(buffer, implicit_vr=True, little_endian=True)
    body = buffer.getvalue().replace(b"M?ller", b"M\xfcller")
    source = read_image(body, LIMITS)
    assert b"M\xfcller^Anna" in write_derived(source, source.hu, MADE)


def test_slices_without_a_series_share_none(ct_slice: bytes) -> None:
    dataset = opened(ct_slice)
    del dataset.SeriesInstanceUID
    source = read_image(saved(dataset), LIMITS)
    assert len({opened(write_derived(source, source.hu, MADE)).SeriesInstanceUID for _ in range(2)}) == 2


def test_many_empty_items_are_refused(ct_slice: bytes) -> None:
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 100_000
    sequence = b"\x08\x00\x40\x11SQ\0\0" + len(items).to_bytes(4, "little") + items
    with pytest.raises(InvalidValue, match="10000"):
        read_image(_before_pixels(ct_slice, sequence), LIMITS)


def test_many_items_in_sequences_that_somebody_did_not_know_are_refused(ct_slice: bytes) -> None:
    item, end = b"\xfe\xff\x00\xe0\0\0\0\0", b"\xfe\xff\xdd\xe0\0\0\0\0"
    sequences = (
        struct.pack("<HH", 0x0009, number) + b"UN\0\0\xff\xff\xff\xff" + 3_000 * item + end for number in range(4)
    )
    with pytest.raises(InvalidValue, match="10000"):
        read_image(_before_pixels(ct_slice, b"".join(sequences)), LIMITS)


def test_many_elements_that_speak_of_the_file_are_refused() -> None:
    with pytest.raises(InvalidValue, match="10000"):
        read_image(bytes(128) + b"DICM" + b"\x02\0\x01\0UL\0\0" * 20_000, LIMITS)


@pytest.mark.parametrize("tag", [0x01F11026, 0x00180060])  # FD in pydicom's private dictionary, and DS in DICOM's
@pytest.mark.parametrize("implicit", [True, False])
def test_a_value_of_the_wrong_kind_keeps_its_bytes_and_the_image_can_be_read(
    ct_slice: bytes, tag: int, implicit: bool
) -> None:
    dataset, buffer = opened(ct_slice), io.BytesIO()
    dataset.add_new(0x01F10010, "LO", "ELSCINT1")
    dataset.add_new(tag, "OB", b"a.65")
    if implicit:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.save_as(buffer, implicit_vr=implicit, little_endian=True)
    body = buffer.getvalue() if implicit else buffer.getvalue().replace(b"OB\0\0\4\0\0\0a.65", b"UN\0\0\4\0\0\0a.65")
    source = read_image(body, LIMITS)
    derived = opened(write_derived(source, source.hu, MADE))
    assert (derived.get_item(tag).VR, derived.get_item(tag).value) == ("UN", b"a.65")
    np.testing.assert_array_equal(derived.pixel_array, dataset.pixel_array)


def _before_pixels(body: bytes, element: bytes) -> bytes:
    at = body.index(b"\xe0\x7f\x10\x00OW")
    return body[:at] + element + body[at:]


def deflated(body: bytes, padding: int) -> bytes:
    """The slice deflated, with `padding` bytes more in it."""
    dataset = opened(body)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.add_new(0x70011001, "OB", bytes(padding))
    return saved(dataset)


def test_deflated_files_count_together(ct_slice: bytes) -> None:
    padded = deflated(ct_slice, LIMITS.max_pixels)
    assert len(read_images([padded] * 4, LIMITS, "dicom")) == 4
    with pytest.raises(BodyTooLarge, match="deflated") as refusal:
        read_images([padded] * 5, LIMITS, "dicom")
    assert refusal.value.field == "dicom[4]"


def test_no_slice_is_read_for_a_request_whose_time_is_up() -> None:
    with pytest.raises(DeadlineExceeded):
        read_images([SLICE], LIMITS._replace(deadline=monotonic() - 1), "dicom")


@pytest.mark.parametrize("uid", ["1." * 40_000, "1.2\\1.3", "a.b"])
def test_what_is_no_uid_is_not_referred_to(ct_slice: bytes, uid: str) -> None:
    value = uid.encode() + bytes(len(uid) % 2)
    head = struct.pack("<HH2sHI", 8, 0x18, b"UT", 0, len(value))
    file = _before_pixels(ct_slice, head + value)
    source = read_image(file, LIMITS)
    derived = opened(write_derived(source, source.hu, MADE))
    assert "SourceImageSequence" not in derived
    assert derived.SOPInstanceUID.is_valid


def test_a_long_image_type_is_cut(ct_slice: bytes) -> None:
    value = b"A\\" * 50_000
    file = _before_pixels(ct_slice, struct.pack("<HH2sHI", 8, 8, b"UT", 0, len(value)) + value)
    source = read_image(file, LIMITS)
    assert opened(write_derived(source, source.hu, MADE)).ImageType[:2] == ["DERIVED", "PRIMARY"]


def test_a_slice_is_monochrome(ct_slice: bytes) -> None:
    dataset = opened(ct_slice)
    dataset.PhotometricInterpretation = "MONOCHROME0"
    with pytest.raises(InvalidValue, match="MONOCHROME1 or MONOCHROME2"):
        read_image(saved(dataset), LIMITS)
    dataset.PhotometricInterpretation = ""
    assert read_image(saved(dataset), LIMITS).hu.shape == (1, dataset.Rows, dataset.Columns)


@pytest.mark.parametrize(
    "name", ["PhotometricInterpretation", "SamplesPerPixel", "BitsStored", "HighBit", "PixelRepresentation"]
)
def test_what_a_slice_leaves_to_be_guessed_is_said_in_the_derived_image(ct_slice: bytes, name: str) -> None:
    dataset = opened(ct_slice)
    del dataset[name]
    source = read_image(saved(dataset), LIMITS)
    derived = opened(write_derived(source, source.hu, MADE))
    np.testing.assert_array_equal(
        derived.pixel_array * source.frames[0].slope + source.frames[0].intercept, source.hu[0]
    )

"""A derived image says what was done, by what, to which image, and keeps everything else as it came."""

import io
import struct
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from service.codecs.dicom import Derivation, read_image, write_derived
from service.limits import Limits

LIMITS = Limits(max_rows=32, max_pixels=2**20)
MADE = Derivation("ct-denoiser", "20261121-162300", "Noise reduced. Not for diagnostic use.")
pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")


def opened(body: bytes) -> Any:
    return pydicom.dcmread(io.BytesIO(body))


def saved(dataset: Any, syntax: str = ExplicitVRLittleEndian) -> bytes:
    buffer = io.BytesIO()
    dataset.file_meta.TransferSyntaxUID = syntax
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    pydicom.dcmwrite(buffer, dataset, implicit_vr=implicit, little_endian=little)
    return buffer.getvalue()


def derived(body: bytes, made: Derivation = MADE) -> Any:
    source = read_image(body, LIMITS)
    return opened(write_derived(source, source.hu, made))


def test_it_says_what_was_done_and_by_what(ct_slice: bytes) -> None:
    image = derived(ct_slice)
    assert image.DerivationDescription == MADE.description
    assert image.DerivationCodeSequence[0].CodeMeaning == "Smoothing"
    (contribution,) = image.ContributingEquipmentSequence
    assert (contribution.ManufacturerModelName, contribution.SoftwareVersions) == (MADE.model, MADE.version)
    assert contribution.ContributionDescription == MADE.description
    assert contribution.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"
    (reference,) = image.SourceImageSequence
    assert reference.PurposeOfReferenceCodeSequence[0].CodeValue == "121322"


def test_equipment_that_contributed_before_is_kept(ct_slice: bytes) -> None:
    once = read_image(ct_slice, LIMITS)
    twice = derived(write_derived(once, once.hu, MADE._replace(model="first")))
    assert [one.ManufacturerModelName for one in twice.ContributingEquipmentSequence] == ["first", MADE.model]


def test_the_series_is_numbered_and_called_anew(ct_slice: bytes) -> None:
    dataset = opened(ct_slice)
    dataset.SeriesNumber, dataset.SeriesDescription = 3, "Chest 5 mm"
    image = derived(saved(dataset))
    assert (image.SeriesNumber, image.SeriesDescription) == (1003, "Chest 5 mm denoised")
    dataset.SeriesNumber, dataset.SeriesDescription = None, ""
    image = derived(saved(dataset))
    assert (image.SeriesNumber, image.SeriesDescription) == (1000, "denoised")
    dataset.SeriesNumber, dataset.SeriesDescription = 2**31 - 1, "x" * 60
    image = derived(saved(dataset))
    assert (image.SeriesNumber, image.SeriesDescription) == (1000, "denoised")


def test_a_series_that_is_called_denoised_is_not_called_so_twice(ct_slice: bytes) -> None:
    once = read_image(ct_slice, LIMITS)
    assert derived(write_derived(once, once.hu, MADE)).SeriesDescription == "denoised"


def test_another_setting_makes_another_series(ct_slice: bytes) -> None:
    settings = ("", "strength 0.5")
    series = {derived(ct_slice, MADE._replace(settings=one)).SeriesInstanceUID for one in settings}
    assert len(series) == 2


@pytest.mark.parametrize("kind", ["ORIGINAL", "ORIGINAL\\SECONDARY\\AXIAL\\CT_SOM5 SPI", ""])
def test_the_image_type_is_derived_and_keeps_the_rest(ct_slice: bytes, kind: str) -> None:
    dataset = opened(ct_slice)
    dataset.ImageType = kind.split("\\")
    first, second, *rest = derived(saved(dataset)).ImageType
    assert first == "DERIVED"
    assert second == ("SECONDARY" if "SECONDARY" in kind else "PRIMARY")
    assert rest == (kind.split("\\")[2:] or ["AXIAL"])


def test_a_picture_and_a_date_of_what_was_are_left_out(ct_slice: bytes) -> None:
    dataset = opened(ct_slice)
    dataset.InstanceCreationDate, dataset.IconImageSequence = "20040119", [pydicom.Dataset()]
    image = derived(saved(dataset))
    assert "InstanceCreationDate" not in image
    assert "IconImageSequence" not in image


def test_numbers_of_a_big_endian_file_change_their_order_in_sequences_too(ct_slice: bytes) -> None:
    dataset, item = opened(ct_slice), pydicom.Dataset()
    item.add_new("LossyImageCompressionRatio", "DS", "3.5")
    item.add_new("ReferencedFrameNumber", "IS", "7")
    item.add_new("RecommendedDisplayFrameRateInFloat", "FL", 2.5)
    item.add_new("SimpleFrameList", "UL", [1, 70000])
    item.add_new("DoubleExposureOrdering", "FD", 0.1)
    dataset.ReferencedImageSequence = [item]
    dataset.add_new(0x50000010, "US", 258)
    values = dataset.pixel_array.copy()
    dataset.PixelData = values.astype(">i2").tobytes()
    dataset["PixelData"].VR = "OW"
    image = derived(saved(dataset, ExplicitVRBigEndian))
    assert image.ReferencedImageSequence[0] == item
    assert image[0x50000010].value == 258
    np.testing.assert_array_equal(image.pixel_array, values)


def test_what_nobody_knows_keeps_its_bytes(ct_slice: bytes) -> None:
    dataset = opened(ct_slice)
    dataset.add_new(0x00990010, "LO", "SOMEBODY")
    dataset.add_new(0x00991001, "UN", b"\x00\xffabc\x01")
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian):
        element = derived(saved(dataset, syntax)).get_item(0x00991001)
        assert (element.VR, element.value) == ("UN", b"\x00\xffabc\x01")


def test_a_description_in_any_character_set_keeps_its_bytes(ct_slice: bytes) -> None:
    dataset = opened(ct_slice)
    dataset.SpecificCharacterSet, dataset.SeriesDescription = "ISO 2022 IR 87", "#" * 8
    japanese = b"\x1b$B;3\x1b(B"
    image = derived(saved(dataset).replace(b"#" * 8, japanese))
    assert image.get_item(0x0008103E).value.rstrip() == japanese + b" denoised"


def test_loss_that_a_source_does_not_tell_is_told() -> None:
    source = opened_jpeg()
    image = derived(source)
    assert image.LossyImageCompression == "01"
    assert image.LossyImageCompressionMethod == "ISO_10918_1"
    assert image.LossyImageCompressionRatio > 1


def opened_jpeg() -> bytes:
    """A slice of 8 bits in JPEG, which says nothing of its loss."""
    from PIL import Image

    dataset, buffer = pydicom.dcmread(str(get_testdata_file("CT_small.dcm"))), io.BytesIO()
    Image.fromarray((dataset.pixel_array >> 4).astype(np.uint8)).save(buffer, "JPEG")
    dataset.PixelData = pydicom.encaps.encapsulate([buffer.getvalue()])
    dataset["PixelData"].VR = "OB"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    del dataset.PixelPaddingValue
    return saved(dataset, JPEGBaseline8Bit)


@pytest.mark.parametrize("slope", [1.0, 0.25, -0.5, 3.7])
def test_hounsfield_units_are_exact_to_half_a_step(ct_slice: bytes, slope: float) -> None:
    dataset = opened(ct_slice)
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, -77.3
    source = read_image(saved(dataset), LIMITS)
    wanted = source.hu * np.float32(0.37)
    written = read_image(write_derived(source, wanted, MADE), LIMITS)
    assert np.abs(written.hu - wanted).max() <= abs(slope) / 2 + 1e-3


def test_padding_of_the_other_sign_is_understood(ct_slice: bytes) -> None:
    """63,536 is -2,000 in 16 bits, and some scanners write it so."""
    dataset = opened(ct_slice)
    values = dataset.pixel_array.copy()
    values[:5] = -2000
    dataset.PixelData = values.tobytes()
    del dataset.PixelPaddingValue
    head = struct.pack("<HH2sHH", 0x28, 0x120, b"US", 2, 63536)
    body = saved(dataset)
    at = body.index(struct.pack("<HH", 0x28, 0x1052))
    padding = read_image(body[:at] + head + body[at:], LIMITS).padding
    assert padding is not None
    np.testing.assert_array_equal(padding[0], values == -2000)


def test_a_photometric_interpretation_is_kept_and_changes_no_hounsfield_unit(ct_slice: bytes) -> None:
    dataset = opened(ct_slice)
    dataset.PhotometricInterpretation = "MONOCHROME1"
    body = saved(dataset)
    np.testing.assert_array_equal(read_image(body, LIMITS).hu, read_image(ct_slice, LIMITS).hu)
    assert derived(body).PhotometricInterpretation == "MONOCHROME1"

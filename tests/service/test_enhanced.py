"""Enhanced multi-frame CT: a slice a frame, each with its own rescale, and one derived object of all."""

import io
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.uid import RLELossless

from service.codecs.dicom import Derivation, Pseudonyms, read_image, write_derived
from service.errors import InvalidValue, MalformedBody, TooManyPixels, TooManyRows
from service.limits import Limits
from service.messages import DICOM, NPY, PNG
from tests.conftest import Here, assert_refused
from tests.service import enhanced

LIMITS = Limits(max_rows=32, max_pixels=2**20)
MADE = Derivation("ct-denoiser", "1", "Noise reduced by ct-denoiser 1. Not for diagnostic use.")
pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")


def opened(body: bytes) -> Any:
    return pydicom.dcmread(io.BytesIO(body))


def test_every_frame_has_its_own_rescale() -> None:
    image = read_image(enhanced.saved(enhanced.dataset()), LIMITS)
    np.testing.assert_array_equal(image.hu, enhanced.hu())
    assert [frame.spacing_mm for frame in image.frames] == [(0.6, 0.6)] * enhanced.FRAMES


def test_the_derived_object_has_the_frames_and_says_what_was_done_to_all() -> None:
    source = enhanced.dataset()
    image = read_image(enhanced.saved(source), LIMITS)
    wanted = image.hu * 0.9
    body = write_derived(image, wanted, MADE)
    derived = opened(body)
    assert (derived.SOPClassUID, derived.NumberOfFrames) == (source.SOPClassUID, enhanced.FRAMES)
    assert derived.ImageType == ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    assert derived.ContentQualification == "RESEARCH"
    (shared,) = derived.SharedFunctionalGroupsSequence
    assert shared.CTImageFrameTypeSequence[0].FrameType[0] == "DERIVED"
    (derivation,) = shared.DerivationImageSequence
    assert derivation.DerivationDescription == MADE.description
    assert derivation.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    (study,) = derived.SourceImageEvidenceSequence
    assert study.StudyInstanceUID == source.StudyInstanceUID
    assert study.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID
    assert "SourceImageSequence" not in derived
    steps = np.array(enhanced.SLOPES)[:, None, None]
    assert (np.abs(read_image(body, LIMITS).hu - wanted) <= steps / 2 + 1e-3).all()


def test_a_derivation_of_single_frames_gives_way_to_the_one_of_all() -> None:
    source = enhanced.dataset()
    source.PerFrameFunctionalGroupsSequence[1].DerivationImageSequence = []
    image = read_image(enhanced.saved(source), LIMITS)
    derived = opened(write_derived(image, image.hu, MADE._replace(pseudonyms=Pseudonyms())))
    assert all("DerivationImageSequence" not in one for one in derived.PerFrameFunctionalGroupsSequence)
    assert len(derived.SharedFunctionalGroupsSequence[0].DerivationImageSequence) == 1


@pytest.mark.parametrize("table", ["none", "basic", "extended"])
def test_fragments_are_frames_by_their_number_or_by_a_table(table: str) -> None:
    source = enhanced.dataset()
    source.compress(RLELossless)
    streams = [bytes(one) for one in pydicom.encaps.generate_frames(source.PixelData, number_of_frames=3)]
    if table == "none":
        source.PixelData = encapsulate(streams, has_bot=False)
    elif table == "basic":
        source.PixelData = encapsulate(streams, fragments_per_frame=2)
    else:
        source.PixelData, source.ExtendedOffsetTable, source.ExtendedOffsetTableLengths = encapsulate_extended(streams)
    body = enhanced.saved(source)
    image = read_image(body, LIMITS)
    np.testing.assert_array_equal(image.hu, enhanced.hu())
    derived = opened(write_derived(image, image.hu, MADE))
    assert "ExtendedOffsetTable" not in derived
    np.testing.assert_array_equal(derived.pixel_array, enhanced.stored())


def test_fragments_that_nothing_divides_into_frames_are_refused() -> None:
    source = enhanced.dataset()
    source.compress(RLELossless)
    streams = [bytes(one) for one in pydicom.encaps.generate_frames(source.PixelData, number_of_frames=3)]
    source.PixelData = encapsulate(streams[:2], has_bot=False)
    with pytest.raises(MalformedBody, match="where each frame begins"):
        read_image(enhanced.saved(source), LIMITS)


def test_a_frame_that_is_no_axial_slice_in_hounsfield_units_is_refused_by_its_number() -> None:
    lying, localizer, unscaled = enhanced.dataset(), enhanced.dataset(), enhanced.dataset()
    frames = lying.PerFrameFunctionalGroupsSequence
    frames[1].PlaneOrientationSequence = enhanced._group(ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    localizer.PerFrameFunctionalGroupsSequence[1].CTImageFrameTypeSequence = enhanced._group(
        FrameType=["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]
    )
    del unscaled.PerFrameFunctionalGroupsSequence[1].PixelValueTransformationSequence
    for source in (lying, localizer, unscaled):
        with pytest.raises(InvalidValue) as refusal:
            read_image(enhanced.saved(source), LIMITS)
        assert refusal.value.field == "dicom.frames[1]"


@pytest.mark.parametrize("frames", [2, 4, 0, -1])
def test_the_number_of_frames_is_that_of_their_groups(frames: int) -> None:
    source = enhanced.dataset()
    source.NumberOfFrames = frames
    with pytest.raises((InvalidValue, MalformedBody)):
        read_image(enhanced.saved(source), LIMITS)


def test_frames_count_as_slices() -> None:
    body = enhanced.saved(enhanced.dataset())
    with pytest.raises(TooManyRows):
        read_image(body, LIMITS._replace(max_rows=2))
    with pytest.raises(TooManyPixels, match="32x32 pixels in 3 frames"):
        read_image(body, LIMITS._replace(max_pixels=3 * 32 * 32 - 1))


def test_many_frames_may_have_many_elements() -> None:
    source, count = enhanced.dataset(), 200
    source.NumberOfFrames = count
    one = source.PerFrameFunctionalGroupsSequence[0]
    for name in ("FrameComments", "FrameLabel", "StackID"):
        setattr(one.FrameContentSequence[0], name, "x")
    one.PlanePositionSequence[0].add_new(0x00091010, "LO", "x")
    for number in range(80):
        one.add_new(0x00110000 + 0x1000 + number, "LO", "x")
    source.PerFrameFunctionalGroupsSequence = [one] * count
    source.PixelData = bytes(2 * count * enhanced.SIDE**2)
    body = enhanced.saved(source)
    assert len(read_image(body, Limits(256, 2**20)).hu) == count
    with pytest.raises(InvalidValue, match="more than 14096 elements"):
        read_image(body, Limits(32, 2**20))


def test_frames_are_answered_as_slices_or_as_one_object(lane: Here) -> None:
    body, path = enhanced.saved(enhanced.dataset()), "/v1/ct/denoise?model=toy-ct"
    answer = lane("POST", path, content=body, headers={"content-type": DICOM, "accept": NPY})
    np.testing.assert_array_equal(np.load(io.BytesIO(answer.content)), enhanced.hu() / 2)
    answer = lane("POST", path, content=body, headers={"content-type": DICOM})
    assert answer.headers["content-type"] == DICOM
    np.testing.assert_allclose(read_image(answer.content, LIMITS).hu, enhanced.hu() / 2, atol=1)
    picture = lane("POST", path, content=body, headers={"content-type": DICOM, "accept": PNG})
    assert_refused(picture, 406, "not_acceptable", "accept")

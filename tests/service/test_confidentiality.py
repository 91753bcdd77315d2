"""De-identified images hold nothing that DICOM's basic profile of confidentiality takes out, wherever it stands."""

import io
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.uid import generate_uid

from service.codecs.archives import read_archive
from service.codecs.dicom import Derivation, Pseudonyms, read_image, read_images, write_derived
from service.codecs.dicom.basic_profile import EMPTIED, REMOVED, REPLACED
from service.limits import Limits
from service.messages import DICOM, ZIP
from tests.conftest import Here
from tests.service import enhanced

LIMITS = Limits(max_rows=32, max_pixels=2**20)
PLANTED = "PLANTEDPERSON"
VALUES: dict[str, Any] = {"DA": "19991231", "TM": "235958", "DT": "19991231235958", "AS": "089Y", "PN": f"{PLANTED}^X"}
VALUES |= dict.fromkeys(("LO", "SH", "ST", "LT", "UT", "UC", "AE", "CS", "UR"), PLANTED)
KEPT = {"BodyPartExamined": "CHEST", "KVP": 120, "ConvolutionKernel": "B30f", "PatientPosition": "FFS"}
# What people look for first, by the names of DICOM's dictionary.
KNOWN = [
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientAddress",
    "OtherPatientIDs",
    "PatientTelephoneNumbers",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "InstitutionName",
    "InstitutionAddress",
    "StationName",
    "AccessionNumber",
    "StudyID",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "ImageComments",
    "PatientComments",
    "DeviceSerialNumber",
    "StudyDate",
    "SeriesDate",
    "AcquisitionDate",
    "ContentDate",
    "StudyTime",
    "AdmissionID",
    "RequestedProcedureID",
    "MedicalRecordLocator",
    "EthnicGroup",
    "Occupation",
    "AdditionalPatientHistory",
    "RequestingPhysician",
    "ScheduledStationAETitle",
]
pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")


def opened(body: bytes) -> Any:
    return pydicom.dcmread(io.BytesIO(body))


def saved(dataset: Any) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def planted(dataset: Any) -> Any:
    """With an identifier in every element that the profile names, in sequences, private groups, curves and overlays."""
    for tag in sorted(REMOVED | EMPTIED | REPLACED | {tag_for_keyword(name) for name in KNOWN}):
        if (value := VALUES.get(dictionary_VR(tag))) is not None:
            dataset.add_new(tag, dictionary_VR(tag), value)
    dataset.SeriesInstanceUID, dataset.FrameOfReferenceUID = generate_uid(), generate_uid()
    item = Dataset()
    item.PatientName, item.StudyDate, item.ReferencedSOPInstanceUID = f"{PLANTED}^Y", "19991231", dataset.SOPInstanceUID
    item.add_new(0x00091001, "LO", PLANTED)
    dataset.ReferencedImageSequence = dataset.OriginalAttributesSequence = [item]
    dataset.add_new(0x00990010, "LO", PLANTED)
    dataset.add_new(0x00991001, "OB", PLANTED.encode() + b" ")
    dataset.add_new(0x50003000, "OB", PLANTED.encode() + b" ")
    dataset.add_new(0x60004000, "LT", PLANTED)
    dataset.add_new(0x60000022, "LO", "an overlay that is kept")
    dataset.add_new(0x60003000, "OB", PLANTED.encode() + b" ")
    dataset.add_new(0x00080999, "UN", PLANTED.encode() + b" ")
    dataset.add_new(0x00401012, "PN", PLANTED)
    for name, value in KEPT.items():
        setattr(dataset, name, value)
    return dataset


def derived(body: bytes) -> bytes:
    source = read_image(body, LIMITS)
    return write_derived(source, source.hu, Derivation("m", "1", "Noise reduced.", "", Pseudonyms()))


def small() -> Any:
    return pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))


@pytest.fixture(scope="module")
def original() -> bytes:
    return saved(planted(small()))


def test_nothing_that_was_planted_is_left(original: bytes) -> None:
    body = derived(original)
    assert original.count(PLANTED.encode()) > 300
    for value in (PLANTED, *VALUES.values()):
        assert value.encode() not in body, value
    image, before = opened(body), opened(original)
    for name in KNOWN:
        assert not image.get(name) or image.get(name) != before.get(name), name
    for name, value in KEPT.items():
        assert image.get(name) == value
    np.testing.assert_array_equal(image.pixel_array, before.pixel_array)


def test_the_image_says_what_was_done_to_it(original: bytes) -> None:
    image = opened(derived(original))
    assert (image.PatientIdentityRemoved, image.LongitudinalTemporalInformationModified) == ("YES", "REMOVED")
    assert image.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert image.SeriesDescription == "denoised"
    assert image.DerivationDescription == "Noise reduced."


def test_no_uid_but_those_of_dicom_is_left(original: bytes) -> None:
    before = {one.value for one in opened(original).iterall() if one.VR == "UI"}
    after = {one.value for one in opened(derived(original)).iterall() if one.VR == "UI"}
    assert all(uid.startswith("1.2.840.10008.") for uid in before & after)
    assert len(after) >= 5


def test_uids_of_a_request_agree_and_those_of_two_do_not() -> None:
    pseudonyms, body = Pseudonyms(), saved(planted(small()))
    images = []
    for uids in (pseudonyms, pseudonyms, Pseudonyms()):
        source = read_image(body, LIMITS)
        images.append(opened(write_derived(source, source.hu, Derivation("m", "1", "", "", uids))))
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert images[0].get(name) == images[1].get(name) != images[2].get(name), name
    assert len({image.SOPInstanceUID for image in images}) == 3
    origins = [image.SourceImageSequence[0].ReferencedSOPInstanceUID for image in images]
    assert origins[0] == origins[1] != origins[2]
    assert origins[0] == images[0].ReferencedImageSequence[0].ReferencedSOPInstanceUID


def test_the_groups_of_frames_are_looked_through_too() -> None:
    dataset = enhanced.dataset()
    for item in (dataset.SharedFunctionalGroupsSequence[0], dataset.PerFrameFunctionalGroupsSequence[1]):
        item.FrameContentSequence = [Dataset()]
        item.FrameContentSequence[0].FrameComments = PLANTED
        item.FrameContentSequence[0].FrameAcquisitionDateTime = VALUES["DT"]
    body = derived(saved(dataset))
    assert PLANTED.encode() not in body
    assert VALUES["DT"].encode() not in body
    np.testing.assert_array_equal(read_image(body, LIMITS).hu, enhanced.hu())


def test_it_is_asked_for_by_an_option(lane: Here, original: bytes) -> None:
    path, headers = "/v1/ct/denoise?model=toy-ct", {"content-type": DICOM}
    kept = lane("POST", path, content=original, headers=headers).content
    assert PLANTED.encode() in kept
    for query in ("deidentify=true", "deidentify=true&strength=0.5"):
        assert PLANTED.encode() not in lane("POST", f"{path}&{query}", content=original, headers=headers).content
    form = [("dicom", (f"{PLANTED}.dcm", original)), ("dicom", original), ("deidentify", (None, "true"))]
    answer = lane("POST", path, files=form, headers={"accept": ZIP})
    assert PLANTED.encode() not in answer.content
    images = read_images(read_archive(answer.content, LIMITS, 2**24), LIMITS, "zip")
    assert len({image.dataset.SeriesInstanceUID for image in images}) == 1

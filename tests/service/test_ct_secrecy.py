"""Nothing of a patient gets into a log of any level, a metric, a trace or an error, whatever is wrong with a file."""

import io
import logging
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.datadict import DicomDictionary

from service.codecs.related import write_related
from service.messages import DICOM, FORM, JSON, NPY, PNG, RELATED, ZIP
from tests.conftest import Here

SECRET = "ZZSECRET"
PATH = "/v1/ct/denoise?model=toy-ct"
FORMS = RELATED, NPY, PNG, JSON
TEXTS = frozenset(("LO", "SH", "ST", "LT", "UT", "UC", "PN", "AE", "UR", "CS"))
# Changed, each makes a file be refused; what they hold then is a secret as well.
READ = ("Modality", "SOPClassUID", "ImageType", "PhotometricInterpretation", "RescaleType", "RescaleSlope",
        "RescaleIntercept", "PixelSpacing", "ImageOrientationPatient", "SeriesNumber", "NumberOfFrames",
        "SpecificCharacterSet")  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore:::pydicom")


def planted() -> Any:
    """A slice with a secret in every element of text that DICOM has, and in private ones."""
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    for tag, (vr, *_) in DicomDictionary.items():
        # These a slice is known by, and the groups below are not of a data set.
        if vr in TEXTS and tag >> 16 > 2 and pydicom.datadict.keyword_for_tag(tag) not in READ:
            dataset.add_new(tag, vr, SECRET)
    dataset.add_new(0x00090010, "LO", SECRET)
    dataset.add_new(0x00091001, "OB", SECRET.encode())
    return dataset


def saved(dataset: Any) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def files() -> Iterator[tuple[str, bytes]]:
    whole = saved(planted())
    yield "whole", whole
    yield "cut", whole[: len(whole) // 2]
    yield "cut in its pixels", whole[:-1000]
    yield "no DICOM", SECRET.encode() * 100
    for name in READ:
        head = bytearray(whole)
        tag = pydicom.tag.Tag(name)
        element = bytes((tag.group & 255, tag.group >> 8, tag.element & 255, tag.element >> 8))
        at = head.find(element, 132)
        if at < 0:
            at = head.index(b"\x28\0\x02\0")
            head[at:at] = element + b"LO" + (len(SECRET)).to_bytes(2, "little") + SECRET.encode()
        else:
            length = int.from_bytes(head[at + 6 : at + 8], "little")
            head[at + 4 : at + 8 + length] = b"LO" + len(SECRET).to_bytes(2, "little") + SECRET.encode()
        yield name, bytes(head)
    dataset = planted()
    dataset.Rows = 129
    yield "fewer pixels than it says", saved(dataset)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"
    dataset.PixelData = pydicom.encaps.encapsulate([SECRET.encode() * 9])
    yield "no JPEG", saved(dataset)


FILES = dict(files())


def bodies(file: bytes) -> Iterator[tuple[bytes, str]]:
    """The file in every form; names are secrets, too."""
    yield file, DICOM
    yield write_related([file, file], DICOM)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as folder:
        folder.writestr(f"{SECRET}/{SECRET}.dcm", file)
    yield archive.getvalue(), ZIP
    head = f'--edge\r\ncontent-disposition: form-data; name="dicom"; filename="{SECRET}.dcm"\r\n\r\n'.encode()
    yield head + file + b"\r\n--edge--\r\n", f"{FORM}; boundary=edge"
    content = f"--edge\r\ncontent-type: {DICOM}\r\ncontent-location: {SECRET}\r\n\r\n".encode()
    yield content + file + b"\r\n--edge--\r\n", f"{RELATED}; boundary=edge"


def told(response: httpx.Response) -> str:
    """All but the content of a right answer, which is a slice."""
    return f"{response.headers}" + ("" if response.status_code == 200 else response.text)


@pytest.mark.parametrize("name", FILES)
def test_no_file_gives_its_secrets_away(
    lane: Here, name: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.NOTSET)
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    seen = []
    for body, media in bodies(FILES[name]):
        for accept in FORMS if media == DICOM else FORMS[:1]:
            response = lane("POST", PATH, content=body, headers={"content-type": media, "accept": accept, **trace})
            assert response.status_code < 500, response.text
            seen.append(told(response))
    said = "".join(f"{one.getMessage()} {one.__dict__}" for one in caplog.records)
    written = "".join(capfd.readouterr())
    for text in (*seen, said, written, lane("GET", "/metrics").text):
        assert SECRET not in text
        assert SECRET.lower() not in text.lower()
    assert SECRET.encode() in FILES[name]


def test_most_of_these_files_are_refused(lane: Here) -> None:
    answers = {
        name: lane("POST", PATH, content=file, headers={"content-type": DICOM}).status_code
        for name, file in FILES.items()
    }
    assert {answers.pop(name) for name in ("whole", "SeriesNumber", "SpecificCharacterSet")} == {200}
    taken = {name for name, status in answers.items() if status == 200}
    assert taken <= {"PixelSpacing", "ImageOrientationPatient", "ImageType", "NumberOfFrames"}

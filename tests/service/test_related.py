"""`multipart/related` as DICOMweb clients write it, and nothing that only looks like it."""

import pytest

from service.codecs.related import MAX_PARTS, read_related, write_related
from service.errors import InvalidValue, MalformedBody, QuartetError, UnsupportedMedia
from service.messages import DICOM, Request

PART = b"--edge\r\nContent-Type: application/dicom\r\n\r\n%s\r\n"
FILES = [b"first", b"", b"--edg\r\n--ed\r\n\r\nthird\r\n"]


def request(body: bytes, media: str = 'multipart/related; type="application/dicom"; boundary=edge') -> Request:
    return Request(body, {b"content-type": media.encode()})


def test_parts_come_back_in_order() -> None:
    body, media = write_related(FILES, DICOM)
    assert read_related(request(body, media), DICOM) == FILES


@pytest.mark.parametrize(
    "part",
    [b"--edge\r\n\r\nx\r\n", b"--edge \t\r\ncontent-location: a/b\r\nCONTENT-TYPE:application/dicom;a=b\r\n\r\nx\r\n",
     b"preamble\r\n--edge\r\ncontent-type: application/octet-stream\r\n\r\nx\r\n"],
)  # fmt: skip
def test_parts_are_read_as_clients_write_them(part: bytes) -> None:
    assert read_related(request(part + b"--edge--\r\nepilogue"), DICOM) == [b"x"]


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"--edge", b"--edge\r\n", PART % b"x", (PART % b"x")[:-2] + b"--edge--",
     b"--edgecase\r\n\r\nx\r\n--edge--",
     b"--edge\r\nno empty line\r\n--edge--", b"--edge\r\n" + b"a: b\r\n" * 2000 + b"\r\nx\r\n--edge--"],
)  # fmt: skip
def test_a_damaged_body_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        read_related(request(body), DICOM)


def test_parts_of_another_kind_are_refused() -> None:
    for head in (b"content-type: application/dicom+json", b"content-transfer-encoding: base64"):
        with pytest.raises(UnsupportedMedia) as refusal:
            read_related(request(PART % b"x" + b"--edge\r\n" + head + b"\r\n\r\nx\r\n--edge--"), DICOM)
        assert refusal.value.field == "parts[1]"
    with pytest.raises(UnsupportedMedia):
        read_related(request(PART % b"x", 'multipart/related; type="application/dicom+json"; boundary=edge'), DICOM)


@pytest.mark.parametrize("media", ["multipart/related", "multipart/related; boundary=" + "x" * 300])
def test_a_boundary_is_needed(media: str) -> None:
    with pytest.raises(MalformedBody, match="boundary"):
        read_related(request(PART % b"x", media), DICOM)


def test_there_are_parts_but_not_too_many() -> None:
    with pytest.raises(InvalidValue, match="no parts"):
        read_related(request(b"--edge--"), DICOM)
    assert len(read_related(request(PART % b"x" * MAX_PARTS + b"--edge--"), DICOM)) == MAX_PARTS
    with pytest.raises(InvalidValue, match="More than"):
        read_related(request(PART % b"x" * (MAX_PARTS + 1) + b"--edge--"), DICOM)


@pytest.mark.parametrize("unit", [b"\r\n--edg", b"--edge", b"\r\n", b"\r\n--edge\r\n", b"--edge\r\n\r\n"])
def test_near_misses_of_the_boundary_are_no_parts(unit: bytes) -> None:
    with pytest.raises(QuartetError):
        read_related(request(unit * 100_000), DICOM)

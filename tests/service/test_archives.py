"""Zip archives: the files in order, and no bomb."""

import io
import struct
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.codecs.archives import MAX_FILES, read_archive, write_archive
from service.errors import BodyTooLarge, InvalidValue, MalformedBody, QuartetError, UnsupportedMedia
from service.limits import Limits

LIMITS, MOST = Limits(32, 2**20), 2**20


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_files_come_in_the_order_of_the_archive(method: int) -> None:
    body = zipped({"b.dcm": b"first", "a/": b"", "a/c.dcm": b"second"}, method)
    assert read_archive(body, LIMITS, MOST) == [b"first", b"second"]


def test_what_is_written_is_read() -> None:
    files = [b"x", b"", b"y" * 1000]
    body = write_archive(files, "dcm")
    assert read_archive(body, LIMITS, MOST) == files
    assert zipfile.ZipFile(io.BytesIO(body)).namelist() == ["0001.dcm", "0002.dcm", "0003.dcm"]


def test_what_systems_leave_beside_the_files_is_left_out() -> None:
    aside = ("__MACOSX/._1.dcm", ".DS_Store", "ct/.DS_Store", "DICOMDIR", "export/DICOMDIR", "Thumbs.db")
    assert read_archive(zipped({name: b"x" for name in aside} | {"1": b"slice"}), LIMITS, MOST) == [b"slice"]
    with pytest.raises(InvalidValue, match="no files"):
        read_archive(zipped({name: b"x" for name in aside}), LIMITS, MOST)


def test_a_bomb_is_refused_before_it_is_inflated() -> None:
    with pytest.raises(BodyTooLarge):
        read_archive(zipped({f"{i}": bytes(2**18) for i in range(5)}), LIMITS, MOST)


def test_a_file_that_says_it_is_shorter_than_it_is_is_damaged() -> None:
    body = bytearray(zipped({"1": bytes(2**24)}))
    entry = body.index(b"PK\1\2")
    for at in (22, entry + 24):
        body[at : at + 4] = struct.pack("<I", 100)
    with pytest.raises(MalformedBody):
        read_archive(bytes(body), LIMITS, MOST)


def test_a_long_list_of_files_is_refused() -> None:
    with pytest.raises(InvalidValue, match=f"more than {MAX_FILES}"):
        read_archive(zipped({f"{i}": b"" for i in range(MAX_FILES + 1)}), LIMITS, MOST)
    with pytest.raises(InvalidValue, match=f"more than {MAX_FILES}"):
        read_archive(zipped({f"{i:09}": b"" for i in range(8 * MAX_FILES)}), LIMITS, MOST)


def test_methods_that_are_not_bounded_are_refused() -> None:
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        with pytest.raises(UnsupportedMedia, match="stored or deflated") as refusal:
            read_archive(zipped({"1": b"x"}, method), LIMITS, MOST)
        assert refusal.value.field == "zip[0]"
    encrypted = bytearray(zipped({"1": b"x"}))
    encrypted[encrypted.index(b"PK\1\2") + 8] |= 1
    with pytest.raises(UnsupportedMedia, match="not encrypted"):
        read_archive(bytes(encrypted), LIMITS, MOST)


def test_a_damaged_file_is_refused_by_its_number() -> None:
    body = bytearray(zipped({"1": b"first", "2": b"second" * 100}, zipfile.ZIP_STORED))
    body[body.index(b"second")] ^= 1
    with pytest.raises(MalformedBody) as refusal:
        read_archive(bytes(body), LIMITS, MOST)
    assert refusal.value.field == "zip[1]"


SMALL = zipped({"1.dcm": b"first" * 20, "2.dcm": b"second"})


@given(st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=5))
def test_damage_is_read_or_refused(flips: list[tuple[int, int]]) -> None:
    body = bytearray(SMALL)
    for at, value in flips:
        body[at] = value
    with suppress(QuartetError):
        read_archive(bytes(body), LIMITS, MOST)


@given(st.binary(max_size=100) | st.binary(max_size=60).map(lambda tail: b"PK\5\6" + tail))
def test_what_is_no_archive_is_refused(body: bytes) -> None:
    with pytest.raises(QuartetError):
        read_archive(body, LIMITS, MOST)

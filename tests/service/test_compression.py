"""Content encodings: what comes compressed is decompressed within bounds, what goes out is compressed where it pays."""

import contextlib
import gzip
import io
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from service.codecs.compression import CODERS, coding_for, decompressed
from service.errors import BodyTooLarge, ClientError, MalformedBody, UnsupportedMedia

LIMIT = 10_000
LONG = b"a body that is long enough " * 100


@given(st.sampled_from(sorted(CODERS)), st.binary(max_size=LIMIT))
def test_a_body_comes_back_as_it_was(name: str, body: bytes) -> None:
    assert decompressed(CODERS[name](body), name.encode(), LIMIT) == body


def test_a_stream_of_unknown_length_comes_back_as_it_was() -> None:
    packed = io.BytesIO()
    with zstandard.ZstdCompressor().stream_writer(packed, closefd=False) as writer:
        writer.write(LONG)
    assert decompressed(packed.getvalue(), b"zstd", LIMIT) == LONG


@pytest.mark.parametrize("name", ["identity", "GZIP", " gzip "])
def test_the_name_of_a_coding_is_read_as_http_has_it(name: str) -> None:
    body = LONG if name == "identity" else gzip.compress(LONG)
    assert decompressed(body, name.encode(), LIMIT) == LONG


@pytest.mark.parametrize("name", sorted(CODERS))
def test_a_bomb_is_refused_before_it_goes_off(name: str) -> None:
    bomb = CODERS[name](bytes(2**28))
    with pytest.raises(BodyTooLarge):
        decompressed(bomb, name.encode(), LIMIT)


def test_a_frame_that_lies_about_its_length_is_bounded_as_well() -> None:
    honest = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(2**24))
    with pytest.raises(BodyTooLarge):
        decompressed(honest, b"zstd", LIMIT)


@pytest.mark.parametrize("name", sorted(CODERS))
@pytest.mark.parametrize(
    "damage", [lambda packed: packed[:-1], lambda packed: packed + b"x", lambda packed: b"no", lambda _: b""]
)
def test_a_damaged_body_is_refused(name: str, damage: type[bytes]) -> None:
    with pytest.raises(MalformedBody):
        decompressed(damage(CODERS[name](LONG)), name.encode(), LIMIT)


def test_a_window_that_takes_too_much_memory_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, write_content_size=False)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(MalformedBody):
        decompressed(packed.compress(LONG) + packed.flush(), b"zstd", LIMIT)


@pytest.mark.parametrize("name", [b"br", b"compress", b"gzip, gzip", b"", b"\xff"])
def test_another_coding_is_refused(name: bytes) -> None:
    with pytest.raises(UnsupportedMedia):
        decompressed(zlib.compress(LONG), name, LIMIT)


@given(st.sampled_from(sorted(CODERS)), st.binary(max_size=200))
def test_whatever_bytes_come_they_decode_or_are_refused(name: str, body: bytes) -> None:
    with contextlib.suppress(ClientError):
        assert len(decompressed(body, name.encode(), LIMIT)) <= LIMIT


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        (b"gzip", "gzip"),
        (b"gzip, deflate, br, zstd", "zstd"),
        (b"deflate;q=1.0, gzip;q=0.5", "deflate"),
        (b"GZIP ; q=0.3 , br", "gzip"),
        (b"*", "zstd"),
        (b"*;q=0.5, zstd;q=0", "gzip"),
        (b"gzip;q=0", None),
        (b"identity", None),
        (b"br", None),
        (b"", None),
        (b";;q=,", None),
        (b"a" * 60_000 + b"!, gzip", "gzip"),  # minutes, for who looks for the next coding from every letter on
    ],
)
def test_the_coding_of_an_answer_is_the_one_that_the_client_prefers(accept: bytes, coding: str | None) -> None:
    assert coding_for(accept, "application/json", 2000) == coding


@pytest.mark.parametrize(
    ("accept", "media_type", "size", "coding"),
    [
        (b"gzip", "application/json", 1023, None),
        (b"gzip", "application/json", 1024, "gzip"),
        (b"gzip", "image/png", 9999, None),
        (b"gzip", "application/zip", 9999, None),
        (b"gzip, deflate", "application/x-npy", 9999, None),
        (b"gzip", "application/x-npy", 9999, "gzip"),
        (b"gzip, deflate", "application/dicom", 9999, "gzip"),
    ],
)
def test_an_answer_is_compressed_where_it_pays(accept: bytes, media_type: str, size: int, coding: str | None) -> None:
    assert coding_for(accept, media_type, size) == coding


@pytest.mark.parametrize("name", [b"gzip", b"x-gzip"])
def test_the_members_of_a_gzip_file_are_read_one_after_the_other(name: bytes) -> None:
    assert decompressed(gzip.compress(LONG) + gzip.compress(b"") + gzip.compress(b"end"), name, LIMIT) == LONG + b"end"


def test_members_are_bounded_together() -> None:
    with pytest.raises(BodyTooLarge):
        decompressed(gzip.compress(bytes(LIMIT // 2)) * 3, b"gzip", LIMIT)
    with pytest.raises(MalformedBody):
        decompressed(gzip.compress(b"") * 2000, b"gzip", LIMIT)

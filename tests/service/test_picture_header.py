"""What a picture costs is known from its header, and what costs too much is never opened."""

import io
import struct
import subprocess
import sys
from time import process_time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.budget import Budget
from service.codecs.picture_header import is_animated, look, pages
from service.codecs.pictures import MOST_PARTS, MOST_PASSES, opened, read
from service.errors import BodyTooLarge, MalformedBody, MemoryFull, TooManyPixels
from service.limits import Limits
from tests.conftest import PROJECT

MAX_PIXELS = 2**25
FORMATS = "PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"  # that Pillow writes


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def solid_webp(side: int) -> bytes:
    """A lossless WebP of one colour, in 34 bytes."""
    small = bytearray(encoded(Image.new("RGB", (16, 16), "red"), "WEBP", lossless=True))
    (bits,) = struct.unpack_from("<I", small, 21)
    struct.pack_into("<I", small, 21, bits & ~0xFFFFFFF | (side - 1) | (side - 1) << 14)
    return bytes(small)


def repeated_scans(side: int, times: int) -> bytes:
    whole = encoded(Image.new("L", (side, side), 77), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * times + whole[-2:]


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("size", [(1, 1), (28, 28), (300, 7), (7, 300)])
def test_the_size_is_known(kind: str, size: tuple[int, int]) -> None:
    header = look(encoded(Image.new("RGB", size), kind))
    assert header is not None
    assert header[:3] == (kind, *size)


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}])
def test_the_size_of_every_form_of_webp_is_known(options: dict[str, object]) -> None:
    header = look(encoded(Image.new("RGBA", (300, 7)), "WEBP", **options))
    assert header is not None
    assert header[1:3] == (300, 7)


def test_a_gif_whose_frame_reaches_beyond_its_canvas_is_not_opened() -> None:
    whole = encoded(Image.new("L", (16, 16)), "GIF")
    small = whole[:6] + struct.pack("<HH", 8, 8) + whole[10:]
    assert look(whole)
    assert look(small) is None


MAGIC = (
    b"GIF89a",
    b"\0\0\0\x20ftypavif",
    b"\0\0\0\x20ftypheic",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"RIFF\0\0\0\0WEBP",
    b"BM",
    b"II*\0",
    b"MM\0*",
)


@given(st.sampled_from(MAGIC), st.binary())
def test_damaged_headers_are_none_or_some(magic: bytes, rest: bytes) -> None:
    header = look(magic + rest)
    assert header is None or header.parts >= 1


def test_a_picture_on_its_side_is_still_read() -> None:
    sideways = encoded(Image.new("L", (30, 20), 200), "TIFF", tiffinfo={274: 6})
    assert read(sideways, Limits(1, MAX_PIXELS)).pixels.shape == (30, 20)


def test_a_webp_of_34_bytes_is_not_opened() -> None:
    with pytest.raises(BodyTooLarge, match="MB of memory"):
        read(solid_webp(5792), Limits(1, MAX_PIXELS))
    with pytest.raises(TooManyPixels, match="16000x16000 pixels"):
        opened(solid_webp(16_000), MAX_PIXELS)


def test_scans_are_counted_before_they_are_decoded() -> None:
    started = process_time()
    with pytest.raises(TooManyPixels, match="times"):
        opened(repeated_scans(2000, 400), MAX_PIXELS)
    with pytest.raises(TooManyPixels, match="times"):
        opened(repeated_scans(5000, MOST_PASSES // 2), MAX_PIXELS)
    assert process_time() - started < 2
    assert read(repeated_scans(100, 20), Limits(1, MAX_PIXELS)).pixels.shape == (100, 100)


def test_a_progressive_jpeg_of_no_planes_is_damaged() -> None:
    buffer = io.BytesIO()
    Image.new("L", (16, 16)).save(buffer, "JPEG", progressive=True)
    whole = bytearray(buffer.getvalue())
    whole[whole.index(b"\xff\xc2") + 9] = 0
    with pytest.raises(MalformedBody):
        read(bytes(whole), Limits(1, MAX_PIXELS))


def test_strips_are_counted_before_they_become_objects() -> None:
    rows = MOST_PARTS + 1
    with pytest.raises(TooManyPixels, match="strips"):
        opened(encoded(Image.new("L", (1, rows)), "TIFF", compression="tiff_deflate", strip_size=1), MAX_PIXELS)


def test_a_picture_that_is_not_of_the_size_of_its_header_is_damaged() -> None:
    """libtiff and we agree on the first page; whoever makes us differ is refused."""
    two = bytearray(encoded(Image.new("L", (30, 20)), "TIFF"))
    assert read(bytes(two), Limits(1, MAX_PIXELS)).size == (30, 20)
    with pytest.raises(MalformedBody):
        opened(b"II*\0" + bytes(40), MAX_PIXELS)


def test_memory_is_claimed_while_a_picture_is_decoded_and_no_longer() -> None:
    large = encoded(Image.new("RGBA", (2000, 2000)), "PNG")
    budget = Budget(10**8)
    with budget.lease() as lease:
        read(large, Limits(1, MAX_PIXELS, lease))
        assert lease.held == 0
    with Budget(10**7).lease() as tight, pytest.raises(BodyTooLarge, match="MB of memory"):
        read(large, Limits(1, MAX_PIXELS, tight))
    with budget.lease() as other, budget.lease() as lease:
        other.grow(9 * 10**7)
        with pytest.raises(MemoryFull):
            read(large, Limits(1, MAX_PIXELS, lease))
        assert lease.held == 0


MEASURE = """
import io
from PIL import Image
from service.allocator import give_back_early
from service.budget import Budget
from service.codecs.pictures import read
from service.limits import Limits

def status(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) * 1024

class Greatest(Budget):
    most = 0
    @property
    def held(self): return self._held
    @held.setter
    def held(self, value): self._held, self.most = value, max(self.most, value)

give_back_early()
for mode, kind, options in (
    ("L", "PNG", {}), ("P", "PNG", {"transparency": 0}), ("RGBA", "PNG", {}), ("I;16", "PNG", {}), ("RGB", "WEBP", {}),
    ("RGB", "JPEG", {"progressive": True}), ("RGB", "TIFF", {"compression": "tiff_deflate"}),
):
    with io.BytesIO() as file:
        Image.new(mode, (3400, 3400), 7 if mode in "LPI;16" else "red").save(file, kind, **options)
        data = file.getvalue()
    budget = Greatest(10**9)
    calm = status("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")
    with budget.lease() as lease:
        read(data, Limits(1, 2**25, lease))
    print(mode, kind, status("VmHWM") - calm, budget.most, status("VmRSS") - calm)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_what_is_claimed_is_what_decoding_takes() -> None:
    command = [sys.executable, "-c", MEASURE]
    said = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.splitlines()
    for line in said:
        *picture, taken, claimed, left = line.split()
        assert int(taken) < int(claimed) + 8e6, (picture, taken, claimed)
        assert int(left) < 2e7, (picture, left)
    assert len(said) == 7


def test_strips_give_what_the_whole_would() -> None:
    """Strips are as high as a whole number of the blocks that become a pixel."""
    noise = np.random.default_rng(0).integers(0, 256, (2100, 1501), np.uint8)
    small = read(encoded(Image.fromarray(noise), "PNG"), Limits(1, MAX_PIXELS)).pixels
    np.testing.assert_array_equal(small, np.asarray(Image.fromarray(noise).reduce(3)))


@given(st.binary(max_size=40))
def test_any_bytes_have_pages_and_frames_or_none(rest: bytes) -> None:
    for magic in (b"RIFF\0\0\0\0WEBPVP8X", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"\x89PNG\r\n\x1a\n"):
        pages(magic + rest)
        is_animated(magic + rest)


def test_previews_and_masks_in_a_tiff_are_no_pages() -> None:
    first, *others = (Image.new("L", (8, side)) for side in (8, 9, 10, 11))
    for role, page in enumerate(others):
        page.encoderinfo = {"tiffinfo": {254: (1, 2, 4)[role]}}  # a preview, a page of several, a mask
    buffer = io.BytesIO()
    first.save(buffer, "TIFF", save_all=True, append_images=others)
    assert [(one.page, one.height) for one in pages(buffer.getvalue())] == [(0, 8), (2, 10)]


def cut_into_pieces(kind: str) -> bytes:
    """A sound picture of a million empty pieces, or of pages whose lists of tags lie over one another."""
    if kind == "TIFF":
        tags = struct.pack("<HHIIHHII", 256, 4, 1, 8, 257, 4, 1, 8) * 35_000
        file = bytearray(struct.pack("<2sHIH", b"II", 42, 8, 60_000) + tags)
        for at in range(8, 8 + 16 * 1024, 16):
            struct.pack_into("<H", file, at, 60_000)
            struct.pack_into("<I", file, at + 2 + 12 * 60_000, at + 16)
        return bytes(file)
    whole = encoded(Image.new("L", (8, 8)), kind)
    at, piece = {"PNG": (33, b"\0\0\0\0teSt\xab\x8d\x03\xe8"), "JPEG": (2, b"\xff\xfe\0\2")}[kind]
    return whole[:at] + piece * 10**6 + whole[at:]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_pieces_are_counted_before_they_are_read(kind: str) -> None:
    file = cut_into_pieces(kind)
    started = process_time()
    with pytest.raises(MalformedBody):
        opened(file, MAX_PIXELS)
    assert process_time() - started < 0.5


def test_a_colour_profile_is_inflated_once() -> None:
    profile = encoded(Image.new("L", (8, 8)), "PNG", icc_profile=bytes(1000))
    at = profile.index(b"iCCP") - 4
    chunk = profile[at : at + 12 + int.from_bytes(profile[at : at + 4])]
    assert read(profile, Limits(1, MAX_PIXELS)).size == (8, 8)
    with pytest.raises(MalformedBody):
        opened(profile[:at] + 2 * chunk + profile[at + len(chunk) :], MAX_PIXELS)

"""Picture files become grey arrays, upright and bounded; anything else is refused."""

import base64
import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from service.codecs import pictures
from service.codecs.flattening import ENOUGH
from service.codecs.handwriting import read_digit
from service.codecs.pictures import Picture, read_base64, sheet, write_png
from service.errors import InvalidValue, MalformedBody, QuartetError, TooManyPixels
from service.limits import Limits
from tests.conftest import PROJECT
from training.data.images import Images

MAX_PIXELS = 2**20
GREY = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))


def read(data: bytes, max_pixels: int, field: str | None = None) -> Picture:
    return pictures.read(data, Limits(1, max_pixels), field)


FORMATS = "PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF"  # that Pillow writes


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(side: int) -> bytes:
    """A PNG of a few hundred bytes that says it has side x side pixels."""
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10_000)))
        + chunk(b"IEND", b"")
    )


@given(GREY)
def test_png_survives_a_round_trip(grey: np.ndarray) -> None:
    np.testing.assert_array_equal(read(write_png(grey), MAX_PIXELS).grey, grey)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read(kind: str, digits: Images) -> None:
    seven = digits.pixels[0]
    grey = read(encoded(Image.fromarray(seven), kind), MAX_PIXELS).grey
    assert grey.shape == (28, 28)
    assert np.abs(grey.astype(int) - seven).mean() < (0 if kind in ("PNG", "BMP", "TIFF", "GIF") else 6) + 1e-9


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F", "I;16"])
def test_every_pixel_mode_becomes_the_same_grey(mode: str) -> None:
    grey = np.zeros((8, 8), np.uint8)
    grey[2:5, 3:6] = 255
    picture = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    np.testing.assert_array_equal(read(encoded(picture, "TIFF"), MAX_PIXELS).grey, grey)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    deep = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    np.testing.assert_array_equal(read(encoded(Image.fromarray(deep), "PNG"), MAX_PIXELS).grey.ravel(), np.arange(256))


RANGES = [("u2", 0, 4095), ("u2", 0, 1023), ("u2", 0, 300), ("u2", 30_000, 35_000), ("u2", 60_000, 65_535),
          ("i4", 0, 255), ("f4", 0, 1), ("f4", 0, 255), ("f4", 0.4, 0.6)]  # fmt: skip


@pytest.mark.parametrize(("dtype", "low", "high"), RANGES)
def test_a_digit_shows_whichever_part_of_a_depth_a_picture_uses(
    digits: Images, dtype: str, low: float, high: float
) -> None:
    likest = []
    for one in digits.pixels[:20]:
        page = np.pad(255 - np.kron(one, np.ones((6, 6), np.uint8)), 60, constant_values=255)
        deep = (low + page / 255 * (high - low)).astype(dtype)
        found, expected = (
            read_digit(read(encoded(Image.fromarray(array), "TIFF"), MAX_PIXELS).pixels, (28, 28))
            for array in (deep, page)
        )
        assert found is not None
        assert expected is not None
        likest.append(np.corrcoef(found.image.ravel(), expected.image.ravel())[0, 1])
    assert np.quantile(likest, 0.1) > 0.97


@pytest.mark.parametrize("noise", [0, 1, 30, 300])
@pytest.mark.parametrize("grey", [5_000, 40_000, 64_000])
def test_the_grain_of_a_deep_picture_is_not_spread_to_ink(grey: int, noise: int) -> None:
    deep = np.random.default_rng(0).normal(grey, noise, (200, 200)).astype(np.uint16)
    assert read_digit(read(encoded(Image.fromarray(deep), "PNG"), MAX_PIXELS).pixels, (28, 28)) is None


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
def test_a_deep_picture_is_as_bright_as_the_least_depth_that_holds_it_says(bits: int) -> None:
    deep = np.linspace(0, 0.8 * (2**bits - 1), 64).astype(np.uint16).reshape(8, 8)
    grey = read(encoded(Image.fromarray(deep), "PNG"), MAX_PIXELS).grey
    np.testing.assert_allclose(grey, deep * (255 / (2**bits - 1)), atol=0.51)


def test_values_that_are_no_numbers_are_black() -> None:
    deep = np.full((4, 4), 0.5, np.float32)
    deep[0] = np.nan, np.inf, -np.inf, 1
    grey = read(encoded(Image.fromarray(deep), "TIFF"), MAX_PIXELS).grey
    assert grey[0].tolist() == [0, 0, 0, 255]


def test_colours_are_kept() -> None:
    """Ink and paper may be equally bright."""
    colours = np.zeros((4, 6, 3), np.uint8)
    colours[:, :3] = (200, 30, 30)
    picture = read(encoded(Image.fromarray(colours), "PNG"), MAX_PIXELS)
    np.testing.assert_array_equal(picture.pixels, colours)
    assert picture.grey.shape == (4, 6)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_picture_is_scaled_down_and_remembers_its_size(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = read(encoded(Image.new("RGB", (3000, 2000), "red"), kind, exif=exif), 2**24)
    assert picture.size == ((3000, 2000) if orientation == 1 else (2000, 3000))
    assert ENOUGH / 5 < picture.pixels.shape[0] * picture.pixels.shape[1] <= ENOUGH
    height, width = picture.pixels.shape[:2]
    assert width / height == pytest.approx(picture.size[0] / picture.size[1], rel=0.01)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (40, 255), (255, 0)])
def test_transparent_paper_is_the_opposite_of_its_strokes(mode: str, ink: int, paper: int) -> None:
    pixels = np.zeros((12, 12, 2), np.uint8)
    pixels[3:9, 5:7] = (ink, 255)
    picture = Image.fromarray(pixels, "LA").convert("RGBA")
    grey = read(encoded(picture.convert(mode) if mode != "P" else picture.quantize(), "PNG"), MAX_PIXELS).grey
    np.testing.assert_array_equal(grey, np.where(pixels[..., 1], ink, paper))


def test_transparency_shows_white() -> None:
    assert read(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG"), MAX_PIXELS).grey.min() == 255


def test_a_photograph_is_turned_upright() -> None:
    grey = np.zeros((8, 16), np.uint8)
    grey[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    upright = read(encoded(Image.fromarray(grey), "JPEG", exif=exif), MAX_PIXELS).grey
    assert upright.shape == (16, 8)
    assert upright[:8].mean() > 200 > 50 > upright[8:].mean()


def test_a_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    for side in (7_000, 30_000):
        with pytest.raises(TooManyPixels, match="pixels") as refusal:
            read(bomb(side), MAX_PIXELS, "images[0]")
        assert refusal.value.field == "images[0]"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_truncated_picture_is_malformed(kind: str, digits: Images) -> None:
    whole = encoded(Image.fromarray(digits.pixels[0]), kind)
    for length in (len(whole) // 4, len(whole) // 2, int(len(whole) * 0.7)):
        with pytest.raises(MalformedBody):
            read(whole[:length], MAX_PIXELS)


def test_a_picture_of_a_telephone_is_read() -> None:
    heic = (Path(__file__).parent / "seven.heic").read_bytes()
    with Image.open(PROJECT / "docs" / "examples" / "seven.png") as original:
        expected = np.asarray(original.convert("L").resize((112, 112)), np.int32)
    assert np.abs(read(heic, MAX_PIXELS).grey - expected).mean() < 8
    with pytest.raises(MalformedBody):
        read(heic[:-200], MAX_PIXELS)
    with pytest.raises(TooManyPixels):
        read(heic, 112 * 111)


@pytest.mark.parametrize("kind", ["GIF", "AVIF", "PNG", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    frames = [Image.new("L", (16, 16), value) for value in (0, 100, 200)]
    with pytest.raises(InvalidValue, match="animation"):
        read(encoded(frames[0], kind, save_all=True, append_images=frames[1:]), MAX_PIXELS)


@pytest.mark.parametrize("kind", ["ICNS", "PDF", "EPS"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(MalformedBody):
        read(encoded(Image.new("RGB", (16, 16)), kind), MAX_PIXELS)


@pytest.mark.parametrize("kind", FORMATS)
@given(data=st.data())
def test_damaged_pictures_give_a_picture_or_a_refusal(kind: str, data: st.DataObject) -> None:
    body = bytearray(encoded(Image.fromarray(np.arange(144, dtype=np.uint8).reshape(12, 12)), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(QuartetError):
        assert read(bytes(body), MAX_PIXELS).grey.ndim == 2


@given(st.binary(max_size=200))
def test_bytes_that_are_no_picture_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        read(body, MAX_PIXELS)


@given(st.binary())
def test_base64_is_read_with_and_without_a_data_prefix(body: bytes) -> None:
    text = base64.b64encode(body).decode()
    assert read_base64(text, "x") == read_base64(f"data:image/png;base64,{text}", "x") == body


@given(st.text(max_size=40))
def test_any_text_is_base64_or_refused(text: str) -> None:
    with contextlib.suppress(MalformedBody):
        read_base64(text, "images[3]")


@pytest.mark.parametrize(("count", "size"), [(1, (4, 6)), (2, (4, 14)), (4, (10, 14)), (5, (10, 22)), (16, (22, 30))])
def test_a_sheet_holds_every_picture_in_order(count: int, size: tuple[int, int]) -> None:
    pictures = np.arange(1, count + 1, dtype=np.uint8)[:, None, None] * np.ones((1, 4, 6), np.uint8)
    grid = sheet(pictures)
    assert grid.shape == size
    columns = int(np.ceil(np.sqrt(count)))
    for i in range(count):
        row, column = divmod(i, columns)
        np.testing.assert_array_equal(grid[row * 6 : row * 6 + 4, column * 8 : column * 8 + 6], pictures[i])

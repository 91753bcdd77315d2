"""Picture files in and out, through Pillow."""

import base64
import binascii
import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any, NamedTuple

import numpy as np
import pi_heif
from numpy.typing import NDArray
from PIL import AvifImagePlugin, Image, PngImagePlugin
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from service.codecs.flattening import ENOUGH, STRIP, factor, flat
from service.codecs.picture_header import Header, is_animated, pages
from service.errors import BodyTooLarge, InvalidValue, MalformedBody, QuartetError, TooManyPixels
from service.limits import Limits

URL_SAFE = str.maketrans("-_", "+/")
MEDIA_TYPES = (
    "image/png",
    "image/jpeg",
    "image/webp",
    "image/bmp",
    "image/tiff",
    "image/gif",
    "image/heic",
    "image/heif",
    "image/avif",
)
NO_PICTURE = "Not a PNG, JPEG, WebP, BMP, TIFF, GIF, HEIC or AVIF picture, or a damaged one."
SMALL = 10900  # bytes, as `Encoded.work` counts: a smaller picture costs as much
MOST_PASSES = 64  # over the pixels of a progressive JPEG, of which encoders make about ten
MOST_WORK = 2**29  # pixels in all passes: a second or two
MOST_PARTS = 2**14  # strips or tiles of a TIFF
FRAME_MS = 80  # of an animation

# Bytes of memory.
MOST_BYTES = 200 * 10**6  # for one picture
PART = 512
STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}  # for a pixel, by mode; 4 in others
STRIPWISE = 16  # for a pixel of a strip: its layers while it is flattened

ORIENTATION = 0x0112  # in EXIF
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = (TURNS[5], TURNS[6], TURNS[7], TURNS[8])

# Sizes are checked here, against the settings, before a single pixel is decoded. This is for pictures inside other
# files, which other libraries open: at twice the number Pillow refuses.
Image.MAX_IMAGE_PIXELS = 64 * 2**20
AvifImagePlugin.DEFAULT_MAX_THREADS = 1
pi_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
PngImagePlugin.MAX_TEXT_MEMORY = 2**20  # bytes that comments may decompress to

# Pillow warns of damage in every file that has some, and Python remembers each different text for good.
warnings.filterwarnings("ignore", module="PIL")


class Picture(NamedTuple):
    """`pixels` [H, W] when it is grey or [H, W, 3], 0..255; `size` (width, height) is that of the file, upright."""

    pixels: NDArray[np.uint8]
    size: tuple[int, int]

    @property
    def grey(self) -> NDArray[np.uint8]:
        return self.pixels if self.pixels.ndim == 2 else np.asarray(Image.fromarray(self.pixels).convert("L"))


class Encoded(NamedTuple):
    """A picture file of which the header alone has been read; `field` is its path in the request."""

    data: bytes
    header: Header
    field: str | None = None

    @property
    def pixels(self) -> int:
        return self.header.width * self.header.height

    @property
    def work(self) -> int:
        """In the bytes of numbers that take as long to prepare, where all of it is noise."""
        return max(5 * self.pixels * self.header.passes, SMALL)

    def read(self, limits: Limits, paper: str | None = None) -> Picture:
        """Decode upright by EXIF, with `paper` behind what is transparent, scaled down to ENOUGH pixels.

        Raises MalformedBody when it is no picture or a truncated one, BodyTooLarge or MemoryFull before it is decoded
        where that takes more memory than there is.
        """
        claimed = self.claim(self.header.beside + PART * self.header.parts, limits)
        try:
            with self.image() as picture:
                if self.header.page:
                    picture.seek(self.header.page)
                if not self._has_size(picture.size):
                    raise MalformedBody(NO_PICTURE, self.field)
                if self.header.kind != "WEBP":
                    claimed += self.claim(claimed + _decoding(picture), limits, claimed)
                return reduced(picture, paper)
        finally:
            limits.release(claimed)

    @contextmanager
    def image(self) -> Iterator[ImageFile]:
        """The file in Pillow, while it is decoded. Raises MalformedBody when it is no picture or a truncated one."""
        try:
            with Image.open(io.BytesIO(self.data), formats=(self.header.kind,)) as picture:
                yield picture
        except QuartetError:
            raise
        except Exception:  # Pillow's decoders raise nearly anything on hostile bytes
            raise MalformedBody(NO_PICTURE, self.field) from None

    def _has_size(self, size: tuple[int, int]) -> bool:
        """Whether it is the header's. A TIFF may lie on its side; of HEIF and AVIF an edge may be cut off."""
        expected = sorted((self.header.width, self.header.height))
        if self.header.kind in ("HEIF", "AVIF"):
            return all(one <= most for one, most in zip(sorted(size), expected, strict=True))
        return sorted(size) == expected

    def claim(self, size: int, limits: Limits, already: int = 0) -> int:
        """What is claimed of `size` bytes beside what has been. Raises BodyTooLarge, MemoryFull."""
        if size > MOST_BYTES:
            cost = f"{size // 10**6} MB of memory to decode, limit {MOST_BYTES // 10**6}"
            raise BodyTooLarge(f"The picture would take {cost}: send a smaller one.", self.field)
        limits.claim(size - already, self.field)
        return size - already


def opened(data: bytes, max_pixels: int, field: str | None = None) -> list[Encoded]:
    """The pages of a file: a TIFF may have several, with at most `max_pixels` together.

    Raises MalformedBody when it is no picture, InvalidValue when it is an animation, BodyTooLarge when it has too many
    pixels or takes too long.
    """
    headers = pages(data)
    if not headers:
        raise MalformedBody(NO_PICTURE, field)
    if is_animated(data):
        raise InvalidValue("The picture is an animation: send the frames that count as pictures of their own.", field)
    found: list[Encoded] = []
    for header in headers:
        found.append(checked(Encoded(data, header, field), max_pixels))
        max_pixels -= found[-1].pixels
    return found


def checked(encoded: Encoded, max_pixels: int) -> Encoded:
    """The same, unless it has too many pixels or takes too long: then BodyTooLarge."""
    header, field = encoded.header, encoded.field
    if not (header.width and header.height):
        raise MalformedBody(NO_PICTURE, field)
    if encoded.pixels > max_pixels:
        raise TooManyPixels(f"The picture has {header.width}x{header.height} pixels, limit {max_pixels}.", field)
    if header.passes > MOST_PASSES or encoded.pixels * header.passes > MOST_WORK:
        raise TooManyPixels(f"The picture goes over its pixels {header.passes} times: save it as baseline JPEG.", field)
    if header.parts > MOST_PARTS:
        raise TooManyPixels(f"The picture has {header.parts} strips or tiles, limit {MOST_PARTS}.", field)
    return encoded


def open_all(files: Iterable[bytes], max_pixels: int, field: str) -> list[Encoded]:
    """Pictures, pages of them included, that have at most `max_pixels` together. Raises what `opened` raises."""
    pictures: list[Encoded] = []
    for i, file in enumerate(files):
        found = opened(file, max_pixels, f"{field}[{i}]")
        pictures += found
        max_pixels -= sum(one.pixels for one in found)
    return pictures


def read(data: bytes, limits: Limits, field: str | None = None) -> Picture:
    """The first page. Raises what `opened` and `Encoded.read` raise."""
    return opened(data, limits.max_pixels, field)[0].read(limits)


def _decoding(picture: Image.Image) -> int:
    """Bytes for the pixels as they are decoded and, strip by strip, reduced."""
    whole = picture.width * picture.height
    stored = whole
    if isinstance(picture, JpegImageFile) and picture.mode in ("L", "RGB"):
        stored = min(whole, 4 * whole // factor(whole) ** 2)
    strip = min(whole, max(factor(whole) * picture.width, STRIP))
    return STORED.get(picture.mode, 4) * stored + STRIPWISE * strip + 8 * min(whole, ENOUGH)


def reduced(picture: Image.Image, paper: str | None = None) -> Picture:
    """A file's picture as `Encoded.read` gives it, or the frame of an animation that it stands at."""
    sent, times = picture.size, factor(picture.width * picture.height)
    if times > 1:  # JPEG is decoded at a fraction of its size in a fraction of the time
        picture.draft(None, (ceil(sent[0] / times), ceil(sent[1] / times)))
    drafted = picture.size
    picture.load()
    small = flat(picture, paper)
    turn = TURNS.get(picture.getexif().get(ORIENTATION, 1))
    upright = small if turn is None else small.transpose(turn)
    pixels = np.asarray(upright)
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = np.ascontiguousarray(pixels[..., 0])
    turned = (picture.size != drafted) != (turn in SIDEWAYS)
    return Picture(pixels, sent[::-1] if turned else sent)


def read_base64(text: str, field: str) -> bytes:
    """The bytes of a base64 string: plain or URL-safe, padded or not, in lines or not, behind `data:` or not."""
    plain = "".join((text.partition(",")[2] if text.startswith("data:") else text).split()).rstrip("=")
    try:
        return base64.b64decode(plain.translate(URL_SAFE) + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise MalformedBody("Not base64.", field) from None


def write_png(pixels: NDArray[Any]) -> bytes:
    """PNG of a picture [H, W] or [H, W, 3], uint8."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def png_text(pixels: NDArray[Any]) -> str:
    """The same in base64, for JSON."""
    return base64.b64encode(write_png(pixels)).decode()


def write_animation(frames: NDArray[np.uint8], kind: str) -> bytes:
    """Grey pictures [N, H, W], one after the other and over again; `kind` is WEBP or GIF."""
    buffer, (first, *others) = io.BytesIO(), [Image.fromarray(frame) for frame in frames]
    options: dict[str, Any] = {"lossless": True} if kind == "WEBP" else {"optimize": False}
    first.save(buffer, kind, save_all=True, append_images=others, duration=FRAME_MS, loop=0, **options)
    return buffer.getvalue()


def sheet(pictures: NDArray[np.uint8], gap: int = 2) -> NDArray[np.uint8]:
    """Pictures [N, H, W] side by side on a nearly square sheet, `gap` black pixels between them."""
    count, height, width = pictures.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    cells = np.zeros((rows * columns, height + gap, width + gap), np.uint8)
    cells[:count, :height, :width] = pictures
    grid = cells.reshape(rows, columns, height + gap, width + gap).swapaxes(1, 2)
    return np.ascontiguousarray(grid.reshape(rows * (height + gap), columns * (width + gap))[:-gap, :-gap])

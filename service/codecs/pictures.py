"""Picture files in and out, through Pillow."""

import base64
import binascii
import io
import warnings
from collections.abc import Iterable
from math import ceil, sqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, ImageStat

from service.errors import BodyTooLarge, MalformedBody

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/tiff")
ENOUGH = 1024 * 768  # pixels: what a model is shown of a picture has far fewer

DEPTHS = (1, 2**8 - 1, 2**10 - 1, 2**12 - 1, 2**14 - 1, 2**16 - 1)  # white, in pictures of more than 8 bits
FAINT = 60  # of 255: what their darkest and brightest differ by at least, less than passes for ink in any grain
SPREAD = 16  # times at most, to get there: what is fainter still is noise

# Sizes are checked here, against the settings, before a single pixel is decoded. This is for pictures inside other
# files, which other libraries open: at twice the number Pillow refuses.
Image.MAX_IMAGE_PIXELS = 64 * 2**20

# Pillow warns of damage in every file that has some, and Python remembers each different text for good.
warnings.filterwarnings("ignore", module="PIL")


class Picture(NamedTuple):
    """`pixels` [H, W] when it is grey or [H, W, 3], 0..255; `size` (width, height) is that of the file, upright."""

    pixels: NDArray[np.uint8]
    size: tuple[int, int]

    @property
    def grey(self) -> NDArray[np.uint8]:
        return self.pixels if self.pixels.ndim == 2 else np.asarray(Image.fromarray(self.pixels).convert("L"))


def read(data: bytes, max_pixels: int, field: str | None = None) -> Picture:
    """Decode upright by EXIF, with paper behind what is transparent, scaled down to ENOUGH pixels.

    Raises MalformedBody when it is no picture or a truncated one, BodyTooLarge before decoding a bomb.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > max_pixels:
                size = f"{picture.width}x{picture.height}"
                raise BodyTooLarge(f"The picture has {size} pixels, limit {max_pixels}.", field)
            return _reduced(picture)
    except BodyTooLarge:
        raise
    except Image.DecompressionBombError:
        raise BodyTooLarge(f"The picture has more than {max_pixels} pixels.", field) from None
    except Exception:  # Pillow's decoders raise nearly anything on hostile bytes
        raise MalformedBody("Not a PNG, JPEG, WebP, BMP or TIFF picture, or a damaged one.", field) from None


def read_all(files: Iterable[bytes], max_pixels: int, field: str) -> list[Picture]:
    """Decode pictures that have at most `max_pixels` together. Raises what `read` raises."""
    pictures: list[Picture] = []
    for i, file in enumerate(files):
        pictures.append(read(file, max_pixels, f"{field}[{i}]"))
        width, height = pictures[-1].size
        max_pixels -= width * height
    return pictures


def _reduced(picture: Image.Image) -> Picture:
    sent = picture.size
    factor = ceil(sqrt(sent[0] * sent[1] / ENOUGH))
    if factor > 1:  # JPEG is decoded at a fraction of its size in a fraction of the time
        picture.draft(None, (ceil(sent[0] / factor), ceil(sent[1] / factor)))
    drafted = picture.size
    upright = ImageOps.exif_transpose(picture)
    flat = _flatten(upright)
    rest = ceil(sqrt(flat.width * flat.height / ENOUGH))
    pixels = np.asarray(flat.reduce(rest) if rest > 1 else flat)
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = np.ascontiguousarray(pixels[..., 0])
    return Picture(pixels, sent if upright.size == drafted else sent[::-1])


def _flatten(upright: Image.Image) -> Image.Image:
    """Grey ("L") or "RGB"."""
    if upright.mode.startswith("I") or upright.mode == "F":  # 16-bit and deeper: "L" would clip instead of scale
        return Image.fromarray(_as_bytes(np.array(upright, dtype=np.float32)))
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, _paper(layer)), layer)
    return upright.convert("L" if upright.mode in ("1", "L") else "RGB")


def _as_bytes(deep: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Grey values of a depth that the file does not tell, as 0..255: white is the least depth that holds all of them.

    Values that take up little of it are spread, the brightest staying where it is.
    """
    deep[~np.isfinite(deep)] = 0
    low, high = float(deep.min()), float(deep.max())
    white = next((depth for depth in DEPTHS if high <= depth), high)
    spread = FAINT / 255 * white / (high - low) if high > low else 1
    deep -= high  # in place, for a few kilobytes may decode to a picture of hundreds of megabytes
    deep *= 255 / white * min(max(1, spread), SPREAD)
    deep += 255 / white * high
    return np.rint(np.clip(deep, 0, 255, out=deep), out=deep).astype(np.uint8)


def _paper(layer: Image.Image) -> str:
    """White, unless the picture is light strokes on nothing."""
    alpha = layer.getchannel("A")
    light = ImageStat.Stat(layer.convert("L"), alpha).mean[0] > 127
    return "black" if light and ImageStat.Stat(alpha).mean[0] < 127 else "white"


def read_base64(text: str, field: str) -> bytes:
    """The bytes of a base64 string, with or without a `data:` prefix."""
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
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


def sheet(pictures: NDArray[np.uint8], gap: int = 2) -> NDArray[np.uint8]:
    """Pictures [N, H, W] side by side on a nearly square sheet, `gap` black pixels between them."""
    count, height, width = pictures.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    cells = np.zeros((rows * columns, height + gap, width + gap), np.uint8)
    cells[:count, :height, :width] = pictures
    grid = cells.reshape(rows, columns, height + gap, width + gap).swapaxes(1, 2)
    return np.ascontiguousarray(grid.reshape(rows * (height + gap), columns * (width + gap))[:-gap, :-gap])

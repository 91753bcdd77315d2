"""Picture files in and out, through Pillow."""

import base64
import binascii
import io
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from service.errors import BodyTooLarge, MalformedBody

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/tiff")

# Sizes are checked here, against the settings, before a single pixel is decoded. This is for pictures inside other
# files, which other libraries open: at twice the number Pillow refuses.
Image.MAX_IMAGE_PIXELS = 64 * 2**20

# Pillow warns of damage in every file that has some, and Python remembers each different text for good.
warnings.filterwarnings("ignore", module="PIL")


def read_grey(data: bytes, max_pixels: int, field: str | None = None) -> NDArray[np.uint8]:
    """Decode to grey [H, W], 0..255: upright by EXIF, transparency on white.

    Raises MalformedBody when it is no picture or a truncated one, BodyTooLarge before decoding a bomb.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            if picture.width * picture.height > max_pixels:
                size = f"{picture.width}x{picture.height}"
                raise BodyTooLarge(f"The picture has {size} pixels, limit {max_pixels}.", field)
            return np.asarray(_flatten(picture))
    except BodyTooLarge:
        raise
    except Image.DecompressionBombError:
        raise BodyTooLarge(f"The picture has more than {max_pixels} pixels.", field) from None
    except Exception:  # Pillow's decoders raise nearly anything on hostile bytes
        raise MalformedBody("Not a PNG, JPEG, WebP, BMP or TIFF picture, or a damaged one.", field) from None


def read_all_grey(files: Iterable[bytes], max_pixels: int, field: str) -> list[NDArray[np.uint8]]:
    """Decode pictures that have at most `max_pixels` together. Raises what `read_grey` raises."""
    pictures: list[NDArray[np.uint8]] = []
    for i, file in enumerate(files):
        pictures.append(read_grey(file, max_pixels, f"{field}[{i}]"))
        max_pixels -= pictures[-1].size
    return pictures


def _flatten(picture: Image.Image) -> Image.Image:
    picture.load()
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I") or upright.mode == "F":  # 16-bit and deeper: "L" would clip instead of scale
        deep = np.array(upright, dtype=np.float32)
        peak = 65535.0 if deep.max() > 255 else 255.0
        deep *= 255  # in place, for a few kilobytes may decode to a picture of hundreds of megabytes
        deep /= peak
        return Image.fromarray(np.clip(deep, 0, 255, out=deep).astype(np.uint8))
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return upright.convert("L")


def read_base64(text: str, field: str) -> bytes:
    """The bytes of a base64 string, with or without a `data:` prefix."""
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedBody("Not base64.", field) from None


def write_png(grey: NDArray[Any]) -> bytes:
    """PNG of a grey picture [H, W], uint8."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG", compress_level=1)
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

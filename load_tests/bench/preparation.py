"""What it costs to make a picture of handwriting into a digit, without HTTP and model, in processor time.

python -m load_tests.bench.preparation
"""

import io
from collections.abc import Callable, Iterator
from statistics import median
from time import process_time
from typing import Any

from PIL import Image, ImageOps

from load_tests.bodies import digit
from load_tests.report import table
from load_tests.servers import PROJECT
from service.codecs import handwriting, pictures
from service.limits import Limits

SIDE = 28, 28
ENDLESS = Limits(max_rows=1, max_pixels=2**40)
TIMES = 30


def examples() -> Iterator[tuple[str, bytes]]:
    seven, page = Image.fromarray(digit(7)), Image.open(PROJECT / "docs" / "examples" / "page.jpg")
    yield "28x28, in MNIST's form", _file(seven, "PNG")
    yield "28x28, dark on light", _file(ImageOps.invert(seven), "PNG")
    yield "scan of 400x300, grey", _file(page.convert("L").resize((400, 300)), "PNG")
    yield "photograph of 800x600, in colour", _file(page.resize((800, 600)), "JPEG")
    yield "photograph of 4000x3000, in colour", _file(page.resize((4000, 3000)), "JPEG")


def _file(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


def rows() -> Iterator[dict[str, Any]]:
    for name, file in examples():
        pixels = pictures.read(file, ENDLESS).pixels
        yield {
            "picture": name,
            "decode ms": milliseconds(lambda file=file: pictures.read(file, ENDLESS)),
            "prepare ms": milliseconds(lambda pixels=pixels: handwriting.read_digit(pixels, SIDE)),
        }


def milliseconds(work: Callable[[], object]) -> float:
    """The median of some runs."""
    return 1000 * median(_seconds(work) for _ in range(TIMES))


def _seconds(work: Callable[[], object]) -> float:
    started = process_time()
    work()
    return process_time() - started


if __name__ == "__main__":
    print(table(list(rows())))

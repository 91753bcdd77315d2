"""The event loop works on one request for no longer than 20 ms: all the others wait for it meanwhile.

What counts is the processor time of the loop's thread, which does not depend on what else the machine does.
"""

import asyncio
import base64
import gzip
import json
from collections.abc import Callable, Iterator
from time import thread_time
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from load_tests.bodies import applicants, digit, digit_png, slice_dicom, slice_hu
from load_tests.in_process import exchange, scope_of
from service.engine.repository import Repository
from service.stage_pool import INLINE_BYTES
from tests.conftest import Here, lane_over, npy
from tests.service.test_picture_header import encoded, repeated_scans, solid_webp

MOST_S = 0.02
TRIES = 3  # the best counts: the first one also warms up
JSON, NPY, PNG, CSV, DICOM, FORM = (
    "application/json",
    "application/x-npy",
    "image/png",
    "text/csv",
    "application/dicom",
    "multipart/form-data; boundary=b",
)
DIGITS, IMAGES, CREDIT, CT, SAMPLES = (
    f"/v1/{path}" for path in ("digits/classify", "images/classify", "credit/score", "ct/denoise", "samples/generate")
)


class Case(NamedTuple):
    path: str
    media: str
    body: bytes
    encoding: str = ""
    query: str = ""


def dense(key: str, element: str) -> bytes:
    """As much JSON as is read on the loop."""
    count = (INLINE_BYTES - 64) // (len(element) + 1)
    return b'{"%s": [%s]}' % (key.encode(), ",".join([element] * count).encode())


def form(part: str, *files: bytes) -> bytes:
    head = f'--b\r\ncontent-disposition: form-data; name="{part}"; filename="a"\r\n\r\n'.encode()
    return b"".join(head + file + b"\r\n" for file in files) + b"--b--\r\n"


def base64s(*files: bytes) -> bytes:
    return json.dumps({"images": [base64.b64encode(file).decode() for file in files]}).encode()


def noise(*sides: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, sides, np.uint8)


def png(pixels: np.ndarray) -> bytes:
    return encoded(Image.fromarray(pixels), "PNG")


def examples() -> Iterator[tuple[str, Case]]:
    """What honest clients send."""
    one = digit(7)
    yield "png", Case(DIGITS, PNG, digit_png(7).content)
    yield "json", Case(DIGITS, JSON, json.dumps({"images": [one.tolist()]}).encode())
    yield "npy", Case(DIGITS, NPY, npy(one))
    yield "many digits", Case(DIGITS, NPY, npy(np.stack([one] * 256)))
    yield "base64", Case(DIGITS, JSON, base64s(digit_png(7).content))
    yield "form", Case(DIGITS, FORM, form("image", *[digit_png(7).content] * 16))
    yield "explained", Case(DIGITS, PNG, digit_png(7).content, query="explain=true&model=toy-wary")
    yield "photograph", Case(DIGITS, "image/jpeg", encoded(Image.fromarray(noise(900, 1200, 3)), "JPEG"))
    yield "things", Case(IMAGES, PNG, digit_png(7).content)
    yield "credit", Case(CREDIT, JSON, json.dumps({"applicants": applicants()}).encode())
    yield "table", Case(CREDIT, CSV, table(applicants() * 20))
    yield "slice", Case(CT, DICOM, slice_dicom().content)
    yield "slices", Case(CT, NPY, npy(np.tile(slice_hu(), (4, 4, 4))))
    yield "samples", Case(SAMPLES, JSON, b'{"count": 32, "seed": 1}')


def table(rows: list[dict[str, Any]]) -> bytes:
    lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
    return "\n".join(lines).encode()


def extremes() -> Iterator[tuple[str, Case]]:
    """What costs most for its bytes, or as much as is done on the loop."""
    yield "dense numbers", Case(DIGITS, JSON, dense("images", "0"))
    yield "dense arrays", Case(DIGITS, JSON, dense("images", "[]"))
    yield "dense objects", Case(DIGITS, JSON, dense("images", "{}"))
    yield "empty strings", Case(DIGITS, JSON, dense("images", '""'))
    yield "empty applicants", Case(CREDIT, JSON, dense("applicants", "{}"))
    yield "numbers for applicants", Case(CREDIT, JSON, dense("applicants", "0"))
    yield "labels", Case(SAMPLES, JSON, dense("labels", "0"))
    yield "slices of numbers", Case(CT, JSON, dense("slices", "[[0]]"))
    yield "deep", Case(DIGITS, JSON, b'{"images": ' + b"[" * 1000 + b"]" * 1000 + b"}")
    yield "largest inline picture", Case(DIGITS, PNG, png(noise(80, 80)), query="many=true")
    yield "four small pictures", Case(DIGITS, JSON, base64s(*[png(noise(40, 40))] * 4))
    yield "many small pictures", Case(DIGITS, JSON, base64s(*[png(np.zeros((8, 8), np.uint8))] * 256))
    yield "flat picture", Case(DIGITS, PNG, png(np.full((4500, 6000), 255, np.uint8)))
    yield "flat picture in base64", Case(DIGITS, JSON, base64s(png(np.full((1500, 2000), 255, np.uint8))))
    yield "webp of 34 bytes", Case(DIGITS, "image/webp", solid_webp(5792))
    yield "hundreds of scans", Case(DIGITS, "image/jpeg", repeated_scans(2000, 400))
    yield "parts", Case(DIGITS, FORM, form("image", *[b""] * 900))
    yield "zipped numbers", Case(DIGITS, JSON, gzip.compress(b'{"images": [' + b"0," * 2**20 + b"0]}"), "gzip")
    yield "zipped zeros", Case(DIGITS, JSON, gzip.compress(bytes(2**24)), "gzip")


@pytest.fixture(scope="module")
def wide(repository: Repository) -> Here:
    return lane_over(repository)


def seconds(lane: Here, case: Case) -> float:
    """Processor time of the loop's thread for one request."""
    headers = {b"content-type": case.media.encode()} | ({b"content-encoding": b"gzip"} if case.encoding else {})
    model = {DIGITS: "toy-digits", IMAGES: "toy-images", CREDIT: "toy-credit", CT: "toy-ct", SAMPLES: "toy-samples"}
    query = case.query if "model=" in case.query else f"model={model[case.path]}&{case.query}".rstrip("&")

    async def once() -> float:
        started = thread_time()
        await exchange(lane.app, scope_of("POST", case.path, headers, case.body, query.encode()), [case.body])
        return thread_time() - started

    async def several() -> float:
        return min([await once() for _ in range(TRIES)])

    return asyncio.run(several())


@pytest.mark.parametrize("cases", [examples, extremes])
def test_no_request_keeps_the_loop_for_long(wide: Here, cases: Callable[[], Iterator[tuple[str, Case]]]) -> None:
    kept = {name: seconds(wide, case) for name, case in cases()}
    assert not {name: one for name, one in kept.items() if one > MOST_S}, kept

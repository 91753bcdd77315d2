"""The dearest requests that the default limits allow, on all routes at once: python -m load_tests.dearest

A worker gets the budget that a container of LIMIT bytes would give it. Prints how each kind of request was answered,
the peak of all processes beside the limit, and what they hold once it is quiet again.
"""

import gzip
import io
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from time import monotonic, sleep
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import psutil
from PIL import Image

from load_tests.bodies import SLICE_MM, Body, applicants, as_json, as_npy, digit
from load_tests.report import table
from load_tests.serving import Serving
from service.budget import SHARE
from service.settings import Settings

LIMIT = 2**30
SECONDS = 120.0
SIDE = 5790  # of a square picture with nearly as many pixels as are allowed
QUIET_S = 5


class Dear(NamedTuple):
    """A request; `headers` beside the content type."""

    path: str
    body: Body
    headers: dict[str, str] = {}


def picture(mode: str, kind: str, side: int, **options: object) -> Body:
    buffer = io.BytesIO()
    Image.new(mode, (side, side), 200 if mode == "L" else "red").save(buffer, kind, **options)
    return Body(buffer.getvalue(), f"image/{kind.lower()}")


def requests() -> Iterator[tuple[str, Dear]]:
    digits, slices = np.stack([digit(7)] * 256), np.zeros((8, 1024, 1024), np.int16)
    raw = np.zeros((8, 1024, 1024), np.float32)
    denoise = f"/v1/ct/denoise?spacing_mm={SLICE_MM}"
    infer = b'{"parameters": {"spacing_mm": %f}, ' % SLICE_MM
    infer += b'"inputs": [{"name": "slice", "shape": [8, 1024, 1024], "datatype": "FP32", "parameters": '
    infer += b'{"binary_data_size": %d}}]}' % raw.nbytes
    yield "grey PNG", Dear("/v1/digits/classify?many=true", picture("L", "PNG", SIDE))
    yield "transparent PNG", Dear("/v1/images/classify", picture("RGBA", "PNG", SIDE))
    yield "progressive JPEG", Dear("/v1/digits/classify", picture("RGB", "JPEG", SIDE, progressive=True))
    yield "WebP", Dear("/v1/digits/classify", picture("RGB", "WEBP", 3500))
    yield "explained digits", Dear("/v1/digits/classify?explain=true", as_npy(digits))
    yield "activations", Dear("/v1/models/digits/activations", as_npy(digits[:16]))
    yield "applicants", Dear("/v1/credit/score", as_json({"applicants": (applicants() * 256)[:256]}))
    yield "slices", Dear(denoise, as_npy(slices))
    yield "slices in JSON", Dear(denoise, as_npy(slices[:2]), {"accept": "application/json"})
    yield "samples", Dear("/v1/samples/generate", as_json({"count": 256}))
    yield (
        "raw slices",
        Dear(
            "/v2/models/ct-denoiser/infer",
            Body(infer + raw.tobytes(), "application/octet-stream"),
            {"inference-header-content-length": str(len(infer))},
        ),
    )
    zipped = Body(gzip.compress(b'{"images": [' + b"0," * 2**23 + b"0]}"), "application/json")
    yield "zipped numbers", Dear("/v1/digits/classify", zipped, {"content-encoding": "gzip"})


def asked(port: int, dear: Dear) -> str:
    """The answer's status, or what came in its place."""
    headers = {"content-type": dear.body.media_type, **dear.headers}
    try:
        with urlopen(Request(f"http://127.0.0.1:{port}{dear.path}", dear.body.content, headers), timeout=120) as answer:
            answer.read()
            return str(answer.status)
    except HTTPError as error:
        return str(error.code)
    except OSError as error:
        return type(error).__name__


def held(serving: Serving) -> int:
    """The proportional set size of all processes."""
    return sum(process.memory_full_info().pss for process in serving.processes())


def budget() -> int:
    """What a worker would have for requests in a container of LIMIT bytes."""
    with tempfile.TemporaryDirectory() as folder:
        serving = Serving(Path(folder), workers=1).start()
        calm = serving.memory()
        serving.kill()
    return int(SHARE * (LIMIT - calm - Settings.from_environment().model_memory))


def pressed(serving: Serving, seconds: float) -> tuple[list[dict[str, object]], int]:
    """The outcomes by kind of request, and the peak of all processes."""
    end, peak = Event(), [0]

    def watch() -> None:
        while not end.is_set():
            peak[0] = max(peak[0], held(serving))
            sleep(0.05)

    watcher = Thread(target=watch)
    watcher.start()
    try:
        return outcomes(serving.port, seconds), peak[0]
    finally:
        end.set()
        watcher.join()


def outcomes(port: int, seconds: float) -> list[dict[str, object]]:
    """How each kind of request was answered, with two clients for each."""
    kinds = list(requests())  # which takes a while
    until = monotonic() + seconds

    def ask(dear: Dear) -> Counter[str]:
        answers: Counter[str] = Counter()
        while monotonic() < until:
            answers[asked(port, dear)] += 1
        return answers

    with ThreadPoolExecutor(2 * len(kinds)) as pool:
        running = [(name, pool.submit(ask, dear)) for name, dear in kinds for _ in range(2)]
        return [{"request": name, "answers": dict(one.result())} for name, one in running]


def main(seconds: float) -> None:
    size = budget()
    with tempfile.TemporaryDirectory() as folder:
        serving = Serving(Path(folder), workers=1, memory_budget=size, access_log="off").start()
        try:
            workers = {worker.pid for worker in serving.workers()}
            rows, peak = pressed(serving, seconds)
            sleep(QUIET_S)
            print(table(rows))
            print(f"limit {LIMIT / 1e6:.0f} MB, budget {size / 1e6:.0f} MB, peak {peak / 1e6:.0f} MB,", end=" ")
            print(f"{held(serving) / 1e6:.0f} MB {QUIET_S} s later,", end=" ")
            print("no worker died" if all(map(psutil.pid_exists, workers)) else "a worker died")
        finally:
            serving.kill()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS)

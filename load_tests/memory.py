"""What the service holds in memory: python -m load_tests.memory

With one and with two worker processes, after the start and after requests to every endpoint. Prints a table.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np

from load_tests.bodies import Body, applicants, as_json, as_npy, digit_png, digits_json, slice_hu
from load_tests.report import table
from load_tests.serving import Serving

TIMES = 20
STACK = 16  # slices of 512x512


def requests() -> dict[str, list[tuple[str, Body]]]:
    """Paths and bodies, by what they are an example of; each row of the table adds to those before."""
    scan = np.tile(slice_hu(), (STACK, 4, 4))
    small = [
        ("/v1/digits/classify", digit_png(7)),
        ("/v1/digits/classify?explain=true", digits_json(7)),
        ("/v1/images/classify", digits_json(7)),
        ("/v1/credit/score", as_json({"applicants": applicants()})),
        ("/v1/samples/generate", as_json({"count": 16, "seed": 1})),
    ]
    return {"small requests": small, f"stacks of {STACK} CT slices": [("/v1/ct/denoise", as_npy(scan))]}


def ask(port: int, path: str, body: Body) -> None:
    asked = Request(f"http://127.0.0.1:{port}{path}", body.content, {"content-type": body.media_type})
    with urlopen(asked, timeout=120) as answer:
        answer.read()


def held(serving: Serving) -> int:
    """The proportional set size of all processes in MB: what several share counts once."""
    return round(sum(process.memory_full_info().pss for process in serving.processes()) / 1e6)


def measured(workers: int) -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        serving = Serving(Path(folder), workers=workers).start()
        try:
            row = {"workers": workers, "MB after the start": held(serving)}
            for name, wanted in requests().items():
                for path, body in wanted * TIMES:
                    ask(serving.port, path, body)
                row[f"after {name}"] = held(serving)
            return row
        finally:
            serving.terminate()
            serving.ended()


def rows() -> Iterator[dict[str, int]]:
    for workers in (1, 2):
        yield measured(workers)


if __name__ == "__main__":
    print(table(list(rows())))

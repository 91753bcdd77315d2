"""A million applicants through `quartet batch`, killed in the middle: python -m load_tests.bulk [--rows 1000000]

Makes the table, kills the job half-way, starts it again, and looks whether every row came out once and in order. Then
the rate beside one client over HTTP, and that of CT slices beside the bare session.
"""

import argparse
import csv
import http.client
import io
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time, sleep

import numpy as np
import orjson
import pydicom

from load_tests.report import table
from load_tests.servers import PROJECT
from load_tests.serving import Serving
from service.bulk.runner import Runner
from service.bulk.sources import File
from service.bundle import MAIN, Arrays, Bundle, current
from service.bundle.files import defaults_of
from service.engine.session import Session
from service.quota import cpu_quota
from service.settings import Settings
from service.tasks import TASKS

SECONDS = 5.0  # of the client's rate
TURNS = 20
KIND = "ct-denoising"


def write_applicants(path: Path, rows: int) -> list[dict[str, str]]:
    """German applicants over and over, each with an id."""
    from training.data import german_credit

    known = german_credit()
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", *known[0]])
        writer.writeheader()
        writer.writerows({"id": n, **known[n % len(known)]} for n in range(rows))
    return known


def batch(*words: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "service", "batch", *map(str, words)]
    return subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.DEVNULL, start_new_session=True)


def killed_and_resumed(source: Path, output: Path, rows: int) -> float:
    """Seconds in both runs together. Raises SystemExit where a row is missing, twice, or out of order."""
    began = perf_counter()
    running = batch("credit", source, output)
    while running.poll() is None and (not output.exists() or output.stat().st_size < source.stat().st_size // 2):
        sleep(0.05)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    if batch("credit", source, output).wait() != 0:
        sys.exit("the job did not end well")
    seconds = perf_counter() - began
    with output.open(newline="") as file:
        found = [int(row["id"]) for row in csv.DictReader(file)]
    if found != list(range(rows)):
        sys.exit(f"{len(found)} rows came out of {rows}, or not in order")
    return seconds


def over_http(applicants: list[dict[str, str]], folder: Path) -> float:
    """Rows a second of one client with one applicant a request."""
    bodies = [orjson.dumps({"applicants": [{k: v for k, v in one.items() if k != "risk"}]}) for one in applicants]
    serving = Serving(folder, models="credit").start()
    try:
        connection = http.client.HTTPConnection("127.0.0.1", serving.port)
        answered, began = 0, perf_counter()
        while (seconds := perf_counter() - began) < SECONDS:
            body = bodies[answered % len(bodies)]
            connection.request("POST", "/v1/credit/score", body, {"content-type": "application/json"})
            if connection.getresponse().read()[:9] != b'{"model":':
                sys.exit("the service refused an applicant")
            answered += 1
    finally:
        serving.terminate()
    return answered / seconds


def slices() -> tuple[float, float]:
    """Slices of 512x512 in a second of processor time: through what a process of the job does, and through the bare
    session, by turns, so that other work on the machine slows neither more than the other.
    """
    settings = Settings.from_environment()
    task = next(one for one in TASKS if one.kind == KIND)
    bundle = current(settings.models_dir, defaults_of(settings.models_dir)[KIND])
    runner, session = Runner(task, bundle, settings, {}), Session(bundle, "cpu", 1, MAIN)
    block, inputs = [File(0, "slice.dcm", large_slice())], inputs_of(bundle)
    runner.run(block)
    session.run(inputs)
    job = bare = 0.0
    for _ in range(TURNS):
        began = process_time()
        runner.run(block)
        between = process_time()
        session.run(inputs)
        job, bare = job + between - began, bare + process_time() - between
    return TURNS / job, TURNS / bare


def inputs_of(bundle: Bundle) -> Arrays:
    """Of a slice of 512x512."""
    golden, _ = bundle.golden()
    first = bundle.manifest.inputs[0].name
    return {name: np.zeros((1, 512, 512), np.float32) if name == first else array[:1] for name, array in golden.items()}


def large_slice() -> bytes:
    """The example, four times each way."""
    dataset = pydicom.dcmread(PROJECT / "docs" / "examples" / "slice.dcm")
    pixels = np.tile(dataset.pixel_array, (4, 4))
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelData = pixels.tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    workers = cpu_quota()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        applicants = write_applicants(folder / "applicants.csv", given.rows)
        seconds = killed_and_resumed(folder / "applicants.csv", folder / "scored.csv", given.rows)
        one_client = over_http(applicants, folder / "server")
    job, session = slices()
    rate = given.rows / seconds
    rows = [
        {
            "what": "credit, rows a second",
            "job": rate,
            "beside": one_client,
            "which is": "one client over HTTP",
            "times": rate / one_client,
        },
        {
            "what": "CT 512x512, slices a second of processor time",
            "job": job,
            "beside": session,
            "which is": "the bare session",
            "times": job / session,
        },
    ]
    print(
        f"{given.rows:,} rows with a kill in the middle: each once and in order, {seconds:.0f} s, {workers} processes\n"
    )
    print(table(rows))


if __name__ == "__main__":
    main()

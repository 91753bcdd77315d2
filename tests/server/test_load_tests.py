"""The load tests' payloads are the real data they say, Locust finds its users, and the bench reads wrk's figures."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from load_tests import bodies
from load_tests.bench.wrk import Load, LoadError, parse
from load_tests.load_report import draw, rows_of
from load_tests.report import table
from load_tests.start import copy_bundles
from service.bundle import DEFAULTS, Bundle, current, defaults_of, names
from service.tasks import TASKS
from tests import toys
from tests.conftest import Running, free_port
from training.data import fashion_mnist
from training.data.images import Images

PROJECT = Path(__file__).resolve().parents[2]
WRK = """Running 2s test @ http://127.0.0.1:3000/
  1 threads and 64 connections
  28700 requests in 2.00s, 9.00MB read
"""
FIGURES = {"requests": 28700, "seconds": 2.0, "p50_ms": 4.39, "p99_ms": 5.91, "refused": 0, "broken": 0}


@pytest.mark.parametrize("label", range(10))
def test_each_payload_digit_is_the_first_test_picture_of_its_label(label: int, digits: Images) -> None:
    first = np.flatnonzero(digits.labels == label)[0]
    assert np.array_equal(bodies.digit(label), digits.pixels[first])


def test_the_payload_applicants_are_the_first_rows_of_the_table(applicants: list[dict[str, str]]) -> None:
    sent = [{name: str(value) for name, value in row.items()} for row in bodies.applicants()]
    assert sent == applicants[:8]


def test_the_payload_slice_is_the_one_of_pydicom(ct_slice: bytes) -> None:
    assert bodies.slice_dicom().content == ct_slice
    assert bodies.slice_hu().shape == (128, 128)


@pytest.mark.parametrize("label", bodies.THINGS)
def test_each_payload_thing_is_the_first_test_picture_of_its_label(label: str) -> None:
    clothes = fashion_mnist().test
    first = np.flatnonzero(clothes.labels == bodies.THINGS.index(label))[0]
    assert np.array_equal(bodies.thing(label), clothes.pixels[first])


def of(models: Path) -> list[Bundle]:
    return [current(models, name) for name in names(models)]


FOUND = """
import json
from locust.util.load_locustfile import load_locustfile
users, _ = load_locustfile("load_tests/locustfile.py")
print(json.dumps(list(users)))
"""


def test_locust_finds_a_user_for_each_task() -> None:
    # In a process of its own: importing locust patches the standard library.
    found = subprocess.run([sys.executable, "-c", FOUND], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    users, kinds = set(json.loads(found.stdout)), {one.manifest.task.kind for one in of(PROJECT / "models")}
    # A model may lack a graph that a further task of its kind wants; one task of each kind has a user at the least.
    assert users <= {task.name for task in TASKS if task.kind in {None, *kinds}}
    assert {task.kind for task in TASKS if task.name in users} == {task.kind for task in TASKS} & {None, *kinds}


def test_bundles_are_copied_until_there_are_enough(tmp_path: Path) -> None:
    toys.tensors(tmp_path / "few", "one")
    toys.ct(tmp_path / "few", "two")
    (tmp_path / "few" / DEFAULTS).write_text("tensor-prediction one\nct-denoising two\n")
    copy_bundles(tmp_path / "few", tmp_path / "many", 3)
    assert names(tmp_path / "many") == ["one", "one-2", "two"]
    assert current(tmp_path / "many", "one-2").manifest.name == "one-2"
    copy_bundles(tmp_path / "few", tmp_path / "fewer", 1)
    assert defaults_of(tmp_path / "fewer") == {"tensor-prediction": "one"}  # of what is there


def test_the_last_line_of_wrk_holds_the_figures() -> None:
    assert parse(WRK + json.dumps(FIGURES), "http://127.0.0.1:3000/") == Load(14350, 4.39, 5.91)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"refused": 3}, "3 answers were not 2xx"),
        ({"broken": 1}, "1 requests broke"),
        ({"requests": 0}, "no answer within 2 s"),
    ],
)
def test_a_run_with_failures_is_no_measurement(changed: dict[str, int], says: str) -> None:
    with pytest.raises(LoadError, match=says):
        parse(WRK + json.dumps(FIGURES | changed), "http://127.0.0.1:3000/")


def test_a_table_is_aligned_and_leaves_out_empty_columns() -> None:
    rows = [{"who": "ours", "rate": 14350.0, "of": None}, {"who": "echo, npy", "rate": 0.25, "of": None}]
    assert table(rows).splitlines() == [
        "| who       |   rate |",
        "| --------- | -----: |",
        "| ours      | 14,350 |",
        "| echo, npy |   0.25 |",
    ]


def test_ct_files_are_denoised_or_refused(server: Running, tmp_path: Path) -> None:
    for name in ("CT_small.dcm", "MR_small.dcm"):
        (tmp_path / name).write_bytes(Path(str(get_testdata_file(name))).read_bytes())
    command = [sys.executable, "-W", "ignore", "-m", "load_tests.ct_files", "--url", server.url, str(tmp_path)]
    ran = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=120, check=True)
    small, resonance, *_ = ran.stdout.splitlines()
    assert small == "CT_small.dcm: denoised"
    assert resonance == "MR_small.dcm: 422 The DICOM object is not a CT image."


def test_a_distributed_run_is_judged_and_reported(toy_models: Path, tmp_path: Path) -> None:
    settings = {"QUARTET_MODELS_DIR": str(toy_models), "QUARTET_WORKERS": "1"}
    service = Running(tmp_path / "service", **settings).wait_until_ready()
    environment = {**os.environ, **settings}
    locust = [
        sys.executable,
        "-m",
        "locust",
        "--locustfile",
        "load_tests/locustfile.py",
        "--master-port",
        f"{free_port()}",
    ]
    run = [
        "--headless",
        "--host",
        service.url,
        "--users",
        "4",
        "--spawn-rate",
        "4",
        "--run-time",
        "6s",
        "--shape",
        "ramp",
    ]
    files = ["--csv", f"{tmp_path / 'load'}", "--csv-full-history", "--html", f"{tmp_path / 'load.html'}"]
    port = ["--master-bind-port", locust[-1]]
    workers = [subprocess.Popen([*locust, "--worker"], cwd=PROJECT, env=environment) for _ in range(2)]
    try:
        master = [*locust[:-2], *port, "--master", "--expect-workers", "2", *run, *files, "--most-p99-ms", "0.001"]
        ran = subprocess.run(
            master, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
        service.stop()
    assert ran.returncode == 1, ran.stderr
    assert "the run failed: p99 was" in ran.stderr
    assert "% failed" not in ran.stderr
    *each, together = rows_of(tmp_path / "load")
    assert together["answers"] == sum(int(str(one["answers"]).split(".")[0]) for one in each) > 0
    assert draw(tmp_path / "load").stat().st_size > 10_000
    assert (tmp_path / "load.html").stat().st_size > 10_000

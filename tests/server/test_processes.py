"""The processes of a service: which ports they open, how they are replaced, how they end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from service.__main__ import command_line
from tests.conftest import PROJECT, Running

SMALL = {"QUARTET_MODELS": "credit-logistic", "QUARTET_WORKERS": "2", "QUARTET_DRAIN_DELAY_S": "0"}
SINGLE = SMALL | {"QUARTET_WORKERS": "1"}  # each worker takes seconds to start, on a busy machine many


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two workers with one model."""
    folder = tmp_path_factory.mktemp("server")
    started = Running(folder, TMPDIR=str(folder), **SMALL).wait_until_ready()
    yield started
    started.stop()


def tree(parent: psutil.Process) -> list[psutil.Process]:
    return [parent, *parent.children(recursive=True)]


def listening(parent: psutil.Process) -> set[tuple[str, int]]:
    """Every address at which a process of the tree could be reached by others."""
    return {
        (one.laddr.ip, one.laddr.port)
        for process in tree(parent)
        for one in process.net_connections("inet")
        if one.status == psutil.CONN_LISTEN or one.type == socket.SOCK_DGRAM
    }


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def is_ready(server: Running) -> bool:
    try:
        return httpx.get(f"{server.url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def test_the_service_listens_on_its_own_port_and_on_nothing_else(running: Running) -> None:
    assert listening(psutil.Process(running.process.pid)) == {("127.0.0.1", running.port)}


def test_bentomls_supervisor_takes_no_orders_over_the_network(tmp_path: Path) -> None:
    started = Running(tmp_path, bento="service.app:service", TMPDIR=str(tmp_path), **SINGLE).wait_until_ready()
    assert listening(psutil.Process(started.process.pid)) == {("127.0.0.1", started.port)}
    orders = [path for path in tmp_path.rglob("*") if path.is_socket()]
    assert orders
    assert all(path.parent.stat().st_mode & 0o077 == 0 for path in orders)
    assert started.stop() == 0, started.log


def test_a_busy_port_is_said_in_one_line(running: Running) -> None:
    command = [sys.executable, "-m", "service", "serve", "--port", str(running.port)]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert json.loads(line)["message"] == f"cannot listen on 127.0.0.1:{running.port}: Address already in use"


@pytest.mark.parametrize(
    ("port", "says"), [("65536", "65536 is no port"), ("-1", "-1 is no port"), ("http", "invalid")]
)
def test_what_is_no_port_is_refused(port: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        command_line().parse_args(["serve", f"--port={port}"])
    assert says in capsys.readouterr().err


def test_settings_with_which_no_worker_can_start_end_the_service(tmp_path: Path) -> None:
    started = Running(tmp_path, **(SINGLE | {"QUARTET_MODELS": "nobody"}))
    assert started.process.wait(60) == 1
    assert "holds no bundle of nobody" in started.log
    assert "Traceback" not in started.log


def test_a_worker_that_is_killed_is_replaced_and_the_log_says_what_happened(running: Running) -> None:
    parent = psutil.Process(running.process.pid)
    victim, other = parent.children()
    victim.kill()
    assert within(60, lambda: len(parent.children()) == 2 and victim not in parent.children())
    assert other in parent.children()
    assert f"(process {victim.pid}) was killed by SIGKILL" in running.log
    assert within(60, lambda: all(is_ready(running) for _ in range(20)))


@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGHUP])
def test_the_parent_buries_processes_that_others_leave_to_it(ends: signal.Signals, tmp_path: Path) -> None:
    """As it must when it is process 1 of a container."""
    script = tmp_path / "reaper.py"
    script.write_text(
        "import ctypes, runpy, signal, subprocess, sys\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup may have had it ignored\n"
        "ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans below come here\n"
        "subprocess.run(['sh', '-c', 'sleep 0.1 & exit'])\n"
        "sys.argv = ['service', 'serve', '--port', '0']\n"
        "runpy.run_module('service', run_name='__main__')\n"
    )
    environment = os.environ | SMALL | {"TMPDIR": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    parent = subprocess.Popen([sys.executable, script], cwd=PROJECT, env=environment, stderr=subprocess.DEVNULL)
    try:
        seen = psutil.Process(parent.pid)
        assert within(60, lambda: [is_worker(one) for one in seen.children()] == [True, True])
        parent.send_signal(ends)
        assert parent.wait(60) == 0
        assert not list(tmp_path.glob("quartet-*"))
    finally:
        parent.kill()
        parent.wait()


def is_worker(process: psutil.Process) -> bool:
    try:
        return "service.host" in process.cmdline()
    except psutil.Error:  # a process that nobody has buried
        return False


def test_without_a_temporary_folder_each_worker_is_on_its_own(tmp_path: Path) -> None:
    started = Running(tmp_path, TMPDIR=str(tmp_path / "none"), QUARTET_ADMIN_TOKEN="t" * 16, **SINGLE)
    assert started.wait_until_ready().stop() == 0, started.log


def test_workers_end_when_their_parent_is_killed_and_set_the_port_free(running: Running) -> None:
    """The last test that needs it."""
    workers = psutil.Process(running.process.pid).children()
    running.process.kill()
    running.process.wait()
    _, alive = psutil.wait_procs(workers, 60)
    assert not alive
    assert running.log.count("the parent process is gone") == len(workers) == 2
    with socket.create_server(("127.0.0.1", running.port)):
        pass

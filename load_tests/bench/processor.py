"""What a server costs the machine, whatever it says of itself."""

from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import psutil


def server(url: str) -> psutil.Process:
    """The child of this process that listens at `url`, itself or through its workers."""
    port, own = urlsplit(url).port, psutil.Process()
    for child in own.children():
        for process in (child, *child.children(recursive=True)):
            if any(_listens(one, port) for one in process.net_connections("tcp")):
                return child
    raise psutil.NoSuchProcess(0, msg=f"nobody listens at {url}")


def _listens(connection: Any, port: int | None) -> bool:
    return connection.status == psutil.CONN_LISTEN and bool(connection.laddr) and connection.laddr.port == port


def busy_s(server: psutil.Process) -> float:
    """Processor time of a server and all its workers so far."""
    total = 0.0
    for process in (server, *server.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system
    return total

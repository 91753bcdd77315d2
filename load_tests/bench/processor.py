"""What a server costs the machine, whatever it says of itself."""

import os
from contextlib import suppress
from urllib.parse import urlsplit

import psutil

from load_tests.servers import ServerError


def group(url: str) -> int:
    """The process group of who listens at `url`. Raises ServerError."""
    for one in psutil.net_connections("tcp"):
        if one.status == psutil.CONN_LISTEN and one.pid and one.laddr and one.laddr.port == urlsplit(url).port:
            return os.getpgid(one.pid)
    raise ServerError(f"nobody listens at {url}")


def busy_s(group: int) -> float:
    """Processor time of all processes of a group so far."""
    total = 0.0
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            if os.getpgid(process.pid) == group:
                times = process.cpu_times()
                total += times.user + times.system
    return total

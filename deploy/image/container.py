"""A container of the image under the limits of docs/operate, from its start to its end."""

import json
from collections.abc import Sequence
from subprocess import PIPE, STDOUT, run
from time import monotonic, sleep
from urllib.error import URLError
from urllib.request import urlopen

from deploy.engine import EngineError, engine, said

READY_S = 180
# What Kubernetes' restricted standard asks for, and no place to write but memory.
RESTRICTED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
# cgroup v2 first, then v1.
PEAKS = ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes")


class Container:
    """Runs from the beginning; `remove` ends it in any case."""

    def __init__(self, tag: str, port: int, memory: str, cpus: float, settings: Sequence[str] = ()) -> None:
        """Raises EngineError. `settings` are words like `QUARTET_WORKERS=2`."""
        self._engine, self.port = engine(runs=True), port
        limits = ["--memory", memory, "--cpus", str(cpus), "--publish", f"127.0.0.1:{port}:3000"]
        variables = [word for setting in settings for word in ("--env", setting)]
        self.id = said(self._engine, "run", "--detach", *limits, *RESTRICTED, *variables, tag).strip()

    def wait_until_ready(self) -> None:
        """Raises EngineError with the log of one that does not become it."""
        until = monotonic() + READY_S
        while monotonic() < until and self.state()["Running"]:
            try:
                with urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2):
                    return
            except (URLError, OSError):
                sleep(0.2)
        raise EngineError(f"the container did not become ready; its log:\n{self.log()[-3000:]}")

    def state(self) -> dict[str, object]:
        """`Running` and `ExitCode`, among others."""
        told: list[dict[str, dict[str, object]]] = json.loads(said(self._engine, "inspect", self.id))
        return told[0]["State"]

    def log(self) -> str:
        """Both streams: that of errors goes to the command's own."""
        return run([self._engine, "logs", self.id], stdout=PIPE, stderr=STDOUT, text=True, check=False).stdout

    def python(self, program: str) -> str:
        """What a program in the container writes. Raises EngineError."""
        return said(self._engine, "exec", self.id, "python3", "-c", program).strip()

    def healthy(self) -> bool:
        """What the image's health check says. Docker runs it by itself, Podman when it is asked."""
        if self._engine == "podman":
            said(self._engine, "healthcheck", "run", self.id)
            return True
        return self.state()["Health"]["Status"] == "healthy"  # type: ignore[index]

    def peak(self) -> int:
        """The most memory that it has held, in bytes."""
        return int(self.python(f"print(next(open(p).read() for p in {PEAKS!r} if __import__('os').path.exists(p)))"))

    def stop(self, grace_s: int) -> int:
        """SIGTERM, then SIGKILL after `grace_s`; the exit status."""
        said(self._engine, "stop", "--time", str(grace_s), self.id, most_s=grace_s + 60)
        return int(str(self.state()["ExitCode"]))

    def remove(self) -> None:
        said(self._engine, "rm", "--force", self.id)

"""The HTTP client of the bench: wrk, which costs a fraction of what it measures."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from load_tests.bodies import Body

SCRIPT = Path(__file__).with_name("post.lua")
INSTALL = "The bench needs wrk. Install it with `apt-get install wrk` (Debian, Ubuntu) or `brew install wrk` (macOS)."


class LoadError(Exception):
    """A measurement that is worth nothing."""


class Load(NamedTuple):
    """What a closed loop of connections saw: each sends its next request when the answer is there."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float


def installed() -> bool:
    return shutil.which("wrk") is not None


def post(url: str, body: Body, connections: int, seconds: int, headers: Mapping[str, str] | None = None) -> Load:
    """Raises LoadError unless every request was answered with 2xx."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(body.content)
        file.flush()
        command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
        command += ["--timeout", "60s", "--script", str(SCRIPT), url, "--", file.name]
        command += [f"{name}={value}" for name, value in {"content-type": body.media_type, **(headers or {})}.items()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode != 0:
        raise LoadError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()[-500:]}")
    return parse(done.stdout, url)


def parse(output: str, url: str) -> Load:
    """Read the line that post.lua writes last. Raises LoadError for refused, broken or no requests."""
    result = json.loads(output.splitlines()[-1])
    if result["refused"] or result["broken"]:
        raise LoadError(f"{url}: {result['refused']} answers were not 2xx, {result['broken']} requests broke")
    if result["requests"] == 0:
        raise LoadError(f"{url}: no answer within {result['seconds']:.0f} s; give it more --seconds")
    return Load(result["requests"] / result["seconds"], result["p50_ms"], result["p99_ms"])

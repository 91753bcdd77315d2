"""What a run was measured on."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from service.quota import cpu_quota

PACKAGES = ("bentoml", "uvicorn", "uvloop", "httptools", "onnxruntime", "numpy", "orjson", "pysimdjson")


def describe() -> dict[str, str]:
    """Processor, cores, load before the run, versions."""
    return {
        "processor": _processor(),
        "cores": f"{cpu_quota()} of {os.cpu_count()} usable",
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "client": subprocess.run(["wrk", "--version"], capture_output=True, text=True).stdout.split(" [")[0],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())

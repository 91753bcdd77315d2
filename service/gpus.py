"""Memory and load of this machine's GPUs, by NVIDIA's own library, which BentoML brings; none without a driver."""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple


class Gpu(NamedTuple):
    """`busy` is the share of the last moments in which a kernel ran."""

    name: str
    used: int  # bytes, by whatever process
    size: int
    busy: float


def gpus() -> Sequence[Gpu]:
    """Those that answer, at this moment."""
    nvml = _library()
    if nvml is None:
        return ()
    found = []
    for number in range(nvml.nvmlDeviceGetCount()):
        try:
            found.append(_read(nvml, number))
        except nvml.NVMLError:  # it has fallen off the bus
            continue
    return found


def _read(nvml: Any, number: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(number)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(str(number), memory.used, memory.total, nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)


@cache
def _library() -> Any:
    """Started once; None where there is none or no driver."""
    try:
        nvml = import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    return nvml

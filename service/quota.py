"""How much of the machine is ours: in a container, less than the host has."""

import os
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")


def cpu_quota(cgroup: Path = CGROUP) -> int:
    """Cores this process may use, at least 1: the smallest of the cgroup v2 or v1 quota and the affinity mask."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for quota, period in (_cgroup2(cgroup), _cgroup1(cgroup)):
        if quota > 0 and period > 0:
            allowed = min(allowed, max(1, quota // period))
    return allowed


def memory_limit(cgroup: Path = CGROUP) -> int:
    """Bytes that this container may take, cgroup v2 or v1; half of the machine's memory where nothing limits it."""
    machine = psutil.virtual_memory().total
    limits = (_bytes(cgroup / name) for name in ("memory.max", "memory/memory.limit_in_bytes"))
    return min((limit for limit in limits if 0 < limit < machine), default=machine // 2)


def _bytes(limit: Path) -> int:
    """0 where there is none."""
    try:
        return int(limit.read_text())
    except (OSError, ValueError):
        return 0


def _cgroup2(cgroup: Path) -> tuple[int, int]:
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        return (0, 0) if quota == "max" else (int(quota), int(period))
    except (OSError, ValueError):
        return 0, 0


def _cgroup1(cgroup: Path) -> tuple[int, int]:
    try:
        quota = int((cgroup / "cpu" / "cpu.cfs_quota_us").read_text())
        return quota, int((cgroup / "cpu" / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return 0, 0

"""What the machine has, without importing torch: processors, memory, accelerators."""

import os
from pathlib import Path, PurePosixPath

_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60


def cpu_count() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))


def has_cuda() -> bool:
    """Whether an NVIDIA device is there; whether torch can use it shows when an engine loads."""
    return Path("/dev/nvidia0").exists()


def total_memory() -> int:
    """Bytes of memory, the control group's limit included."""
    return min(_meminfo()["MemTotal"], _cgroup_limit())


def available_memory() -> int:
    """Bytes that can be had without swapping, the control group's limit included."""
    available = _meminfo()["MemAvailable"]
    limit = _cgroup_limit()
    return min(available, limit - _cgroup_used()) if limit < _UNLIMITED else available


def resident_bytes(pid: int) -> int:
    """Resident bytes of a process; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has had, all threads together; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()  # the name before may have blanks
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _meminfo() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    pairs = (line.split(":") for line in lines)
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


def _cgroup_limit() -> int:
    """The tightest memory limit of this process's control groups."""
    limits = (_read(folder / "memory.max") for folder in _cgroup_folders())
    return min([limit for limit in limits if limit is not None], default=_UNLIMITED)


def _cgroup_used() -> int:
    """Bytes charged to this process's own control group."""
    used = (_read(folder / "memory.current") for folder in _cgroup_folders())
    return next((value for value in used if value is not None), 0)


def _cgroup_folders() -> list[Path]:
    """This process's control group (version 2) and those around it, innermost first."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    own = next((line[3:] for line in lines if line.startswith("0::")), "/")
    path = PurePosixPath(own.lstrip("/"))
    return [_CGROUP / part for part in (path, *path.parents)]


def cpu_quota() -> float | None:
    """Processors' time that the control groups allow, such as 1.5; None: all there is."""
    quotas = []
    for folder in _cgroup_folders():
        try:
            quota, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if quota != "max":
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def cpu_flags() -> frozenset[str]:
    """What the processor can do, in Linux' words; empty where /proc/cpuinfo does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    found = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return frozenset(next(found, "").split())


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # not there, or "max"
        return None

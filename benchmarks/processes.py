"""What running processes use, as the kernel counts it; sums over a guard and all it started."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TICKS_A_S: Final = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """The process and everything below it; [] when it is gone."""
    try:
        tasks = [path.name for path in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []
    found = [pid]
    for task in tasks:
        text = _read(f"/proc/{pid}/task/{task}/children")
        for child in text.split():
            found += family(int(child))
    return found


def families(pids: Iterable[int]) -> list[int]:
    """Those of several."""
    return [each for pid in pids for each in family(pid)]


def cpu_s(pids: Iterable[int]) -> float:
    """User and system time so far, all threads; steps of 10 ms a process."""
    return sum(_cpu_s(pid) for pid in pids)


def _cpu_s(pid: int) -> float:
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_S if fields else 0.0


def rss_mb(pids: Iterable[int]) -> float:
    """Resident memory, MB. Of several processes, what they share is counted for each."""
    return round(sum(_status(pid, "VmRSS:") for pid in pids) / 1000, 2)


def threads(pids: Iterable[int]) -> int:
    """How many."""
    return sum(_status(pid, "Threads:") for pid in pids)


def open_files(pids: Iterable[int]) -> int:
    """Open file descriptors, sockets and pipes too."""
    return sum(_count(Path(f"/proc/{pid}/fd")) for pid in pids)


def _count(folder: Path) -> int:
    try:
        return sum(1 for _ in folder.iterdir())
    except OSError:
        return 0  # it ended just now


def _status(pid: int, name: str) -> int:
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0


def _read(path: str) -> str:
    """ "" of a process that is gone."""
    try:
        return Path(path).read_text("ascii")
    except OSError:
        return ""

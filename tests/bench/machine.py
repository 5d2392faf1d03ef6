"""What the kernel says of processes and of the machine: CPU time, memory, descriptors, cores. Linux only."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Cores:
    """Where what runs: one core for the gateway, another for load and upstream; None where there is but one."""

    gateway: int | None
    load: int | None

    @classmethod
    def of_this_machine(cls) -> Cores:
        allowed = sorted(os.sched_getaffinity(0))
        return cls(allowed[0], allowed[1]) if len(allowed) > 1 else cls(None, None)

    def __str__(self) -> str:
        if self.gateway is None:
            return "no pinning: one core only"
        return f"gateway on core {self.gateway}, load generator and upstream on core {self.load}"


def tree(pid: int) -> list[int]:
    """A process and all below it. Those that have gone are left out."""
    found = [pid]
    try:
        for task in os.listdir(_PROC / str(pid) / "task"):
            children = (_PROC / str(pid) / "task" / task / "children").read_text()
            for child in children.split():
                found += tree(int(child))
    except OSError:
        pass
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process with all its threads and living children, to the nanosecond."""
    total = 0.0
    for each in tree(pid):
        try:
            total += time.clock_gettime(_clock(each))
        except OSError:
            continue
    return total


def _clock(pid: int) -> int:
    # The CPU clock of another process, as clock_getcpuclockid(3) makes it.
    return (~pid << 3) | 2


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory and descriptors of a process tree. `pss` shares what is shared."""

    rss_mib: float
    pss_mib: float
    descriptors: int
    threads: int


def footprint(pid: int) -> Footprint:
    """What a process tree holds now."""
    rss = pss = descriptors = threads = 0
    for each in tree(pid):
        folder = _PROC / str(each)
        try:
            for line in (folder / "smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    rss += int(line.split()[1])
                elif line.startswith("Pss:"):
                    pss += int(line.split()[1])
            descriptors += len(os.listdir(folder / "fd"))
            threads += len(os.listdir(folder / "task"))
        except OSError:
            continue
    return Footprint(round(rss / 1024, 1), round(pss / 1024, 1), descriptors, threads)


@dataclass(frozen=True, slots=True)
class Load:
    """CPU seconds of the whole machine since it started: at work, and stolen by the host."""

    busy: float
    stolen: float


def machine_load() -> Load:
    """The machine's counters now."""
    fields = [int(field) for field in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return Load((sum(fields) - idle) / _TICK, fields[7] / _TICK)


def describe() -> dict[str, object]:
    """The machine, for the record of a run."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in (_PROC / "cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        "unknown",
    )
    memory = next(line for line in (_PROC / "meminfo").read_text().splitlines() if line.startswith("MemTotal:"))
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory.split()[1]) // 1024,
        "kernel": os.uname().release,
        "python": platform.python_version(),
    }

"""How much processor time and memory does a process take, with everything that it started?

Processor time is the figure that a busy machine can't spoil: it is the same however long the work had to wait.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
UTIME, STIME, CUTIME, CSTIME, PARENT = 11, 12, 13, 14, 1
"""Fields of /proc/PID/stat, counted from the state behind the name."""
IDLE, IOWAIT, STEAL, GUEST = 3, 4, 7, 8
"""Fields of the first line of /proc/stat; what guests take is counted in the fields before, too."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor seconds since the process began, and the megabytes it holds now."""

    cpu_seconds: float
    rss_mb: float


def usages(roots: Mapping[str, int]) -> dict[str, Usage]:
    """The usage of each process named, its children and children's children included. One that has ended counts nothing."""
    stats = _stats()
    children = defaultdict(list)
    for pid, fields in stats.items():
        children[int(fields[PARENT])].append(pid)
    return {name: _usage(_family(pid, children), stats) for name, pid in roots.items()}


@dataclass(frozen=True, slots=True)
class Wanted:
    """Ticks of all processors that somebody had work for since the machine started, and of them those that its host gave to others."""

    ticks: int
    stolen: int

    def stolen_since(self, before: "Wanted") -> float:
        """How much of what was wanted since then went to others, in per cent."""
        return 100 * (self.stolen - before.stolen) / max(1, self.ticks - before.ticks)


def wanted() -> Wanted:
    """Until now. A machine of its own loses nothing."""
    fields = [int(field) for field in (PROC / "stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]]
    return Wanted(sum(fields[:GUEST]) - fields[IDLE] - fields[IOWAIT], fields[STEAL])


def per_sale(before: Mapping[str, Usage], after: Mapping[str, Usage], sales: int) -> dict[str, float]:
    """Microseconds of processor time that each process took for one sale."""
    return {name: round((after[name].cpu_seconds - before[name].cpu_seconds) / sales * 1e6, 1) for name in before if name in after}


def _stats() -> dict[int, list[str]]:
    found = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                found[int(entry.name)] = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return found


def _family(root: int, children: Mapping[int, list[int]]) -> list[int]:
    family = [root]
    for pid in family:
        family += children.get(pid, ())
    return family


def _usage(family: Iterable[int], stats: Mapping[int, list[str]]) -> Usage:
    living = [pid for pid in family if pid in stats]
    # Children that ended are in the C fields of whoever waited for them, living ones aren't: nothing is counted twice.
    ticks = sum(int(stats[pid][field]) for pid in living for field in (UTIME, STIME, CUTIME, CSTIME))
    memory_kb = _kilobytes(living[0], "status", "VmRSS:") if len(living) == 1 else sum(_shared_out(pid) for pid in living)
    return Usage(cpu_seconds=ticks / TICKS, rss_mb=round(memory_kb / 1024, 1))


def _shared_out(pid: int) -> int:
    """Memory with what is shared (PostgreSQL's buffers) divided among those who share it; plain RSS where that is not told."""
    return _kilobytes(pid, "smaps_rollup", "Pss:") or _kilobytes(pid, "status", "VmRSS:")


def _kilobytes(pid: int, file: str, label: str) -> int:
    with suppress(OSError):
        for line in (PROC / str(pid) / file).read_text(encoding="utf-8").splitlines():
            if line.startswith(label):
                return int(line.split()[1])
    return 0

"""How fast is each projection built again, in how much memory? ``python -m bench.rebuild [projection …]``, on a database that has a log.

Needs MAGASIN_DATABASE_URL: for instance that of a system into which ``make load-year`` brought a year of baskets, and no process of the
operators' jobs on it, which would take a rebuild over that it finds waiting. Builds each projection
beside the live one, compares the two, gives the build up again; nobody sees anything of it. The rate is that of the whole: folding the log,
making tables and indexes, comparing; beside it stands that of folding alone. Memory is the most that the process ever took until a quarter,
a half and all of the log was folded; each projection has a process of its own.
"""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Engine

from infra.database import engine_for
from infra.garbage import settle
from infra.settings import settings
from operations import job, rebuild, swap
from operations.job import Job
from operations.rebuild import STRIDE_EVENTS, Rebuild
from projections import PROJECTIONS

BY: Final = "bench"
ENOUGH_PER_SECOND: Final = 30_000
ROW: Final = "{:<18} {:>9} {:>6} {:>7} {:>8} {:>10} {:>9} {:>9} {:>16} {:>7}"
PARTS: Final = (0.25, 0.5, 1.0)


def measure(engine: Engine, name: str) -> float:
    """Build one projection again and print a line; the events a second."""
    began, cpu = time.perf_counter(), time.process_time()
    found = rebuild.start(engine, name, by=BY, reason="measured")
    seconds = dict.fromkeys(("fold", "finish", "follow"), 0.0)
    memory: dict[float, int] = {}
    try:
        while found.moves:
            step = time.perf_counter()
            phase = str(found.place["phase"])
            Rebuild(engine).move(found, STRIDE_EVENTS)
            seconds[phase] += time.perf_counter() - step
            found = _seen(engine, found)
            memory |= {part: _megabytes() for part in PARTS if part not in memory and found.done >= part * (found.total or 0)}
        whole = time.perf_counter() - began
    finally:
        swap.cancel(engine, found.id, by=BY, reason="measured")
    rate = found.done / whole
    parts = [f"{each:.1f}" for each in seconds.values()]
    rates = [f"{each:,.0f}" for each in (rate, found.done / seconds["fold"])]
    taken = " ".join(str(memory[part]) for part in PARTS)
    cells = found.place["diff"]["cells"]
    sys.stdout.write(ROW.format(name, found.done, *parts, f"{time.process_time() - cpu:.1f}", *rates, taken, cells) + "\n")
    sys.stdout.flush()
    return rate


def _megabytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024


def _seen(engine: Engine, found: Job) -> Job:
    with engine.connect() as connection:
        return job.find(connection, found.id) or found


def main(names: Sequence[str]) -> int:
    """Measure these projections, or all of them. 1 when one is slower than it should be."""
    if len(names) == 1:
        return _one(*names)
    sys.stdout.write(f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    heads = ("fold s", "finish", "compare", "processor", "events/s", "folded/s", "MB at 1/4 1/2 1", "differ")
    sys.stdout.write(ROW.format("projection", "events", *heads) + "\n")
    sys.stdout.flush()
    commands = [[sys.executable, "-m", "bench.rebuild", name] for name in names or sorted(PROJECTIONS)]
    codes = [subprocess.run(command, check=False).returncode for command in commands]  # noqa: S603 - this module itself
    return max(codes)


def _one(name: str) -> int:
    engine = engine_for(settings(), name="bench-rebuild")
    settle()
    rate = measure(engine, name)
    engine.dispose()
    return 0 if rate >= ENOUGH_PER_SECOND else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

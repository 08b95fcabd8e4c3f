"""How fast is each projection built again, in how much memory? ``python -m bench.rebuild [projection …]``, on a database that has a log.

Needs MAGASIN_DATABASE_URL: for instance that of a system into which ``make load-year`` brought a year of baskets. Builds each projection
beside the live one, compares the two, gives the build up again; nobody sees anything of it. The rate is that of the whole: folding the log,
making tables and indexes, comparing.
"""

import os
import resource
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
ROW: Final = "{:<18} {:>9} {:>8} {:>8} {:>8} {:>9} {:>9} {:>8} {:>7}"


def measure(engine: Engine, name: str) -> float:
    """Build one projection again and print a line; the events a second."""
    began, cpu = time.perf_counter(), time.process_time()
    found = rebuild.start(engine, name, by=BY, reason="measured")
    seconds = dict.fromkeys(("fold", "finish", "follow"), 0.0)
    try:
        while found.moves:
            step = time.perf_counter()
            phase = str(found.place["phase"])
            Rebuild(engine).move(found, STRIDE_EVENTS)
            seconds[phase] += time.perf_counter() - step
            found = _seen(engine, found)
        whole = time.perf_counter() - began
    finally:
        swap.cancel(engine, found.id, by=BY, reason="measured")
    rate = found.done / whole
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024
    parts = [f"{each:.1f}" for each in seconds.values()]
    cells = found.place["diff"]["cells"]
    sys.stdout.write(ROW.format(name, found.done, *parts, f"{time.process_time() - cpu:.1f}", f"{rate:,.0f}", memory, cells) + "\n")
    sys.stdout.flush()
    return rate


def _seen(engine: Engine, found: Job) -> Job:
    with engine.connect() as connection:
        return job.find(connection, found.id) or found


def main(names: Sequence[str]) -> int:
    """Measure these projections, or all of them. 1 when one is slower than it should be."""
    engine = engine_for(settings(), name="bench-rebuild")
    settle()
    load = f"load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    sys.stdout.write(f"seconds of each phase, then of the processor; {load}\n")
    sys.stdout.write(ROW.format("projection", "events", "fold", "finish", "compare", "processor", "events/s", "MB", "differ") + "\n")
    rates = [measure(engine, name) for name in names or sorted(PROJECTIONS)]
    engine.dispose()
    return 0 if min(rates) >= ENOUGH_PER_SECOND else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

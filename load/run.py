"""How does one cell after the other get its load, and who stops it when it takes too long?"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.usage import Usage
from load.ground import Ground, Unusable
from load.matrix import Cell, Matrix, Taken, Told
from magasin.house import ROOT
from magasin.processes import dying_with_parent

PREPARE_SECONDS: Final = 600
"""Signing in, looking at the stock before and after, waiting for the last events."""
LOCUST: Final = Path(sys.prefix) / "load" / "bin" / "locust"
"""In an environment of its own: nothing else of the project should meet what it changes in Python's sockets."""
FILE: Final = Path(__file__).with_name("locustfile.py")
GENERATOR: Final = "locust"


@dataclass(frozen=True)
class Bounds:
    """How much the whole run, and one cell, may take."""

    minutes: float
    requests: int
    think_seconds: float


def loaded(matrix: Matrix, ground: Ground, folder: Path, bounds: Bounds, told: Callable[[str], None]) -> Iterator[Cell]:
    """Every cell, as it is done. Raises Unusable; ends with TimeoutError when the minutes are over."""
    over_at = time.monotonic() + bounds.minutes * 60
    for algorithm, instances in matrix.deployments() if ground.changes else [(None, None)]:
        if algorithm is not None and instances is not None:
            told(f"Deploying {instances} {algorithm} …")
            ground.deploy(algorithm, instances)
        for users in matrix.users:
            if time.monotonic() > over_at:
                raise TimeoutError(f"the {bounds.minutes:g} minutes were over")
            before, began = ground.usages(), time.monotonic()
            found, generator = locust(ground, users, matrix.seconds, folder, bounds)
            after, seconds = ground.usages(), time.monotonic() - began
            taken = {
                name: Taken(cpu_percent=_per_cent(before.get(name), after[name], seconds), rss_mb=after[name].rss_mb) for name in after
            }
            taken[GENERATOR] = Taken(cpu_percent=round(generator / seconds * 100, 1), rss_mb=0.0)
            yield Cell(
                algorithm=algorithm, instances=instances, users=users, told=found, taken=taken, machine_load=round(os.getloadavg()[0], 1)
            )


def locust(ground: Ground, users: int, seconds: int, folder: Path, bounds: Bounds) -> tuple[Told, float]:
    """Load it once: what was found, and the processor seconds that loading took. Raises Unusable."""
    if not LOCUST.exists():
        raise Unusable("Locust is not installed: make load-tools")
    result = folder / "cell.json"
    result.unlink(missing_ok=True)
    how = ("--headless", "--only-summary", "--loglevel", "WARNING", "--host", ground.url)
    amount = ("--users", str(users), "--spawn-rate", str(users), "--run-time", f"{seconds}s")
    command = (str(LOCUST), "-f", str(FILE), *how, *amount)
    before = os.times()
    with (folder / "locust.log").open("ab") as log:
        done = subprocess.run(
            dying_with_parent(command),
            cwd=ROOT,
            env={**os.environ, **ground.env, **_variables(result, folder, bounds)},
            stdout=log,
            stderr=log,
            check=False,
            timeout=seconds + PREPARE_SECONDS,
        )
    after = os.times()
    if not result.exists():
        raise Unusable(f"the load ended with {done.returncode} before it told anything. Its log: {folder / 'locust.log'}")
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return Told.model_validate_json(result.read_bytes()), used


def _variables(result: Path, folder: Path, bounds: Bounds) -> Mapping[str, str]:
    return {
        "MAGASIN_LOAD_RESULT": str(result),
        "MAGASIN_LOAD_FOLDER": str(folder),
        "MAGASIN_LOAD_MOST_REQUESTS": str(bounds.requests),
        "MAGASIN_LOAD_THINK_SECONDS": str(bounds.think_seconds),
    }


def _per_cent(before: Usage | None, after: Usage, seconds: float) -> float:
    """Of one core. What the instances of an earlier deployment took, which ended, is nobody's."""
    return round((after.cpu_seconds - (before.cpu_seconds if before else 0.0)) / max(0.001, seconds) * 100, 1)

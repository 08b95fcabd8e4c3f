"""``python -m bench``: everything is started, measured side by side, checked, shown and written to ``.magasin/bench.json``."""

import asyncio
import os
import sys
from dataclasses import replace
from time import monotonic
from typing import Annotated, Final

import typer
from rich.console import Console

from bench.check import WrongFiguresError
from bench.measure import CASES, Bench, Found, RefusedError, Timing
from bench.plan import Quantiles
from bench.report import Results, facts_about, machine, show, write
from bench.system import started
from infra.settings import settings
from magasin import house
from magasin.install import CannotInstallError, install
from magasin.servers import missing
from magasin.supervise import ChildFailedError

FULL: Final = Timing(rounds=3, warmup_seconds=1.5, window_seconds=5.0, latency_seconds=10.0)
QUICK: Final = Timing(rounds=1, warmup_seconds=1.0, window_seconds=2.0, latency_seconds=4.0)
BUSY_LOAD: Final = 1.0
UNSEEN_WIDTH: Final = 140
"""Columns where there is no terminal that has its own."""

FILE: Final = "bench.json"
PER_CENT: Final = (50, 80)


def main(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="One short round: whether it works, not how fast it is.")] = False,
    lines: Annotated[int, typer.Option(min=1, max=10, help="Lines of a sale.")] = 2,
) -> None:
    """Measure the pipeline and its alternatives on this machine, with private servers."""
    console = Console(width=None if sys.stdout.isatty() else UNSEEN_WIDTH)
    try:
        asyncio.run(_measure(replace(QUICK if quick else FULL, lines=lines), console))
    except (CannotInstallError, ChildFailedError, RefusedError, WrongFiguresError) as error:
        console.print(f"[bold red]The benchmark failed:[/] {error}", highlight=False)
        raise SystemExit(1) from None


async def _measure(timing: Timing, console: Console) -> None:
    if missing({}):
        install(missing({}))
    began, this_machine = monotonic(), machine()
    if this_machine["load_before"] > BUSY_LOAD:
        console.print(f"[yellow]This machine is busy (load {os.getloadavg()[0]:.1f}): rates mean little, CPU per sale still does.[/]")
    home = house.home_of(settings())
    console.print("Starting private servers, three seeded databases and the processes …")
    async with started(home) as system:
        console.print(f"ready after {monotonic() - began:.0f} s")
        facts = {**await facts_about(system), "machine": this_machine}
        bench = Bench(system, timing)
        found = await _rounds(bench, timing, console)
        latency: dict[int, tuple[float, Quantiles, Quantiles]] = {}
        for per_cent in PER_CENT:
            latency[per_cent] = await _latency(bench, found, per_cent)
            console.print(f"latency at {per_cent} %: p50 {latency[per_cent][2].p50_ms:g} ms, p99 {latency[per_cent][2].p99_ms:g} ms")
    results = Results(found, latency, timing)
    show(console, results, facts)
    write(home / FILE, results.document({**facts, "seconds": round(monotonic() - began)}))
    console.print(f"Written to {home / FILE} after {monotonic() - began:.0f} s.")


async def _rounds(bench: Bench, timing: Timing, console: Console) -> dict[str, Found]:
    """Every case once a round, there and back: what slows the machine down for a while slows neighbours alike."""
    found: dict[str, Found] = {case.name: Found() for case in CASES}
    for number in range(timing.rounds):
        for case in CASES if number % 2 == 0 else reversed(CASES):
            outcome = await bench.saturated(case, found[case.name])
            console.print(
                f"round {number + 1}, {case.name}: {found[case.name].rates[-1]:,.0f} sales/s, accepted "
                f"{outcome.window_accepted / outcome.window_seconds:,.0f}/s; {outcome.on_their_way} on their way at the end",
                highlight=False,
                soft_wrap=True,
            )
    return found


async def _latency(bench: Bench, found: dict[str, Found], per_cent: int) -> tuple[float, Quantiles, Quantiles]:
    rate = found["pipeline_spread"].rate * per_cent / 100
    into = found[f"latency_{per_cent}"] = Found()
    outcome = await bench.paced(rate, into)
    if outcome.accepted is None or outcome.visible is None:
        raise AssertionError
    return rate, outcome.accepted, outcome.visible


if __name__ == "__main__":
    typer.run(main)

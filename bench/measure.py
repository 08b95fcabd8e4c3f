"""How is one case measured, and what comes of all its rounds?"""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from secrets import randbits
from statistics import median
from typing import Final

from bench.check import check
from bench.plan import Arrivals, Line, Outcome, Plan, Progress
from bench.sales import HOT, PROFILES, SPREAD, Profile, Sold, sales
from bench.system import PIPELINE, System, Target, address
from bench.usage import Usage, per_sale, usages
from magasin import house
from projections.checkpoint import LIVE

RECORDED: Final = "SELECT sum(seq) FROM store_head"
PROJECTED: Final = (
    f"SELECT min(seq) FROM (SELECT sum(seq) AS seq FROM checkpoint WHERE generation = {LIVE} GROUP BY projection) AS position"  # noqa: S608
)
GENERATOR: Final = "generator"
CONNECTIONS: Final = 64
BATCH_CONNECTIONS: Final = 8
BATCH: Final = 100
MOST_SINGLES_PER_SECOND: Final = 9_000
MOST_BATCHED_PER_SECOND: Final = 30_000
ON_THEIR_WAY: Final = 1_500
"""Sales accepted and not yet in the reports: half a second's. More would only be a growing backlog."""
BATCHED_ON_THEIR_WAY: Final = 8_000
PATIENCE_SECONDS: Final = 180


@dataclass(frozen=True, slots=True)
class Case:
    """One figure to find."""

    name: str
    target: str
    profile: Profile
    batch: int = 1
    query: str | None = None


CASES: Final = (
    Case("pipeline_hot", PIPELINE, HOT, query=PROJECTED),
    Case("sync_hot", "sync", HOT),
    Case("pipeline_spread", PIPELINE, SPREAD, query=PROJECTED),
    Case("sync_spread", "sync", SPREAD),
    Case("faststream", "faststream", SPREAD, query=RECORDED),
    Case("floor", "floor", SPREAD),
    Case("floor_shortcut", "floor_shortcut", SPREAD),
    Case("batch", PIPELINE, SPREAD, batch=BATCH, query=RECORDED),
    Case("batch_projected", PIPELINE, SPREAD, batch=BATCH, query=PROJECTED),
)
LATENCY: Final = Case("latency", PIPELINE, SPREAD)


class RefusedError(RuntimeError):
    """A sale that should have been accepted was not."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long everything is measured, and how often."""

    rounds: int
    warmup_seconds: float
    window_seconds: float
    latency_seconds: float
    lines: int = 2


@dataclass(slots=True)
class Found:
    """What the rounds of a case came to."""

    rates: list[float] = field(default_factory=list)
    cpu_us: list[dict[str, float]] = field(default_factory=list)
    rss_mb: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """The median of the rounds, sales a second."""
        return median(self.rates)

    @property
    def cpu_us_per_sale(self) -> dict[str, float]:
        """The median of the rounds for each process, and of their sums."""
        names = self.cpu_us[0]
        return {name: round(median(each[name] for each in self.cpu_us), 1) for name in names} | {
            "total": round(median(sum(each.values()) for each in self.cpu_us), 1)
        }

    def add(self, outcome: Outcome, before: dict[str, Usage], after: dict[str, Usage]) -> None:
        """Take one round's figures."""
        self.rates.append(outcome.window_sales / outcome.window_seconds)
        self.cpu_us.append(per_sale(before, after, max(1, outcome.window_sales)))
        for name, usage in after.items():
            self.rss_mb[name] = max(usage.rss_mb, self.rss_mb.get(name, 0.0))


class Bench:
    """Measures case after case on one system, and checks after each that the stock is right."""

    def __init__(self, system: System, timing: Timing) -> None:
        self._system = system
        self._timing = timing
        self._sold: dict[str, Sold] = defaultdict(Sold)

    async def saturated(self, case: Case, found: Found) -> Outcome:
        """How many sales a second come through, added to `found`."""
        target = self._system.targets[case.target]
        timing = self._timing
        progress = None
        if case.query and target.database_url:
            bound = ON_THEIR_WAY if case.batch == 1 else BATCHED_ON_THEIR_WAY
            everywhere = PROJECTED if case.target == PIPELINE else case.query
            progress = Progress(database_url=target.database_url, query=case.query, bound=bound, everywhere=everywhere)
        plan = self._plan(case, target, timing.warmup_seconds, timing.window_seconds).model_copy(update={"progress": progress})
        return await self._carry_out(case, target, plan, found)

    async def paced(self, per_second: float, found: Found) -> Outcome:
        """How long a sale takes until it is in the reports, at a given rate."""
        target = self._system.targets[LATENCY.target]
        plan = self._plan(LATENCY, target, self._timing.warmup_seconds, self._timing.latency_seconds)
        arrivals = Arrivals(per_second=per_second, amqp_url=self._system.amqp_url)
        return await self._carry_out(LATENCY, target, plan.model_copy(update={"arrivals": arrivals}), found)

    def _plan(self, case: Case, target: Target, warmup_seconds: float, window_seconds: float) -> Plan:
        host, port = address(target)
        return Plan(
            host=host,
            port=port,
            tokens=self._system.tokens,
            profile="hot" if case.profile is HOT else "spread",
            seed=randbits(31),
            lines=self._timing.lines,
            batch=case.batch,
            connections=CONNECTIONS if case.batch == 1 else BATCH_CONNECTIONS,
            warmup_seconds=warmup_seconds,
            window_seconds=window_seconds,
            most_per_second=MOST_SINGLES_PER_SECOND if case.batch == 1 else MOST_BATCHED_PER_SECOND,
        )

    async def _carry_out(self, case: Case, target: Target, plan: Plan, found: Found) -> Outcome:
        async with asyncio.timeout(PATIENCE_SECONDS):
            outcome, snapshots = await self._generate(target, plan)
        if outcome.refused:
            message = f"{case.name}: answers other than 202: {outcome.refused}"
            raise RefusedError(message)
        made = sales(PROFILES[plan.profile], plan.seed, lines=plan.lines, together=plan.batch)
        self._sold[target.name].add(islice(made, outcome.sent))
        await asyncio.to_thread(check, target, self._sold[target.name])
        found.add(outcome, *snapshots)
        return outcome

    async def _generate(self, target: Target, plan: Plan) -> tuple[Outcome, Sequence[dict[str, Usage]]]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "bench.load", cwd=house.ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        if process.stdin is None or process.stdout is None:
            raise AssertionError
        try:
            process.stdin.write(plan.model_dump_json().encode())
            process.stdin.close()
            roots = {**self._system.pids(target), GENERATOR: process.pid}
            snapshots: list[dict[str, Usage]] = []
            async for text in process.stdout:
                line = Line.model_validate_json(text)
                if line.outcome is not None:
                    return line.outcome, snapshots
                snapshots.append(usages(roots))
            message = f"the generator ended with status {await process.wait()} before it was done"
            raise RuntimeError(message)
        finally:
            if process.returncode is None:
                try:
                    await asyncio.wait_for(process.wait(), 5)
                except TimeoutError:
                    process.kill()

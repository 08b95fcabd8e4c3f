"""Does a job go on after whatever happens, once, at its rate, and say so when it can't?"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Engine, text

from infra.connection import BrokerUnavailable
from infra.settings import Settings
from operations import job, job_orders
from operations.job import Job, JobKind, Order, Stride
from tests.brokers import until
from tests.services import Services
from tests.telling import own_engine
from workers.operator import Operator

PATIENCE_SECONDS = 15.0


@pytest.fixture(scope="module")
def engine(services: Services) -> Iterator[Engine]:
    with own_engine(services) as pool:
        yield pool


@dataclass
class Counting:
    """Counts to the total, and does what a test says at some steps."""

    engine: Engine
    trouble: dict[int, Exception] = field(default_factory=dict)
    steps: int = 0
    name: str = field(default_factory=lambda: f"counting-{uuid4().hex[:8]}")
    stride: int = 5

    async def step(self, found: Job, most: int) -> Stride:
        return await asyncio.to_thread(self._step, found, most)

    def _step(self, found: Job, most: int) -> Stride:
        self.steps += 1
        if trouble := self.trouble.pop(self.steps, None):
            raise trouble
        units = min(most, (found.total or 0) - found.done)
        over = found.done + units == found.total
        stride = Stride(done=units, succeeded=units, place={"at": found.done + units}, state="done" if over else "running")
        with self.engine.begin() as connection:
            job.save(connection, found, stride)
        return stride


@asynccontextmanager
async def at_work(engine: Engine, *kinds: JobKind, processes: int = 1) -> AsyncIterator[Sequence[Operator]]:
    config = Settings(env="test", database_url=engine.url.render_as_string(hide_password=False))
    made = [Operator(engine, config, kinds) for _ in range(processes)]
    tasks = [asyncio.create_task(each.run()) for each in made]
    try:
        yield made
    finally:
        for each in made:
            each.stop()
        await asyncio.gather(*tasks)


def begun(engine: Engine, kind: Counting, total: int, *, max_per_second: float | None = None) -> UUID:
    with engine.begin() as connection:
        return job.begin(connection, Order(kind.name, "somebody", {}, total=total, max_per_second=max_per_second)).id


def found(engine: Engine, job_id: UUID) -> Job:
    with engine.connect() as connection:
        seen = job.find(connection, job_id)
    assert seen
    return seen


async def over(engine: Engine, job_id: UUID) -> Job:
    await until(lambda: not found(engine, job_id).moves, PATIENCE_SECONDS)
    return found(engine, job_id)


async def test_a_job_is_begun_at_once_and_ends_with_all_that_was_asked_for(engine: Engine) -> None:
    kind = Counting(engine)
    async with at_work(engine, kind):
        job_id = begun(engine, kind, 12)
        last = await over(engine, job_id)
    assert (last.state, last.done, last.succeeded, last.step, last.place) == ("done", 12, 12, 3, {"at": 12})
    assert last.finished_at
    told = job.told(last, datetime.now(UTC))
    assert (told["rate"], told["eta_seconds"]) == (0.0, 0.0)


async def test_a_rate_is_kept_and_told(engine: Engine) -> None:
    kind = Counting(engine)
    job_id = begun(engine, kind, 20, max_per_second=20)
    began = monotonic()
    async with at_work(engine, kind):
        await until(lambda: found(engine, job_id).done >= 15, PATIENCE_SECONDS)
        told = job.told(found(engine, job_id), datetime.now(UTC))
        await over(engine, job_id)
    assert monotonic() - began > 0.7
    assert 5 < told["rate"] < 60
    assert told["eta_seconds"] is not None


async def test_several_processes_do_a_job_once(engine: Engine) -> None:
    kind = Counting(engine)
    job_id = begun(engine, kind, 40)
    async with at_work(engine, kind, processes=3):
        last = await over(engine, job_id)
    assert (last.done, last.step, kind.steps) == (40, 8, 8)


@pytest.mark.parametrize("trouble", [BrokerUnavailable("no connection"), ValueError("a bug \x00 that passes")])
async def test_a_step_that_fails_comes_again_and_nothing_is_counted_twice(engine: Engine, trouble: Exception) -> None:
    kind = Counting(engine, {2: trouble})
    job_id = begun(engine, kind, 12)
    async with at_work(engine, kind) as (operator,):
        last = await over(engine, job_id)
        assert operator.latest_error
    assert (last.state, last.done, kind.steps) == ("done", 12, 4)


async def test_a_job_that_fails_each_time_says_why_and_goes_on_when_it_is_told_to(engine: Engine) -> None:
    kind = Counting(engine, {step: ValueError(f"number {step}") for step in (2, 3, 4)})
    job_id = begun(engine, kind, 12)
    async with at_work(engine, kind):
        failed = await over(engine, job_id)
        assert (failed.state, failed.error, failed.done) == ("failed", "ValueError: number 4", 5)
        job_orders.order(engine, kind.name, job_id, "resume", by="somebody", reason=None)
        last = await over(engine, job_id)
    assert (last.state, last.error, last.done) == ("done", None, 12)
    with engine.connect() as connection:
        noted = connection.execute(text("SELECT action, outcome FROM audit_log WHERE target = :id ORDER BY id"), {"id": str(job_id)}).all()
    assert [tuple(each) for each in noted] == [
        (f"{kind.name}.failed", "failed"),
        (f"{kind.name}.resume", "done"),
        (f"{kind.name}.done", "done"),
    ]


async def test_an_order_is_obeyed_before_the_next_step_however_long_that_would_have_waited(engine: Engine) -> None:
    kind = Counting(engine)
    job_id = begun(engine, kind, 100, max_per_second=0.1)
    async with at_work(engine, kind):
        await until(lambda: found(engine, job_id).done == 1, PATIENCE_SECONDS)
        began = monotonic()
        job_orders.order(engine, kind.name, job_id, "cancel", by="somebody", reason="enough")
    assert monotonic() - began < PATIENCE_SECONDS / 3
    assert (found(engine, job_id).state, found(engine, job_id).done) == ("cancelled", 1)


async def test_a_job_of_a_kind_that_nobody_knows_waits_for_who_does(engine: Engine) -> None:
    kind, other = Counting(engine), Counting(engine)
    waiting, job_id = begun(engine, other, 5), begun(engine, kind, 5)
    async with at_work(engine, kind):
        await over(engine, job_id)
    assert (found(engine, waiting).state, found(engine, waiting).step) == ("running", 0)

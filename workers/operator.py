"""Who moves the jobs on: redrives, rebuilds, replays, verifications?

One process, or several: each job is worked on by the one that holds its advisory lock, on a connection that does nothing else. When that
process dies its lock goes with it, and another one (or its successor) goes on after the last step that was saved.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy import Connection, Engine, text

from infra.connection import Backoff, BrokerUnavailable
from infra.faults import is_transient
from infra.notices import Notices
from infra.settings import Settings
from operations import job
from operations.consumers import utc_now
from operations.job import CHANNEL, Job, JobKind, Overtaken, Stride
from workers import metrics

NAME = "operator"
LOOK_SECONDS = 2.0
"""How often it looks for jobs by itself, should a notification have been missed."""
AT_ONCE = 4
"""Jobs that one process moves on at the same time: each holds one of its connections, and a second one during a step."""
ATTEMPTS = 3
"""Of a step that fails by itself; then the job has failed, and somebody may resume it."""
BURST_SECONDS = 0.5
"""With a rate a step is at most so much of it."""
Fault = tuple[str, datetime]
"""What went wrong, and when."""
log = structlog.get_logger(__name__)


class Operator:
    """Moves jobs on until it is stopped."""

    def __init__(self, engine: Engine, config: Settings, kinds: Sequence[JobKind]) -> None:
        self.latest_error: Fault | None = None
        self._engine = engine
        self._kinds: Mapping[str, JobKind] = {kind.name: kind for kind in kinds}
        self._notices = Notices(config, name=NAME, channel=CHANNEL, heard=self._heard, joined=self._joined)
        self._look = asyncio.Event()
        self._works: dict[UUID, asyncio.Task[None]] = {}
        self._nudges: dict[UUID, asyncio.Event] = {}
        self._stopping = False

    async def run(self) -> None:
        """Take every job that wants to move, until cancelled; a step that is under way is finished."""
        listening = asyncio.create_task(self._notices.listen(), name="notices")
        try:
            while not self._stopping:
                self._look.clear()
                await self._take()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._look.wait(), LOOK_SECONDS)
        finally:
            self.stop()
            listening.cancel()
            await asyncio.gather(listening, *self._works.values(), return_exceptions=True)

    def stop(self) -> None:
        """Take no further job, and no further step of those at hand."""
        self._stopping = True
        self._look.set()
        for nudge in self._nudges.values():
            nudge.set()

    def refresh(self) -> None:
        """Bring the gauges up to date."""
        metrics.jobs_at_work.set(len(self._works))

    def _heard(self, job_id: str) -> None:
        with contextlib.suppress(ValueError):
            if nudge := self._nudges.get(UUID(job_id)):
                nudge.set()
        self._look.set()

    def _joined(self) -> None:
        self._look.set()

    async def _take(self) -> None:
        """Begin to work on jobs that nobody of this process works on, as many as there is room for."""
        try:
            wanted = await asyncio.to_thread(self._running)
        except Exception as error:
            if not is_transient(error):
                raise
            self._note(error)
            return
        for job_id in wanted:
            if job_id not in self._works and len(self._works) < AT_ONCE and not self._stopping:
                self._nudges[job_id] = asyncio.Event()
                work = self._works[job_id] = asyncio.create_task(self._work(job_id), name=f"job-{job_id}")
                work.add_done_callback(partial(self._left, job_id))

    def _running(self) -> list[UUID]:
        with self._engine.connect() as connection:
            return job.running(connection, sorted(self._kinds))

    def _left(self, job_id: UUID, _: asyncio.Task[None]) -> None:
        del self._works[job_id]
        del self._nudges[job_id]

    async def _work(self, job_id: UUID) -> None:
        """Work on one job for as long as it is this process's and wants to move."""
        try:
            lease = await asyncio.to_thread(self._lease, job_id)
            if lease is None:
                return
            try:
                await self._steps(job_id)
            finally:
                await asyncio.to_thread(_give_back, lease)
        except Exception as error:
            if not is_transient(error):
                log.exception("job_left", job=str(job_id))
            self._note(error)

    def _lease(self, job_id: UUID) -> Connection | None:
        """A connection that holds the job's lock; None while another process has it."""
        connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            if connection.scalar(text("SELECT pg_try_advisory_lock(hashtextextended(:key, 0))"), {"key": f"job {job_id}"}):
                found = job.find(connection, job_id)
                if found is not None:
                    job.mark(connection, found)
                return connection
        except BaseException:
            _give_back(connection)
            raise
        connection.close()
        return None

    async def _steps(self, job_id: UUID) -> None:
        backoff, failures = Backoff(0.1, 2.0), 0
        while (found := await asyncio.to_thread(self._found, job_id)) is not None and found.moves and not self._stopping:
            began = asyncio.get_running_loop().time()
            nudge = self._nudges[job_id]
            nudge.clear()
            try:
                stride = await self._kinds[found.kind].step(found, most_of(found, self._kinds[found.kind].stride))
            except Overtaken:
                log.warning("job_overtaken", job=str(job_id), kind=found.kind)
                return
            except Exception as error:
                self._note(error)
                if not (passing := is_transient(error) or isinstance(error, BrokerUnavailable)):
                    failures += 1
                    log.exception("step_failed", job=str(job_id), kind=found.kind, step=found.step, failures=failures)
                if failures == ATTEMPTS:
                    await asyncio.to_thread(self._fail, found, error)
                    return
                log.warning("step_waits", job=str(job_id), kind=found.kind, passing=passing, error=str(error)[:200])
                await _wait(nudge, backoff.next_seconds())
            else:
                backoff.reset()
                failures = 0
                metrics.job_units_total.labels(found.kind).inc(stride.cost)
                await _wait(nudge, rest_of(found, stride, asyncio.get_running_loop().time() - began))

    def _found(self, job_id: UUID) -> Job | None:
        with self._engine.connect() as connection:
            return job.find(connection, job_id)

    def _fail(self, found: Job, error: Exception) -> None:
        with self._engine.begin() as connection:
            job.save(connection, found, Stride(state="failed", error=f"{type(error).__name__}: {error}"))

    def _note(self, error: Exception) -> None:
        self.latest_error = (f"{type(error).__name__}: {error}"[:500], utc_now())


def most_of(found: Job, stride: int) -> int:
    """The most units of the next step: with a rate no more than half a second of it, so that it is even."""
    return stride if found.max_per_second is None else max(1, min(stride, int(found.max_per_second * BURST_SECONDS)))


def rest_of(found: Job, stride: Stride, seconds: float) -> float:
    """How long to wait after a step that took so long."""
    paced = 0.0 if found.max_per_second is None else stride.cost / found.max_per_second - seconds
    return max(0.0, paced, stride.wait_seconds)


def _give_back(lease: Connection) -> None:
    """End the connection, and the lock with it; back in the pool it would keep the lock."""
    lease.invalidate()
    lease.close()


async def _wait(nudge: asyncio.Event, seconds: float) -> None:
    """That long, or until somebody gives an order."""
    if seconds > 0:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(nudge.wait(), seconds)

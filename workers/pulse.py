"""How does a worker show how it does, and how does it obey when operators tell it to wait or to go on?

Every few seconds it writes its row and reads the pauses: one small transaction, beside the work and never in its way. A notification makes
it look at once. While the database is away it goes on as it was told last; before the first word it takes no message at all.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol
from uuid import UUID

import structlog
from sqlalchemy import Engine
from uuid_utils.compat import uuid7

from infra import pauses
from infra.faults import is_transient
from infra.notices import Notices
from infra.pauses import CHANNEL, Pause, Target
from infra.settings import Settings
from operations import consumers
from operations.consumers import State, utc_now
from operations.pauses import expire, keep_to_pauses
from workers import metrics

BEAT_SECONDS = 3.0
LEAST_SECONDS = 0.05
PACKAGE = "magasin"
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sign:
    """How a worker does right now. `consuming`: whether it takes messages."""

    state: State
    consuming: bool
    latest_error: tuple[str, datetime] | None = None
    oldest_at: datetime | None = None


class Work(Protocol):
    """What may have to wait."""

    async def hold(self) -> None:
        """Stop; returns when nothing is in hand any more."""

    async def release(self) -> None:
        """Go on."""

    async def catch_up(self) -> None:
        """Make up for what was missed, where that is this worker's business."""

    def sign(self, *, held: bool) -> Sign:
        """How it does."""


class Pulse:
    """The pulse of one process. With `projects` it also sees to it that projections wait and catch up."""

    def __init__(self, engine: Engine, config: Settings, *, name: str, work: Work, projects: bool = False) -> None:
        self.informed = asyncio.Event()
        """Set once it has heard whether to work, and obeyed."""
        self.held = False
        """Whether it was told to wait."""
        self._engine = engine
        self._name = name
        self._work = work
        self._projects = projects
        self._notices = Notices(config, name=name, channel=CHANNEL, heard=self._heard, joined=self._joined)
        self._told = asyncio.Event()
        self._look_now = asyncio.Event()
        self._behind = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._instance = UUID(int=uuid7().int)
        self._state: State = "waiting"
        self._since = utc_now()
        self._consumed_at: datetime | None = None

    def start(self) -> None:
        """Beat, listen and obey from now on."""
        self._tasks = [
            asyncio.create_task(self._beat_always(), name="pulse"),
            asyncio.create_task(self._obey_always(), name="obedience"),
            asyncio.create_task(self._catch_up_always(), name="catching-up"),
            asyncio.create_task(self._notices.listen(), name="notices"),
        ]

    @property
    def ended(self) -> bool:
        """Whether a part of it stopped by itself: something escaped that nothing expects."""
        return any(task.done() for task in self._tasks)

    async def stop(self) -> None:
        """Neither beat nor obey any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def farewell(self) -> None:
        """Say that this process has ended as it should; with the database away nobody hears it."""
        sign = self._work.sign(held=self.held)
        await self._beat(self._pulse(Sign("stopped", consuming=False, latest_error=sign.latest_error, oldest_at=sign.oldest_at)))

    def _heard(self, kind: str) -> None:
        if kind == "projection":
            self._behind.set()
        self._look_now.set()

    def _joined(self) -> None:
        self._heard("projection")

    async def _beat_always(self) -> None:
        while True:
            self._look_now.clear()
            seconds = await self._beat(self._pulse(self._work.sign(held=self.held)))
            try:
                await asyncio.wait_for(self._look_now.wait(), seconds)
            except TimeoutError:
                continue

    async def _obey_always(self) -> None:
        obeyed: bool | None = None
        while True:
            await self._told.wait()
            self._told.clear()
            if self.held == obeyed:
                continue
            obeyed = self.held
            await (self._work.hold() if obeyed else self._work.release())
            log.info("paused" if obeyed else "working")
            self.informed.set()
            self._look_now.set()

    async def _catch_up_always(self) -> None:
        """Again whenever projections were told to go on. What is told while the work waits is made up for when that goes on."""
        await self.informed.wait()
        while True:
            await self._behind.wait()
            self._behind.clear()
            await self._work.catch_up()

    async def _beat(self, pulse: consumers.Pulse) -> float:
        """Write the pulse and take in what is to wait: the seconds until the next beat."""
        try:
            standing, seconds = await asyncio.to_thread(self._write, pulse)
        except Exception as error:
            if is_transient(error):
                log.warning("database_away", error=str(error)[:200])
            else:
                log.exception("pulse_failed")
            return BEAT_SECONDS
        self.held = any(each.target == Target("consumer", self._name) for each in standing)
        metrics.consumer_paused.labels(self._name).set(self.held)
        self._told.set()
        return seconds

    def _write(self, pulse: consumers.Pulse) -> tuple[Sequence[Pause], float]:
        with self._engine.begin() as connection:
            if not self.informed.is_set():
                consumers.forget_old(connection)
            consumers.beat(connection, pulse)
            standing = pauses.holding(connection)
            seconds = pauses.seconds_to_next_end(connection)
        if seconds is not None and seconds <= 0:
            expire(self._engine)
        if self._projects and any(each.target.kind == "projection" for each in standing):
            keep_to_pauses(self._engine)
        return standing, BEAT_SECONDS if seconds is None else min(BEAT_SECONDS, max(LEAST_SECONDS, seconds))

    def _pulse(self, sign: Sign) -> consumers.Pulse:
        now = utc_now()
        if sign.state != self._state:
            self._state, self._since = sign.state, now
        if sign.consuming:
            self._consumed_at = now
        error, error_at = sign.latest_error or (None, None)
        return consumers.Pulse(
            instance=self._instance,
            name=self._name,
            host=socket.gethostname(),
            pid=os.getpid(),
            version=installed_version(),
            state=sign.state,
            since=self._since,
            last_error=error,
            last_error_at=error_at,
            oldest_at=sign.oldest_at,
            consumed_at=self._consumed_at,
        )


def installed_version() -> str:
    """The version of this code; ``unknown`` where it runs without having been installed."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "unknown"

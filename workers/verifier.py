"""Who proves, all the time and for next to nothing, that what the system keeps equals its log?

One process leads and looks at store after store, always the one that was looked at longest ago. After each chunk it rests so long that the
work takes a set part of one processor, whatever the machine and however much else there is to do.
"""

import asyncio
import threading
import time
from typing import Final

import structlog
from sqlalchemy import Engine

from infra.database import engine_for
from infra.faults import is_transient
from infra.leadership import Leadership, LeadLost
from infra.settings import Settings
from operations import verified
from operations.looking import Interrupted, Moved
from operations.verify import Verdict, verify
from operations.verify_chain import CHAIN, verify_chain
from workers import metrics

NAME: Final = "verifier"
CHANNEL: Final = "magasin_verifications"
CONNECTIONS: Final = 2
"""Its own, so that it never waits for those of the jobs, nor they for its."""
AWAY_SECONDS: Final = 1.0
IDLE_SECONDS: Final = 2.0
"""How often it looks for a store whose turn has come, when there was none."""
WHOLE: Final = 100.0
TOLD: Final = 5
log = structlog.get_logger(__name__)


class Rest:
    """Waits after each piece of work so that the work is `percent` of the time. Raises Interrupted when told to end."""

    def __init__(self, percent: float, ended: threading.Event) -> None:
        self._factor = WHOLE / percent - 1
        self._ended = ended
        self._since = time.perf_counter()

    def __call__(self) -> None:
        """Wait for the piece since the last call."""
        if self._ended.wait((time.perf_counter() - self._since) * self._factor):
            raise Interrupted
        self._since = time.perf_counter()


class Verifier:
    """Looks at store after store while it leads, until it is cancelled."""

    def __init__(self, config: Settings) -> None:
        self._engine = engine_for(config.model_copy(update={"database_pool_size": CONNECTIONS}), name=NAME)
        self._percent = config.verify_share_percent
        self._interval_seconds = config.verify_interval_seconds
        self._leadership = Leadership(config, name=NAME, channel=CHANNEL, heard=lambda _: None)

    async def run(self) -> None:
        """Work whenever this process leads. With a share of 0 there is nothing to do."""
        if not self._percent:
            await asyncio.Event().wait()
        try:
            while True:
                await self._leadership.win()
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._leadership.hold())
                        group.create_task(self._work())
                except* LeadLost as lost:
                    log.warning("lead_lost", error=str(lost.exceptions[0])[:200])
                await self._leadership.leave()
                await asyncio.sleep(AWAY_SECONDS)
        finally:
            await self._leadership.leave()

    def close(self) -> None:
        """Give the connections back, once it has been cancelled."""
        self._engine.dispose()

    async def refresh(self) -> None:
        """Bring the gauges up to date."""
        try:
            found = await asyncio.to_thread(standing, self._engine)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("standing_unknown", error=str(error)[:200])
            return
        metrics.verified_age_seconds.set(found.age_seconds or 0.0)
        metrics.verified_mismatches.set(found.mismatch_count)
        metrics.verified_stores_to_come.set(found.stores_to_come)

    async def _work(self) -> None:
        """The rounds in a thread of their own, which has ended when this ends."""
        ended = threading.Event()
        rounds = asyncio.ensure_future(asyncio.to_thread(self._rounds, ended))
        try:
            await asyncio.shield(rounds)
        finally:
            ended.set()
            await asyncio.wait({rounds})

    def _rounds(self, ended: threading.Event) -> None:
        rest = Rest(self._percent, ended)
        while not ended.is_set():
            try:
                if not self.look(rest):
                    ended.wait(min(IDLE_SECONDS, self._interval_seconds))
                    rest = Rest(self._percent, ended)
            except Interrupted:
                return
            except Exception as error:
                # One store that can't be looked at must not end the jobs of this process: the age of what is proven tells.
                passes = isinstance(error, Moved) or is_transient(error)
                log.warning("verification_waits", error=f"{type(error).__name__}: {error}"[:200], exc_info=None if passes else error)
                ended.wait(AWAY_SECONDS)

    def look(self, rest: Rest) -> bool:
        """Look at the store (or at the chain) whose turn it is, and keep what was found; False when it is nobody's turn."""
        with self._engine.connect() as connection:
            place = verified.due(connection, self._interval_seconds)
        if place is None:
            return False
        verdict = verify_chain(self._engine, rest) if place == CHAIN else verify(self._engine, place, rest)
        with self._engine.begin() as connection:
            verified.put(connection, verdict)
        _note(verdict)
        rest()
        return True


def standing(engine: Engine) -> verified.Standing:
    """What is proven now."""
    with engine.connect() as connection:
        return verified.standing(connection, most=0)


def _note(verdict: Verdict) -> None:
    metrics.verified_events_total.inc(verdict.events)
    if verdict.count:
        first = [each.where for each in verdict.mismatches[:TOLD]]
        log.error("mismatch", store_id=verdict.store_id, count=verdict.count, more=verdict.more, first=first)

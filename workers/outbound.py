"""How does what is recorded leave the house: to the feed, and to webhooks?

One process of this kind works, the others stand by (`infra.leadership`); whichever leads goes on from the places that were written last.
The queue only wakes it. It acknowledges at once, since the log has everything: a message lost is at most a short delay.
"""

import asyncio
from collections.abc import Sequence

import structlog
from pydantic_core import from_json
from sqlalchemy import Engine

from infra import outward, webhooks
from infra.consumer import BatchConsumer, Delivery
from infra.faults import is_transient
from infra.leadership import Leadership, LeadLost
from infra.outgoing import Outgoing
from infra.publisher import ConfirmingPublisher
from infra.settings import Settings
from infra.topology import OUTBOUND
from workers import metrics
from workers.audience import Audience
from workers.feed import Feed
from workers.webhooks import Webhooks, utc_now

NAME = OUTBOUND.name
NICENESS = 10
"""Outsiders wait rather than tills: where processors are scarce, this process gets what the others leave."""
SWEEP_SECONDS = 30.0
"""How often the log is looked at for what no message told of: some were dropped, or lost with the broker."""
AWAY_SECONDS = 1.0
PROJECTED = "projected"
log = structlog.get_logger(__name__)


class Outbound:
    """The handler of the queue that wakes, and the readers of the log that it wakes."""

    def __init__(self, engine: Engine, publisher: ConfirmingPublisher, config: Settings) -> None:
        self._outgoing = Outgoing(private=config.webhook_private_targets, timeout_seconds=config.webhook_timeout_seconds)
        self._feed = Feed(engine, publisher)
        self._webhooks = Webhooks(engine, config, self._outgoing, utc_now)
        self._audience = Audience(config, self._feed, self._webhooks)
        self._leadership = Leadership(config, name=NAME, channel=webhooks.CHANNEL, heard=self._webhooks.heard)
        self._leading: asyncio.Task[None] | None = None
        self._allowed = asyncio.Event()
        self._held = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    async def __call__(self, deliveries: list[Delivery]) -> None:
        """Wake the readers; the caller acknowledges afterwards."""
        goals = announced(deliveries)
        self._feed.reach(goals)
        self._webhooks.reach(goals)

    @property
    def ended(self) -> bool:
        """Whether it has stopped by itself: something escaped that nothing expects."""
        return self._leading is not None and self._leading.done()

    @property
    def leads(self) -> bool:
        """Whether this is the process that feeds and delivers."""
        return not self._idle.is_set()

    async def hold(self) -> None:
        """Give the lead away and don't ask for it again; returns when nothing is under way any more."""
        self._allowed.clear()
        self._held.set()
        await self._idle.wait()

    def release(self) -> None:
        """Lead again, when it is this process's turn."""
        self._held.clear()
        self._allowed.set()

    def start(self, consumer: BatchConsumer) -> None:
        """Work whenever this process leads and was released. The consumer, which was started paused, consumes while it does."""
        self._leading = asyncio.create_task(self._lead_always(consumer), name="outbound")

    async def stop(self) -> None:
        """Stop, and write how far it has come."""
        if self._leading is not None:
            self._leading.cancel()
            await asyncio.wait({self._leading})
        self._outgoing.close()
        self._audience.close()

    def refresh(self) -> None:
        """Bring the gauges up to date."""
        metrics.outward_missing.labels(outward.FEED).set(self._feed.missing)
        metrics.outward_missing.labels("webhooks").set(self._webhooks.missing)
        metrics.webhook_waiting.set(self._webhooks.waiting)

    async def _lead_always(self, consumer: BatchConsumer) -> None:
        try:
            while True:
                await self._allowed.wait()
                await self._leadership.win()
                self._idle.clear()
                metrics.outward_leading.set(1)
                try:
                    await self._lead(consumer)
                except* LeadLost as lost:
                    log.warning("lead_lost", error=str(lost.exceptions[0])[:200])
                finally:
                    metrics.outward_leading.set(0)
                    self._idle.set()
                await self._leadership.leave()
                await asyncio.sleep(AWAY_SECONDS)
        except asyncio.CancelledError:
            raise
        except BaseException:
            log.exception("outbound_ended")
            raise
        finally:
            await self._leadership.leave()

    async def _lead(self, consumer: BatchConsumer) -> None:
        """Everything, until the lead is lost. Raises a group with LeadLost, or with what nothing expects."""
        try:
            async with asyncio.TaskGroup() as group:
                # First of all: what is notified while the rest begins is heard.
                group.create_task(self._leadership.hold())
                group.create_task(self._until_held())
                await self._begin()
                group.create_task(self._feed.run())
                group.create_task(self._webhooks.run())
                group.create_task(self._sweep())
                group.create_task(self._audience.run())
                consumer.resume()
        finally:
            if not consumer.ended:
                await consumer.pause()
            await self._webhooks.end()

    async def _until_held(self) -> None:
        """Raise LeadLost when operators let it wait."""
        await self._held.wait()
        message = "told to wait"
        raise LeadLost(message)

    async def _begin(self) -> None:
        while True:
            try:
                await self._feed.begin()
                await self._webhooks.begin()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("database_away", error=str(error)[:200])
                await asyncio.sleep(AWAY_SECONDS)
            else:
                return

    async def _sweep(self) -> None:
        while True:
            try:
                await self._feed.sweep()
                await self._webhooks.sweep()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("database_away", error=str(error)[:200])
            await asyncio.sleep(SWEEP_SECONDS)


def announced(deliveries: Sequence[Delivery]) -> dict[str, int]:
    """How far the logs of which stores reach, as the projector has announced. What can't be read is left to the next look at the log."""
    goals: dict[str, int] = {}
    for delivery in deliveries:
        if delivery.type != PROJECTED:
            continue
        try:
            for store in from_json(delivery.body)["stores"]:
                store_id, seq = str(store["store_id"]), int(store["seq"])
                goals[store_id] = max(seq, goals.get(store_id, 0))
        except (ValueError, KeyError, TypeError) as error:
            log.warning("malformed_wake", message_id=delivery.message_id, error=str(error)[:200])
    return goals

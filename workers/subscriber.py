"""How does one webhook learn of events, in order per store?

A lane is the webhook in one store: it follows the log and tells one event after the other, and an event that fails holds its lane until
it is taken, given up or skipped. Lanes share nothing but the number of requests that the webhook may have under way, and webhooks share
nothing at all: a dead subscriber costs its own lanes and nobody else's.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import time
from uuid import UUID

import structlog
from sqlalchemy import Engine

from infra import event_log
from infra.faults import is_transient
from infra.outgoing import Answer, Outgoing
from infra.settings import Settings
from infra.webhooks import Delivery, Webhook, delivery_id_of
from schemas import outward as shapes
from schemas.envelope import Recorded
from workers import metrics
from workers.ahead import Ahead
from workers.outcomes import Outcomes

AWAY_SECONDS = 1.0
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Means:
    """What every subscriber works with."""

    engine: Engine
    config: Settings
    outgoing: Outgoing
    outcomes: Outcomes
    now: Callable[[], datetime]


@dataclass(eq=False, slots=True)
class Held:
    """A delivery under way. While it waits for its next attempt, a person may hurry it or have it skipped."""

    changed: asyncio.Event = field(default_factory=asyncio.Event)
    skipped: bool = False
    waiting: bool = False


class Subscriber:
    """One webhook at work. `places` and `waiting` are what the database has of it."""

    def __init__(self, webhook: Webhook, means: Means, places: Mapping[str, int], waiting: Mapping[UUID, Delivery]) -> None:
        self.webhook = webhook
        self.held: dict[UUID, Held] = {}
        self.lanes: dict[str, Ahead] = {}
        self._means = means
        self._places = places
        self._waiting = dict(waiting)
        self._client = means.outgoing.client(means.config.webhook_in_flight)
        self._slots = asyncio.Semaphore(means.config.webhook_in_flight)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: dict[UUID, asyncio.Task[None]] = {}

    def lane(self, store_id: str) -> Ahead:
        """Its way ahead in that store."""
        if store_id not in self.lanes:
            self.lanes[store_id] = Ahead(store_id, self._places.get(store_id, 0))
        return self.lanes[store_id]

    def wake(self, store_id: str, head: int = 0) -> None:
        """Let the lane of that store go on, to `head` at least."""
        lane = self.lane(store_id)
        lane.goal = max(lane.goal, head)
        if lane.missing and store_id not in self._tasks:
            self._tasks[store_id] = asyncio.create_task(self._follow(lane))

    def repeat(self, waiting: Mapping[UUID, Delivery]) -> None:
        """Begin those deliveries that lie behind their lane and wait all the same: somebody asked for them again."""
        for delivery_id, delivery in waiting.items():
            if delivery.seq <= self.lane(delivery.store_id).seq and delivery_id not in self._again:
                self._again[delivery_id] = asyncio.create_task(self._once_more(delivery))

    async def end(self) -> None:
        """Stop everything that it does."""
        tasks = [*self._tasks.values(), *self._again.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._client.aclose()

    async def _follow(self, lane: Ahead) -> None:
        """The lane to its end; whatever goes wrong in it is tried again in a while, in this lane only."""
        try:
            while lane.missing:
                try:
                    await self._next(lane)
                except Exception as error:
                    log.warning("webhook_lane_waits", store_id=lane.store_id, exc_info=None if is_transient(error) else error)
                    await asyncio.sleep(AWAY_SECONDS)
        finally:
            del self._tasks[lane.store_id]

    async def _next(self, lane: Ahead) -> None:
        event = lane.at_hand()
        if event is None:
            await lane.fetch(self._means.engine)
            return
        if event.outcome == "recorded" and self.webhook.wants(event.type):
            begun = self._waiting.get(delivery_id_of(self.webhook.webhook_id, event.event_id))
            await self._deliver(event, begun or self._new(event))
        lane.seq = event.seq
        self._means.outcomes.place(str(self.webhook.webhook_id), lane.store_id, event.seq)

    async def _once_more(self, delivery: Delivery) -> None:
        try:
            event = await asyncio.to_thread(self._event, delivery)
            if event is not None:
                await self._deliver(event, delivery)
        except Exception as error:
            # It waits in the database for the next start, or for somebody to ask again.
            log.warning("webhook_not_repeated", exc_info=None if is_transient(error) else error)
        finally:
            del self._again[delivery.delivery_id]

    async def _deliver(self, event: Recorded, delivery: Delivery) -> None:
        """Attempt after attempt until the event is taken, given up or skipped."""
        held = self.held[delivery.delivery_id] = Held()
        try:
            while True:
                if delivery.next_attempt_at is not None:
                    await self._wait(held, delivery.next_attempt_at)
                if held.skipped:
                    return
                async with self._slots:
                    answer = await self._attempt(event, delivery)
                self._note(delivery, answer)
                self._means.outcomes.delivery(delivery)
                if delivery.status != "waiting":
                    return
        finally:
            del self.held[delivery.delivery_id]

    async def _wait(self, held: Held, due: datetime) -> None:
        held.waiting = True
        try:
            async with asyncio.timeout(max(0.0, (due - self._means.now()).total_seconds())):
                await held.changed.wait()
        except TimeoutError:
            return
        finally:
            held.waiting = False
            held.changed.clear()

    async def _attempt(self, event: Recorded, delivery: Delivery) -> Answer:
        body, webhook = shapes.structured(event), self.webhook
        headers = shapes.request_headers(webhook.secret, int(time()), body, event.type, delivery.delivery_id)
        answer = await self._means.outgoing.post(self._client, webhook.url, body, headers)
        metrics.webhook_attempts_total.labels(answer.outcome).inc()
        metrics.webhook_seconds.observe(answer.seconds)
        return answer

    def _new(self, event: Recorded) -> Delivery:
        now, webhook_id = self._means.now(), self.webhook.webhook_id
        return Delivery(
            delivery_id=delivery_id_of(webhook_id, event.event_id),
            webhook_id=webhook_id,
            event_id=event.event_id,
            type=event.type,
            store_id=event.store_id,
            seq=event.seq,
            status="waiting",
            attempts=0,
            first_attempt_at=now,
            last_attempt_at=now,
        )

    def _note(self, delivery: Delivery, answer: Answer) -> None:
        """Write the attempt into the delivery, and decide what comes next."""
        now = self._means.now()
        delivery.attempts += 1
        delivery.last_attempt_at, delivery.last_status, delivery.last_error = now, answer.status, answer.error
        delivery.next_attempt_at = None
        if answer.outcome == "delivered":
            delivery.status, delivery.delivered_at = "delivered", now
        elif (now - delivery.first_attempt_at).total_seconds() >= self._means.config.webhook_give_up_seconds:
            delivery.status = "failed"
            metrics.webhook_given_up_total.inc()
            log.error("webhook_given_up", webhook_id=str(delivery.webhook_id), event_id=str(delivery.event_id), error=answer.error)
        else:
            delivery.status = "waiting"
            delivery.next_attempt_at = now + timedelta(seconds=self._pause_after(delivery.attempts))

    def _pause_after(self, attempts: int) -> float:
        """Doubling from the first wait to the longest, drawn from the upper half so that lanes spread out."""
        first, most = self._means.config.webhook_retry_first_seconds, self._means.config.webhook_retry_most_seconds
        bound = min(most, first * 2.0 ** min(attempts - 1, 40))
        return random.uniform(bound / 2, bound)  # noqa: S311 - spreads retries, keeps no secret

    def _event(self, delivery: Delivery) -> Recorded | None:
        with self._means.engine.connect() as connection:
            found = event_log.read(connection, delivery.store_id, after=delivery.seq - 1, through=delivery.seq)
        return found[0] if found else None

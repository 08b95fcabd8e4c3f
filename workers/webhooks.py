"""Which webhooks are at work, and who tells them that there is something new, changed or asked for again?"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from uuid import UUID

import structlog
from sqlalchemy import Engine

from infra import outward
from infra import webhooks as kept
from infra.faults import is_transient
from infra.outgoing import Outgoing
from infra.settings import Settings
from infra.webhooks import Delivery, Webhook
from workers.outcomes import Outcomes
from workers.subscriber import Means, Subscriber

AWAY_SECONDS = 1.0
log = structlog.get_logger(__name__)


class Webhooks:
    """Delivers to every active webhook while this process leads: `begin`, `run`, `reach` and `heard`, `end`."""

    def __init__(self, engine: Engine, config: Settings, outgoing: Outgoing, now: Callable[[], datetime]) -> None:
        self._engine = engine
        self._config = config
        self._outcomes = Outcomes(engine)
        self._means = Means(engine, config, outgoing, self._outcomes, now)
        self._subscribers: dict[UUID, Subscriber] = {}
        self._reload = asyncio.Event()

    @property
    def missing(self) -> int:
        """How many events lie between the webhooks' places and the ends of the log, wanted or not."""
        return sum(lane.missing for each in self._subscribers.values() for lane in each.lanes.values())

    @property
    def waiting(self) -> int:
        """How many deliveries wait for another attempt."""
        return sum(held.waiting for each in self._subscribers.values() for held in each.held.values())

    @property
    def active(self) -> bool:
        """Whether there is any to deliver to."""
        return bool(self._subscribers)

    async def begin(self) -> None:
        """Take up every webhook where it was left."""
        await self._load()

    async def run(self) -> None:
        """Write outcomes, and take up webhooks that were changed, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._outcomes.run())
            group.create_task(self._load_when_told())

    async def end(self) -> None:
        """Stop delivering, and write what is known."""
        await asyncio.gather(*(each.end() for each in self._subscribers.values()))
        self._subscribers.clear()
        await self._outcomes.write_last()

    def reach(self, goals: Mapping[str, int]) -> None:
        """Go as far as the logs reach, store by store."""
        for each in self._subscribers.values():
            for store_id, seq in goals.items():
                if each.webhook.covers(store_id):
                    each.wake(store_id, seq)

    async def sweep(self) -> None:
        """Look into the log for what nobody has told of, and drop what is too old to be looked at."""
        for each in list(self._subscribers.values()):
            for store_id, (_, head) in (await asyncio.to_thread(self._behind, each.webhook)).items():
                each.wake(store_id, head)
        await asyncio.to_thread(self._outcomes.purge, self._config.webhook_log_days)

    def heard(self, what: str) -> None:
        """Do what the API has notified: ``webhooks``, ``retry <delivery>``, ``skip <delivery>``."""
        verb, _, name = what.partition(" ")
        held = next((each.held[key] for each in self._subscribers.values() for key in each.held if str(key) == name), None)
        if held is not None:
            held.skipped = verb == "skip"
            held.changed.set()
        elif verb != "skip":
            self._reload.set()

    async def _load_when_told(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            try:
                await self._load()
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("webhooks_not_loaded", error=str(error)[:200])
                self._reload.set()
                await asyncio.sleep(AWAY_SECONDS)

    async def _load(self) -> None:
        """Bring the subscribers to what the database says; one whose webhook is the same keeps its lanes."""
        wanted = {each.webhook_id: each for each in await asyncio.to_thread(self._active)}
        for webhook_id, each in list(self._subscribers.items()):
            if wanted.get(webhook_id) != each.webhook:
                await each.end()
                del self._subscribers[webhook_id]
        await self._outcomes.write_all()
        for webhook_id, webhook in wanted.items():
            places, waiting, behind = await asyncio.to_thread(self._state, webhook)
            if webhook_id not in self._subscribers:
                self._subscribers[webhook_id] = Subscriber(webhook, self._means, places, waiting)
            each = self._subscribers[webhook_id]
            for store_id, (_, head) in behind.items():
                each.wake(store_id, head)
            each.repeat(waiting)

    def _active(self) -> list[Webhook]:
        with self._engine.connect() as connection:
            return kept.active(connection)

    def _state(self, webhook: Webhook) -> tuple[dict[str, int], dict[UUID, Delivery], dict[str, tuple[int, int]]]:
        reader = str(webhook.webhook_id)
        with self._engine.connect() as connection:
            waiting = {each.delivery_id: each for each in kept.waiting(connection, webhook.webhook_id)}
            return outward.positions(connection, reader), waiting, outward.behind(connection, reader, webhook.only_stores)

    def _behind(self, webhook: Webhook) -> dict[str, tuple[int, int]]:
        with self._engine.connect() as connection:
            return outward.behind(connection, str(webhook.webhook_id), webhook.only_stores)


def utc_now() -> datetime:
    """The worker's clock."""
    return datetime.now(UTC)

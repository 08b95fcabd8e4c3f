"""How does every recorded event reach `magasin.feed`, singly, in order per store, at least once?

The feed is a reader of the log with a place in each store. In a store the next event goes out once the one before it is confirmed, so no
failure, not even a refusal of one message among others, can put a later event in front of an earlier one; many stores go side by side.
After a crash it goes on from its last written place: repeated, never skipped. While nobody listens at all it walks along and says nothing.
"""

import asyncio
from collections.abc import Mapping

import structlog
from sqlalchemy import Engine

from infra import outward
from infra.connection import Backoff, BrokerUnavailable
from infra.faults import is_transient
from infra.outward import FEED as READER
from infra.publisher import ConfirmingPublisher
from infra.topology import FEED
from schemas import outward as shapes
from schemas.envelope import Recorded
from workers import metrics
from workers.ahead import Ahead

APP_ID = "feed"
STORES_AT_ONCE = 64
ROUND_EVENTS = 200
"""Of one store, before the places are written."""
AWAY_MOST_SECONDS = 2.0
log = structlog.get_logger(__name__)


class Feed:
    """Publishes what follows its places; `begin` when this process leads, `run` until it no longer does."""

    def __init__(self, engine: Engine, publisher: ConfirmingPublisher) -> None:
        self._engine = engine
        self._publisher = publisher
        self._ways: dict[str, Ahead] = {}
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()
        self.heard = False
        """Whether anybody listens, as far as `workers.audience` knows."""
        self._places = asyncio.Semaphore(STORES_AT_ONCE)
        self._backoff = Backoff(0.1, AWAY_MOST_SECONDS)

    @property
    def missing(self) -> int:
        """How many events of the log have not been published, as far as this process knows."""
        return sum(way.missing for way in self._ways.values())

    async def begin(self) -> None:
        """Take up the places that were written last."""
        found = await asyncio.to_thread(self._written)
        self._ways = {store_id: Ahead(store_id, seq) for store_id, seq in found.items()}

    def reach(self, goals: Mapping[str, int]) -> None:
        """Go as far as the logs reach, store by store."""
        for store_id, seq in goals.items():
            way = self._way(store_id)
            way.goal = max(way.goal, seq)
        self._wake.set()

    async def sweep(self) -> None:
        """Look into the log for what nobody has told of."""
        self.reach(await asyncio.to_thread(self.heads))

    def speak(self) -> None:
        """Somebody listens: publish."""
        self.heard = True
        self._wake.set()

    async def skip(self, heads: Mapping[str, int]) -> None:
        """Nobody listened when the logs reached so far: what was recorded until then is owed to nobody."""
        self.heard = False
        async with self._turn:
            moved: dict[tuple[str, str], int] = {}
            for store_id, head in heads.items():
                way = self._way(store_id)
                if head > way.seq:
                    way.seq, way.goal = head, max(head, way.goal)
                    moved[READER, store_id] = head
            if moved:
                await asyncio.to_thread(self._write, moved)

    async def run(self) -> None:
        """Round after round, as long as there is something; a broker or a database that is away is waited for."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                while self.heard and any(way.missing for way in self._ways.values()):
                    async with self._turn:
                        await self._round()
            except Exception as error:
                if not isinstance(error, BrokerUnavailable) and not is_transient(error):
                    raise
                log.warning("feed_waits", error=str(error)[:200], missing=self.missing)
                await asyncio.sleep(self._backoff.next_seconds())
                self._wake.set()

    async def _round(self) -> None:
        """A stretch of each store that has something; then the places are written, also those of a round that failed in the middle."""
        ways = [way for way in self._ways.values() if way.missing]
        before = {way.store_id: way.seq for way in ways}
        results = await asyncio.gather(*map(self._stretch, ways), return_exceptions=True)
        moved = {(READER, way.store_id): way.seq for way in ways if way.seq > before[way.store_id]}
        metrics.feed_events_total.inc(sum(seq - before[store_id] for (_, store_id), seq in moved.items()))
        if moved:
            self._backoff.reset()
            await asyncio.to_thread(self._write, moved)
        for failed in results:
            if isinstance(failed, BaseException):
                raise failed

    async def _stretch(self, way: Ahead) -> None:
        async with self._places:
            for _ in range(min(ROUND_EVENTS, way.missing)):
                event = way.at_hand()
                if event is None:
                    await way.fetch(self._engine)
                    event = way.at_hand()
                    if event is None:
                        return
                await self._publish(event)
                way.seq = event.seq

    async def _publish(self, event: Recorded) -> None:
        await self._publisher.publish(
            FEED,
            shapes.routing_key(event),
            shapes.data(event),
            content_type=shapes.DATA_CONTENT_TYPE,
            type=event.type,
            app_id=APP_ID,
            headers=shapes.headers(event),
            # Nobody may be listening yet, and that is no failure.
            mandatory=False,
        )

    def _way(self, store_id: str) -> Ahead:
        if store_id not in self._ways:
            self._ways[store_id] = Ahead(store_id, 0)
        return self._ways[store_id]

    def _written(self) -> dict[str, int]:
        with self._engine.connect() as connection:
            return outward.positions(connection, READER)

    def heads(self) -> dict[str, int]:
        """The ends of the logs that go on after the written places."""
        with self._engine.connect() as connection:
            return {store_id: head for store_id, (_, head) in outward.behind(connection, READER).items()}

    def _write(self, moved: Mapping[tuple[str, str], int]) -> None:
        with self._engine.begin() as connection:
            outward.move(connection, moved)

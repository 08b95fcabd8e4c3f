"""How does a year of sales get into a running system, without flooding it and without telling anything twice?

In messages to `magasin.intake`, as the API would send them. Only so many are on their way as the stock writer has before it for a few
seconds: what it has recorded makes room for more. What the log already has isn't sent, so an interrupted import goes on where it was.
"""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import date, datetime
from typing import Any, Final, Self
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from sqlalchemy import make_url

from infra.publisher import BrokerUnavailable, ConfirmingPublisher
from infra.topology import INTAKE, INTAKE_KEY
from magasin import demo_data, year_events
from magasin.demo_load import Progress
from magasin.year_events import Told, Year
from projections import PROJECTIONS
from projections.checkpoint import LIVE
from schemas.envelope import BATCH_CONTENT_TYPE, join

NAME: Final = "load-year"
MESSAGE_EVENTS: Final = 200
MESSAGE_BYTES: Final = 1_000_000
UNDER_WAY: Final = 12
"""Messages that the stock writer hasn't recorded yet: about four of its batches wait while it works on one."""
LOOK_SECONDS: Final = 0.05
PATIENCE_SECONDS: Final = 120.0
"""How long nothing may be recorded, or projected, before the import gives up. It can be started again."""
PUBLISH_TRIES: Final = 10
PAUSE_SECONDS: Final = 1.0

_KNOWN: Final = "SELECT event_id FROM event_log WHERE event_id = ANY(%s)"
_LOST: Final = "SELECT count(*) FROM dead_letter WHERE event_id = ANY(%s)"
_FIRST: Final = "SELECT occurred_at FROM event_log WHERE event_id = %s"
_MISSING: Final = """
    SELECT coalesce(sum(h.seq - coalesce(c.seq, 0)), 0), count(*) FILTER (WHERE c.state = 'stalled')
    FROM store_head h CROSS JOIN unnest(%(projections)s::text[]) AS p(name)
    LEFT JOIN checkpoint c ON c.projection = p.name AND c.generation = %(generation)s AND c.store_id = h.store_id
"""


class ImportFailedError(RuntimeError):
    """The year can't be loaded; the message says what was seen."""


class Loader:
    """Gives events to a system and sees to it that they are recorded."""

    def __init__(self, publisher: ConfirmingPublisher, database: psycopg.AsyncConnection[Any], progress: Progress) -> None:
        self.sent = 0
        self._publisher = publisher
        self.database = database
        self._progress = progress

    @classmethod
    @asynccontextmanager
    async def on(cls, amqp_url: str, database_url: str, progress: Progress) -> AsyncIterator[Self]:
        """A loader of that system. Raises ImportFailedError when it can't be reached."""
        publisher = ConfirmingPublisher(amqp_url, name=NAME)
        url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
        try:
            database = await psycopg.AsyncConnection.connect(url, autocommit=True, connect_timeout=5, application_name=f"magasin-{NAME}")
        except psycopg.OperationalError as error:
            message = f"The database can't be reached: {error}"
            raise ImportFailedError(message) from error
        async with database:
            await publisher.start()
            try:
                yield cls(publisher, database, progress)
            finally:
                await publisher.close()

    async def last_day(self, year: Year) -> date:
        """The last day of the year in this system: the one that was chosen when it was loaded first, else `year`'s own."""
        first = year_events.first_line(year.folder)
        row = await self._row(_FIRST, [year_events.sale_id(first.basket_id)])
        if row is None:
            return year.last_day
        there: datetime = row[0].astimezone(ZoneInfo(demo_data.TIMEZONE))
        return year.totals.last_day + (there.date() - first.local.date())

    async def tell(self, what: str, events: Iterable[Told], total: int) -> None:
        """Return when all of them are recorded. `what` and `total` are for the progress. Raises ImportFailedError."""
        under_way: deque[list[UUID]] = deque()
        done = 0
        for batch in messages(events):
            ids = [each.event_id for each in batch]
            known = await self._known(ids)
            if len(known) < len(ids):
                await self._publish([each for each in batch if each.event_id not in known])
                under_way.append(ids)
            else:
                done += len(ids)
            if len(under_way) == UNDER_WAY:
                done += await self._recorded(under_way.popleft())
            self._progress(what, done, total)
        while under_way:
            done += await self._recorded(under_way.popleft())
            self._progress(what, done, total)

    async def projected(self) -> None:
        """Return when every projection has everything that is recorded. Raises ImportFailedError."""
        asked = {"projections": sorted(PROJECTIONS), "generation": LIVE}
        most = last = None
        moved_at = time.monotonic()
        while True:
            missing, stalled = await self._row(_MISSING, asked) or (0, 0)
            most = max(most or 0, int(missing))
            self._progress("projected", most - int(missing), most)
            if missing == 0:
                return
            if missing != last:
                last, moved_at = missing, time.monotonic()
            if stalled or time.monotonic() > moved_at + PATIENCE_SECONDS:
                message = f"The projections still lack {missing:,} events, and nothing moves. Stalled: {stalled}. See the projector's log."
                raise ImportFailedError(message)
            await asyncio.sleep(LOOK_SECONDS)

    async def _publish(self, batch: Sequence[Told]) -> None:
        body = join(each.wire for each in batch)
        for attempt in range(1, PUBLISH_TRIES + 1):
            try:
                await self._publisher.publish(INTAKE, INTAKE_KEY, body, content_type=BATCH_CONTENT_TYPE, type="accepted", app_id=NAME)
            except BrokerUnavailable as error:
                if attempt == PUBLISH_TRIES:
                    message = f"The broker takes nothing: {error.reason}"
                    raise ImportFailedError(message) from error
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                self.sent += len(batch)
                return

    async def _recorded(self, ids: Sequence[UUID]) -> int:
        """Return when the log has all of these: how many they are."""
        seen, moved_at = -1, time.monotonic()
        while (known := len(await self._known(ids))) < len(ids):
            if known != seen:
                seen, moved_at = known, time.monotonic()
            if time.monotonic() > moved_at + PATIENCE_SECONDS:
                (lost,) = await self._row(_LOST, [list(ids)]) or (0,)
                message = f"{len(ids) - known} events are not recorded after {PATIENCE_SECONDS:.0f} s; {lost} of them are dead letters."
                raise ImportFailedError(message)
            await asyncio.sleep(LOOK_SECONDS)
        return len(ids)

    async def _known(self, ids: Sequence[UUID]) -> set[UUID]:
        cursor = await self.database.execute(_KNOWN, [list(ids)])
        return {row[0] for row in await cursor.fetchall()}

    async def _row(self, statement: str, parameters: Any) -> tuple[Any, ...] | None:  # noqa: ANN401 - as psycopg takes them
        cursor = await self.database.execute(statement, parameters)
        row: tuple[Any, ...] | None = await cursor.fetchone()
        return row


async def load(loader: Loader, year: Year) -> None:
    """Tell everything in its order: shops before what happens in them, their stock before their sales."""
    await loader.tell("stores", year.stores(), year.totals.stores + 1)
    await loader.tell("products", year.products(), year.totals.products)
    await loader.tell("opening stock", year.deliveries(), year_events.deliveries_of(year.folder))
    await loader.tell("baskets", year.baskets(), year.totals.baskets)
    await loader.projected()


def messages(events: Iterable[Told]) -> Iterator[list[Told]]:
    """The events in batches of bounded count and size."""
    batch: list[Told] = []
    size = 0
    for event in events:
        if batch and (len(batch) == MESSAGE_EVENTS or size + len(event.wire) > MESSAGE_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(event)
        size += len(event.wire)
    if batch:
        yield batch

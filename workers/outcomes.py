"""How is it written down what became of deliveries, without a commit for each?

What has ended since the last writing goes into one transaction: a delivery's last state and how far its lane has come are always written
together. Five times a second at most; what a crash takes away is delivered again.
"""

import asyncio
from collections.abc import Mapping
from copy import copy
from uuid import UUID

import structlog
from sqlalchemy import Engine

from infra import outward, webhooks
from infra.faults import is_transient
from infra.webhooks import Delivery

PAUSE_SECONDS = 0.2
AWAY_SECONDS = 1.0
MOST_PURGED = 5_000
log = structlog.get_logger(__name__)


class Outcomes:
    """What is still to be written: the last state of each delivery, the last place of each lane."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._deliveries: dict[UUID, Delivery] = {}
        self._places: dict[tuple[str, str], int] = {}
        self._some = asyncio.Event()
        self._writing = asyncio.Lock()

    def delivery(self, delivery: Delivery) -> None:
        """Write that the delivery stands as it does now."""
        self._deliveries[delivery.delivery_id] = copy(delivery)
        self._some.set()

    def place(self, reader: str, store_id: str, seq: int) -> None:
        """Write that the reader is done with that number."""
        self._places[reader, store_id] = seq
        self._some.set()

    async def run(self) -> None:
        """Write whenever there is something, until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            await self.write_all()
            await asyncio.sleep(PAUSE_SECONDS)

    async def write_all(self) -> None:
        """Return when everything that there is now has been written, however long the database is away."""
        while True:
            if await self._write():
                return
            await asyncio.sleep(AWAY_SECONDS)

    async def write_last(self) -> None:
        """Write what there is, if the database is there; else it happens again, which is allowed."""
        await self._write()
        self._deliveries.clear()
        self._places.clear()

    def purge(self, days: int) -> int:
        """Drop deliveries that are settled and older than that, some thousand at a time; blocks."""
        with self._engine.begin() as connection:
            return webhooks.purge(connection, days=days, most=MOST_PURGED)

    async def _write(self) -> bool:
        async with self._writing:
            deliveries, places = self._deliveries, self._places
            if not deliveries and not places:
                return True
            self._deliveries, self._places = {}, {}
            try:
                await asyncio.to_thread(self._keep, deliveries, places)
            except BaseException as error:
                # What has come in the meantime is newer.
                self._deliveries, self._places = deliveries | self._deliveries, places | self._places
                if not is_transient(error):
                    raise
                log.warning("outcomes_wait", error=str(error)[:200])
                return False
            return True

    def _keep(self, deliveries: Mapping[UUID, Delivery], places: Mapping[tuple[str, str], int]) -> None:
        with self._engine.begin() as connection:
            webhooks.keep(connection, list(deliveries.values()))
            outward.move(connection, places)

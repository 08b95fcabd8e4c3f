"""Is there such a store, such a sale? The only look-ups that a command makes before it is accepted."""

import asyncio
from uuid import UUID

from sqlalchemy import Engine, select

from api.problems import Problem
from infra.event_log import event_log
from infra.memory import Memory
from stock.tables import store


class Known:
    """Stores are never undefined, so one that was seen is remembered; sales are asked for only by voids and returns made at once."""

    def __init__(self, engine: Engine, memory: Memory) -> None:
        self._engine = engine
        self._memory = memory
        self._stores: set[str] = set()

    async def store(self, store_id: str) -> None:
        """Raise Problem unknown_store, or whatever the database raises while it is away."""
        if store_id not in self._stores:
            if not await asyncio.to_thread(self._has_store, store_id):
                raise Problem("unknown_store")
            self._stores.add(store_id)

    async def sale(self, store_id: str, sale_id: UUID) -> None:
        """Raise Problem unknown_sale unless the sale was accepted lately or is in the store's log. Unsure, it is taken for known."""
        if await self._memory.knows(sale_id) is False and not await asyncio.to_thread(self._has_sale, store_id, sale_id):
            raise Problem("unknown_sale")

    def _has_store(self, store_id: str) -> bool:
        with self._engine.connect() as connection:
            return connection.execute(select(store.c.store_id).where(store.c.store_id == store_id)).first() is not None

    def _has_sale(self, store_id: str, sale_id: UUID) -> bool:
        asked = select(event_log.c.seq).where(event_log.c.event_id == sale_id, event_log.c.store_id == store_id)
        with self._engine.connect() as connection:
            return connection.execute(asked).first() is not None

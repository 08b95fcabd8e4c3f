"""Is there such a store, such a sale? The only look-ups that a command makes before it is accepted."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from api.problems import Problem
from events.catalogue import StoreDefined
from events.fields import STORE_ID
from events.sales import SaleRecorded
from infra.event_log import event_log
from infra.faults import is_transient
from infra.memory import Memory, Unsure
from stock.tables import store

NAME = re.compile(STORE_ID)
log = structlog.get_logger(__name__)


class Known:
    """Stores are never undefined, so one that was seen is remembered; sales are asked for only by voids and returns made at once."""

    def __init__(self, engine: Engine, memory: Memory) -> None:
        self._engine = engine
        self._memory = memory
        self._stores: set[str] = set()

    async def load(self) -> None:
        """Remember every store there is, so that commands are taken while the database is away; does nothing if it is away now."""
        try:
            self._stores |= await asyncio.to_thread(self._all_stores)
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            log.warning("stores_not_loaded", error=str(error)[:200])

    def heard(self, changes: Iterable[Mapping[str, Any]]) -> None:
        """Remember the stores that the projector says have just opened."""
        self._stores.update(change["store_id"] for change in changes if StoreDefined.type in change["types"])

    async def store(self, store_id: str) -> None:
        """Raise Problem unknown_store, or whatever the database raises while it is away."""
        if store_id not in self._stores:
            if not NAME.fullmatch(store_id) or not await asyncio.to_thread(self._has_store, store_id):
                raise Problem("unknown_store")
            self._stores.add(store_id)

    async def sale(self, store_id: str, sale_id: UUID) -> None:
        """Raise Problem unknown_sale unless the store's log has the sale, or it was accepted lately. Unsure, it is taken for known."""
        try:
            recorded = await asyncio.to_thread(self._has_sale, store_id, sale_id)
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            return
        if recorded is None:
            try:
                seen = await self._memory.recall(sale_id)
            except Unsure:
                return
            recorded = seen == (SaleRecorded.type, store_id)
        if not recorded:
            raise Problem("unknown_sale")

    def _all_stores(self) -> set[str]:
        with self._engine.connect() as connection:
            return set(connection.execute(select(store.c.store_id)).scalars())

    def _has_store(self, store_id: str) -> bool:
        with self._engine.connect() as connection:
            return connection.execute(select(store.c.store_id).where(store.c.store_id == store_id)).first() is not None

    def _has_sale(self, store_id: str, sale_id: UUID) -> bool | None:
        """Whether the id is a sale of that store that wasn't refused; None when the log doesn't have the id."""
        place = event_log.c
        with self._engine.connect() as connection:
            row = connection.execute(select(place.type, place.store_id, place.outcome).where(place.event_id == sale_id)).first()
        return None if row is None else tuple(row) == (SaleRecorded.type, store_id, "recorded")

"""Is there such a store, such a sale, such a restock? The only look-ups that a command makes before it is accepted."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from api.problems import Problem
from api.tokens import Principal
from events.catalogue import StoreDefined
from events.fields import STORE_ID
from events.restocks import RestockRequested
from events.sales import SaleRecorded
from infra.event_log import event_log
from infra.faults import is_transient
from infra.memory import Memory, Unsure
from stock import restock_list
from stock.tables import store

NAME = re.compile(STORE_ID)
PATIENCE_SECONDS = 2.0
LOOK_SECONDS = 0.05
AGAIN_SECONDS = 0.25
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
        """Raise Problem unknown_sale unless the store's log has the sale, or it was accepted lately. Unsure, it is taken for known.

        When Redis kept another process waiting, that one accepted without telling it: a sale that nobody knows is looked for again, until
        it should have come through.
        """
        ends = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        try:
            while (known := await self._knows_sale(store_id, sale_id)) is not True:
                if known is False or asyncio.get_running_loop().time() >= ends:
                    raise Problem("unknown_sale")
                await asyncio.sleep(AGAIN_SECONDS)
        except Unsure:
            return

    async def _knows_sale(self, store_id: str, sale_id: UUID) -> bool | None:
        """Whether the id is a sale of that store; None when nobody knows the id. Raises Unsure while the database or Redis is away."""
        try:
            recorded = await asyncio.to_thread(self._has_sale, store_id, sale_id)
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            raise Unsure from error
        if recorded is None and (seen := await self._memory.recall(sale_id)) is not None:
            return seen == (SaleRecorded.type, store_id)
        return recorded

    async def restock(self, who: Principal, restock_id: UUID) -> Mapping[str, Any]:
        """A restock with its lines. Raises Problem unknown_restock when there is none, or none that concerns a store of the caller.

        One that was accepted a moment ago is waited for: who has just asked for it goes on with it. Raises Problem overloaded when the
        wait was too long.
        """
        ends = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while (found := await asyncio.to_thread(self._restock, restock_id)) is None:
            store_id = await self._accepted_restock(restock_id)
            if asyncio.get_running_loop().time() >= ends and store_id is not None and who.may_see(store_id):
                raise Problem("overloaded")
            if store_id is None or asyncio.get_running_loop().time() >= ends:
                raise Problem("unknown_restock")
            await asyncio.sleep(LOOK_SECONDS)
        if not any(who.may_see(found[name]) for name in ("from_store", "to_store")):
            raise Problem("unknown_restock")
        return found

    async def recorded(self, event_id: UUID) -> bool:
        """Whether the log has an event of that id, recorded or refused."""
        return await asyncio.to_thread(self._has_event, event_id)

    async def centre(self, store_id: str) -> str | None:
        """The logistics centre of a store, as it is now."""
        return await asyncio.to_thread(self._centre, store_id)

    async def _accepted_restock(self, restock_id: UUID) -> str | None:
        """The store that asked for it lately: None when none did, nameless when nobody can tell."""
        try:
            seen = await self._memory.recall(restock_id)
        except Unsure:
            return ""
        return seen.store_id if seen is not None and seen.type == RestockRequested.type else None

    def _restock(self, restock_id: UUID) -> dict[str, Any] | None:
        with self._engine.connect() as connection:
            return restock_list.one(connection, restock_id)

    def _has_event(self, event_id: UUID) -> bool:
        with self._engine.connect() as connection:
            return connection.execute(select(event_log.c.seq).where(event_log.c.event_id == event_id)).first() is not None

    def _centre(self, store_id: str) -> str | None:
        with self._engine.connect() as connection:
            return connection.execute(select(store.c.centre).where(store.c.store_id == store_id)).scalar_one_or_none()

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

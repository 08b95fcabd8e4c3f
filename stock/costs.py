"""What had a store paid for what it holds, when something was delivered?

One row for each store and SKU of which a cost is known. Only deliveries read and write it, under the lock of their store's head; a sale
pays nothing for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, Table, Text

from events.stock import DeliveryReceived
from infra.database import Statement, metadata
from schemas.envelope import Recorded
from stock.book import Book
from stock.chapter import Incoming
from stock.costing import Cost, added, bought

stock_cost = Table(
    "stock_cost",
    metadata,
    Column("store_id", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("units", BigInteger, nullable=False),
    Column("cost_cents", BigInteger, nullable=False),
    PrimaryKeyConstraint("store_id", "sku"),
    postgresql_with={"fillfactor": "70"},
)

_READ = """
    SELECT store_id, sku, units, cost_cents
    FROM json_to_recordset(%(cells)s::json) AS cell(store_id text, sku text) JOIN stock_cost USING (store_id, sku)
"""
_SAVE = """
    INSERT INTO stock_cost (store_id, sku, units, cost_cents)
    SELECT * FROM json_to_recordset(%(rows)s::json) AS row(store_id text, sku text, units bigint, cost_cents bigint)
    ON CONFLICT (store_id, sku) DO UPDATE SET units = excluded.units, cost_cents = excluded.cost_cents
"""


class Costs:
    """The costs of the SKUs that the batch's deliveries bring."""

    def reads(self, batch: Sequence[Incoming]) -> Statement | None:
        """Those that are known."""
        cells = {
            (each.head.store_id, sku) for each in batch if isinstance(each.event, DeliveryReceived) for sku in bought(each.event.lines)
        }
        return _statement(_READ, "cells", [{"store_id": store_id, "sku": sku} for store_id, sku in sorted(cells)]) if cells else None

    def fill(self, book: Book, rows: Sequence[Any]) -> None:
        """By store and SKU."""
        book.costs = {(row.store_id, row.sku): Cost(row.units, row.cost_cents) for row in rows}

    def writes(self, book: Book, events: Mapping[UUID, Recorded]) -> Sequence[Statement]:
        """Those of what was delivered, as the last delivery of the batch left them."""
        if not book.costs:
            return ()
        cells = _cells(events.values())
        rows = [{"store_id": cell[0], "sku": cell[1], "units": cost.units, "cost_cents": cost.cents} for cell, cost in _of(book, cells)]
        return [_statement(_SAVE, "rows", rows)] if rows else ()


def _cells(events: Iterable[Recorded]) -> set[tuple[str, str]]:
    return {(event.store_id, sku) for event in events for sku in added(event)}


def _of(book: Book, cells: Iterable[tuple[str, str]]) -> Iterable[tuple[tuple[str, str], Cost]]:
    return ((cell, book.costs[cell]) for cell in sorted(cells))


def _statement(sql: str, name: str, rows: Sequence[Mapping[str, Any]]) -> Statement:
    return Statement(sql, {name: to_json(rows).decode()})

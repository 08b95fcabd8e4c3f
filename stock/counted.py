"""What moved after an instant at which someone counted? Only counts have to ask."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic_core import to_json

from events.stock import StockCounted
from infra.database import Statement
from schemas.envelope import Recorded
from stock.book import Book
from stock.chapter import Incoming
from stock.counting import findings

_LATER = """
    SELECT cell.store_id, cell.sku, cell.at, later.units
    FROM json_to_recordset(%(cells)s::json) AS cell(store_id text, sku text, at timestamptz)
    CROSS JOIN LATERAL (
        SELECT sum(delta) AS units FROM stock_movement m
        WHERE m.store_id = cell.store_id AND m.sku = cell.sku AND m.effective_at > cell.at
    ) AS later
    WHERE later.units IS NOT NULL
"""


class Counted:
    """Units that moved after each (store, SKU, instant) that the batch counts, by the ledger."""

    def reads(self, batch: Sequence[Incoming]) -> Statement | None:
        """The sums of the later movements; those after which nothing moved are absent."""
        cells = sorted(
            {
                (each.head.store_id, found.sku, found.at)
                for each in batch
                if isinstance(each.event, StockCounted)
                for found in findings(each.event, each.head)
            }
        )
        if not cells:
            return None
        return Statement(_LATER, {"cells": to_json([{"store_id": store_id, "sku": sku, "at": at} for store_id, sku, at in cells]).decode()})

    def fill(self, book: Book, rows: Sequence[Any]) -> None:
        """The sums, by store, SKU and instant."""
        book.later_deltas = {(row.store_id, row.sku, row.at): int(row.units) for row in rows}

    def writes(self, book: Book, events: Mapping[UUID, Recorded]) -> Sequence[Statement]:
        """Nothing: counts are movements."""
        del book, events
        return ()

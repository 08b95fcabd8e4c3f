"""Which count does a late event explain a part of, and on which business day?

The next one after it that changed the level of its SKU. Only a batch that has a late event asks the ledger.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import Connection

from infra.database import Statement, together
from stock.book import Book
from stock.variances import Count, Variance, Variances

VARIANCES: Final = "variances"
"""The member of an effect that has them, by SKU: units, the business day of the count, and the reason."""

_NEXT = """
    SELECT late.store_id, late.sku, late.at, found.effective_at, found.event_id, found.reason
    FROM json_to_recordset(%(late)s::json) AS late(store_id text, sku text, at timestamptz)
    CROSS JOIN LATERAL (
        SELECT m.effective_at, m.event_id, e.effect -> 'variances' -> late.sku ->> 'reason' AS reason
        FROM stock_movement m JOIN event_log e ON e.store_id = m.store_id AND e.seq = m.seq
        WHERE m.store_id = late.store_id AND m.sku = late.sku AND m.counted IS NOT NULL AND m.effective_at >= late.at
          AND (e.effect IS NULL OR e.effect -> 'variances' ? late.sku)
        ORDER BY m.effective_at, m.event_id LIMIT 1
    ) AS found
"""


def effects(connection: Connection, book: Book) -> dict[UUID, dict[str, Any]]:
    """What the events of the batch say of variances, by event; events that have nothing to say are absent. Before the batch is written."""
    variances = book.variances
    ledger = _next_counts(connection, variances) if variances.late else {}
    found = {event_id: _told(book, store_id, all_) for (store_id, event_id), all_ in variances.counted.items()}
    for place in variances.late:
        explained = variances.concerned(place, ledger)
        if explained:
            found[place[1]] = _told(book, place[0], explained)
    return found


def _told(book: Book, store_id: str, variances: Iterable[Variance]) -> dict[str, Any]:
    shop = book.shops[store_id]
    told = {}
    for sku, units, count in variances:
        day = shop.business_date(shop.local(count.at))
        told[sku] = {"units": units, "day": day.isoformat(), "reason": count.reason}
    return {VARIANCES: told}


def _next_counts(connection: Connection, variances: Variances) -> Mapping[tuple[str, str, datetime], Count]:
    """By store, SKU and instant of what is late. A count without any effect is older than variances are: it has no part to explain."""
    late = sorted({(store_id, each.sku, each.at) for (store_id, _), all_ in variances.late.items() for each in all_})
    asked = to_json([{"store_id": store_id, "sku": sku, "at": at} for store_id, sku, at in late]).decode()
    (rows,) = together(connection, [Statement(_NEXT, {"late": asked})])
    return {(row.store_id, row.sku, row.at): Count(row.effective_at, row.event_id, row.reason) for row in rows}

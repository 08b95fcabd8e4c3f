"""How many SKUs has each store run out of, now or at the end of a past business day?

Most shelves have not moved since, and what did not move is as it is now: only the others are folded, by the rule of `stock.rules`. One look
at the index of the movements tells which. A shelf without a history by then was not empty: it was none.
"""

from collections.abc import Collection
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, text

from infra.database import dicts

_COUNTS: Final = text("""
    SELECT place.store_id, count(*) FILTER (WHERE was.on_hand <= 0) AS stock_outs, count(*) FILTER (WHERE was.on_hand < 0) AS negative_skus
    FROM (
        SELECT store_id,
               coalesce((CAST(:through AS date) + 1 + CAST(day_ends AS interval)) AT TIME ZONE timezone, 'infinity') AS ends
        FROM store WHERE CAST(:stores AS text[]) IS NULL OR store_id = ANY(CAST(:stores AS text[]))
    ) AS place
    LEFT JOIN stock_level level ON level.store_id = place.store_id
    LEFT JOIN LATERAL (
        SELECT true AS since FROM stock_movement m
        WHERE m.store_id = level.store_id AND m.sku = level.sku AND m.effective_at >= place.ends LIMIT 1
    ) AS moved ON true
    LEFT JOIN LATERAL (
        SELECT m.counted, m.effective_at FROM stock_movement m
        WHERE moved.since AND m.store_id = level.store_id AND m.sku = level.sku AND m.effective_at < place.ends AND m.counted IS NOT NULL
        ORDER BY m.effective_at DESC, m.event_id DESC, m.line DESC LIMIT 1
    ) AS counted ON true
    LEFT JOIN LATERAL (
        SELECT sum(m.delta) AS units FROM stock_movement m
        WHERE moved.since AND m.store_id = level.store_id AND m.sku = level.sku AND m.effective_at < place.ends
          AND m.effective_at > coalesce(counted.effective_at, '-infinity')
    ) AS later ON true
    CROSS JOIN LATERAL (
        SELECT CASE WHEN moved.since IS NULL THEN level.on_hand
               WHEN counted.counted IS NULL AND later.units IS NULL THEN NULL
               ELSE coalesce(counted.counted, 0) + coalesce(later.units, 0) END AS on_hand
    ) AS was
    GROUP BY place.store_id ORDER BY place.store_id
""")


def shortages(connection: Connection, stores: Collection[str] | None, through: date | None) -> list[dict[str, Any]]:
    """Each store with its SKUs at or below zero, and those below it; `through` is the business day at whose end, None is now."""
    connection.execute(text("SET LOCAL jit = off"))
    rows = connection.execute(_COUNTS, {"stores": None if stores is None else sorted(stores), "through": through})
    return dicts(rows)

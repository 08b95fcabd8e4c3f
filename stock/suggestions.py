"""What should a store ask for, how much of it, and of whom?

    on the way  = on_hand + in_transit + on_order                        (on_order: asked for and not shipped yet)
    asked for   : on the way ≤ reorder_point, or without one: less than `low_days` of recent sales
    up to       : target_level, or without one `cover_days` of recent sales, and never less than the reorder point
    of whom     : the store that has the most to spare above its own level and promises, if that is enough; else the centre

What was sold lately is a projection's knowledge: the caller brings the SQL for it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, TextClause, text

SOLD_DAYS = 28
LOW_DAYS = 7
COVER_DAYS = 14

_SCOPE = "(CAST(:stores AS text[]) IS NULL OR {} = ANY(CAST(:stores AS text[])))"
_PLANNED = "CASE r.status WHEN 'requested' THEN l.requested WHEN 'approved' THEN l.approved ELSE 0 END"
_GOAL = "greatest(coalesce({target}, ceil({units}::numeric * :cover_days / :sold_days)::bigint), coalesce({reorder}, 0))"


@dataclass(frozen=True, slots=True)
class Sold:
    """SQL for units sold in the `:sold_days` up to `:today`: of all SKUs of `:stores`, and of one (store, SKU) cell."""

    of_stores: str
    of_source: str


SOURCE_CELL = ("other.store_id", "need.sku")
"""The columns by which `Sold.of_source` finds its cell."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """For which stores (None: for all), and on which day the latest of the recent sales were."""

    stores: Collection[str] | None
    today: date


def suggestions(connection: Connection, sold: Sold, wanted: Wanted, *, after: Sequence[str] | None, limit: int) -> list[dict[str, Any]]:
    """Suggestions by store and SKU, with every number they are made of. Only shops ask, centres don't."""
    store_id, sku = after or (None, None)
    asked = {
        "stores": None if wanted.stores is None else sorted(wanted.stores),
        "today": wanted.today,
        "sold_days": SOLD_DAYS,
        "low_days": LOW_DAYS,
        "cover_days": COVER_DAYS,
        "store_id": store_id,
        "sku": sku,
        "limit": limit,
    }
    return [_suggestion(row) for row in connection.execute(_statement(sold), asked)]


@cache
def _statement(sold: Sold) -> TextClause:
    # Every name here is a constant of ours; what was asked travels as parameters.
    return text(f"""
    WITH sold AS MATERIALIZED ({sold.of_stores}),
    coming AS MATERIALIZED (
        SELECT r.to_store AS store_id, l.sku, sum({_PLANNED})::bigint AS on_order,
               sum(CASE WHEN r.status IN ('shipped', 'partially_received') THEN greatest(0, l.shipped - l.received - l.damaged)
                   ELSE 0 END)::bigint AS in_transit
        FROM restock r JOIN restock_line l ON l.restock_id = r.restock_id
        WHERE r.status IN ('requested', 'approved', 'shipped', 'partially_received') AND {_SCOPE.format("r.to_store")}
        GROUP BY r.to_store, l.sku
    ),
    promised AS MATERIALIZED (
        SELECT r.from_store AS store_id, l.sku, sum({_PLANNED})::bigint AS units
        FROM restock r JOIN restock_line l ON l.restock_id = r.restock_id
        WHERE r.status IN ('requested', 'approved') GROUP BY r.from_store, l.sku
    ),
    cell AS (
        SELECT store_id, sku, coalesce(level.on_hand, 0) AS on_hand, wish.reorder_point, wish.target_level
        FROM (SELECT store_id, sku, on_hand FROM stock_level WHERE {_SCOPE.format("store_id")}) AS level
        FULL JOIN (SELECT store_id, sku, reorder_point, target_level FROM store_product WHERE {_SCOPE.format("store_id")}) AS wish
        USING (store_id, sku)
    ),
    known AS (
        SELECT cell.*, shop.centre, shop.currency, coalesce(sold.units, 0) AS sold_units, coalesce(coming.in_transit, 0) AS in_transit,
               coalesce(coming.on_order, 0) AS on_order,
               cell.on_hand + coalesce(coming.in_transit, 0) + coalesce(coming.on_order, 0) AS on_the_way,
               {_GOAL.format(target="cell.target_level", units="coalesce(sold.units, 0)", reorder="cell.reorder_point")} AS goal
        FROM cell
        JOIN store shop ON shop.store_id = cell.store_id AND shop.kind = 'store'
        LEFT JOIN sold ON sold.store_id = cell.store_id AND sold.sku = cell.sku
        LEFT JOIN coming ON coming.store_id = cell.store_id AND coming.sku = cell.sku
    ),
    need AS MATERIALIZED (
        SELECT *, goal - on_the_way AS quantity FROM known
        WHERE goal > on_the_way
          AND CASE WHEN reorder_point IS NOT NULL THEN on_the_way <= reorder_point
              ELSE sold_units > 0 AND on_the_way * :sold_days < sold_units * :low_days END
          AND (CAST(:store_id AS text) IS NULL OR (store_id, sku) > (CAST(:store_id AS text), CAST(:sku AS text)))
        ORDER BY store_id, sku LIMIT :limit
    )
    SELECT need.*, product.name_fr, product.name_en, source.store_id AS source, source.spare, depot.on_hand AS centre_on_hand
    FROM need
    LEFT JOIN product ON product.sku = need.sku
    LEFT JOIN stock_level depot ON depot.store_id = need.centre AND depot.sku = need.sku
    LEFT JOIN LATERAL (
        SELECT other.store_id, level.on_hand - coalesce(promised.units, 0)
               - {_GOAL.format(target="wish.target_level", units="recent.units", reorder="wish.reorder_point")} AS spare
        FROM store other
        JOIN stock_level level ON level.store_id = other.store_id AND level.sku = need.sku AND level.on_hand >= need.quantity
        LEFT JOIN store_product wish ON wish.store_id = other.store_id AND wish.sku = need.sku
        LEFT JOIN promised ON promised.store_id = other.store_id AND promised.sku = need.sku
        CROSS JOIN LATERAL ({sold.of_source}) AS recent
        WHERE other.kind = 'store' AND other.currency = need.currency AND other.store_id <> need.store_id
        ORDER BY spare DESC, other.store_id LIMIT 1
    ) AS source ON source.spare >= need.quantity
    ORDER BY need.store_id, need.sku
    """)  # noqa: S608


def _suggestion(row: Row[Any]) -> dict[str, Any]:
    transfer = row.source is not None
    return {
        "store_id": row.store_id,
        "sku": row.sku,
        "name": None if row.name_fr is None else {"fr": row.name_fr, "en": row.name_en},
        "quantity": row.quantity,
        "from_store": row.source if transfer else row.centre,
        "source": "store" if transfer else None if row.centre is None else "centre",
        "numbers": {
            "on_hand": row.on_hand,
            "in_transit": row.in_transit,
            "on_order": row.on_order,
            "reorder_point": row.reorder_point,
            "target_level": row.target_level,
            "sold_units": row.sold_units,
            "sold_days": SOLD_DAYS,
            "days_left": round(row.on_the_way * SOLD_DAYS / row.sold_units, 1) if row.sold_units else None,
            "goal": row.goal,
            "source_spare": row.spare if transfer else None,
            "source_on_hand": None if transfer else row.centre_on_hand,
        },
    }

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


SOURCE_CELL = ("other.store_id", "other.sku")
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
    figures AS (
        -- Added up rather than joined: the planner doesn't know how many rows the parts have, and once it joined them by store alone.
        SELECT store_id, sku, sum(on_hand)::bigint AS on_hand, max(reorder_point) AS reorder_point, max(target_level) AS target_level,
               sum(sold)::bigint AS sold_units, sum(in_transit)::bigint AS in_transit, sum(on_order)::bigint AS on_order
        FROM (
            SELECT store_id, sku, on_hand, NULL::integer AS reorder_point, NULL::integer AS target_level, 0 AS sold, 0 AS in_transit,
                   0 AS on_order
            FROM stock_level WHERE {_SCOPE.format("store_id")}
            UNION ALL
            SELECT store_id, sku, 0, reorder_point, target_level, 0, 0, 0 FROM store_product WHERE {_SCOPE.format("store_id")}
            UNION ALL
            SELECT store_id, sku, 0, NULL, NULL, units, 0, 0 FROM sold
            UNION ALL
            SELECT store_id, sku, 0, NULL, NULL, 0, in_transit, on_order FROM coming
        ) AS part
        GROUP BY store_id, sku
    ),
    known AS (
        SELECT figures.*, shop.centre, shop.currency, figures.on_hand + figures.in_transit + figures.on_order AS on_the_way,
               {_GOAL.format(target="figures.target_level", units="figures.sold_units", reorder="figures.reorder_point")} AS goal
        FROM figures JOIN store shop ON shop.store_id = figures.store_id AND shop.kind = 'store'
    ),
    need AS MATERIALIZED (
        SELECT *, goal - on_the_way AS quantity FROM known
        WHERE goal > on_the_way
          AND CASE WHEN reorder_point IS NOT NULL THEN on_the_way <= reorder_point
              ELSE sold_units > 0 AND on_the_way * :sold_days < sold_units * :low_days END
          AND (CAST(:store_id AS text) IS NULL OR (store_id, sku) > (CAST(:store_id AS text), CAST(:sku AS text)))
        ORDER BY store_id, sku LIMIT :limit
    ),
    promised AS MATERIALIZED (
        SELECT r.from_store AS store_id, l.sku, sum({_PLANNED})::bigint AS units
        FROM restock r JOIN restock_line l ON l.restock_id = r.restock_id
        WHERE r.status IN ('requested', 'approved') AND l.sku IN (SELECT sku FROM need) GROUP BY r.from_store, l.sku
    ),
    other AS MATERIALIZED (
        SELECT need.store_id AS for_store, need.quantity, level.store_id, level.sku, wish.reorder_point, wish.target_level,
               level.on_hand - coalesce(promised.units, 0) AS free
        FROM need
        JOIN store shop ON shop.kind = 'store' AND shop.currency = need.currency AND shop.store_id <> need.store_id
        JOIN stock_level level ON level.store_id = shop.store_id AND level.sku = need.sku AND level.on_hand >= need.quantity
        LEFT JOIN store_product wish ON wish.store_id = level.store_id AND wish.sku = level.sku
        LEFT JOIN promised ON promised.store_id = level.store_id AND promised.sku = level.sku
        WHERE level.on_hand - coalesce(promised.units, 0) - greatest(wish.target_level, wish.reorder_point, 0) >= need.quantity
    ),
    offer AS MATERIALIZED (
        SELECT *, free - {_GOAL.format(target="target_level", units=f"({sold.of_source})", reorder="reorder_point")} AS spare FROM other
    ),
    source AS (
        SELECT DISTINCT ON (for_store, sku) for_store, sku, store_id, spare FROM offer WHERE spare >= quantity
        ORDER BY for_store, sku, spare DESC, store_id
    )
    SELECT need.*, product.name_fr, product.name_en, source.store_id AS source, source.spare, depot.on_hand AS centre_on_hand
    FROM need
    LEFT JOIN product ON product.sku = need.sku
    LEFT JOIN stock_level depot ON depot.store_id = need.centre AND depot.sku = need.sku
    LEFT JOIN source ON source.for_store = need.store_id AND source.sku = need.sku
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

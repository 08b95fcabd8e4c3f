"""How many of each SKU does every store hold right now?"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, case, literal, select, tuple_

from stock.search import holding
from stock.tables import product, stock_level, store_product
from stock.transit import in_transit


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cells of stores and SKUs; None doesn't matter."""

    stores: Collection[str] | None = None
    sku: str | None = None
    search: str | None = None
    status: str | None = None


def levels(connection: Connection, wanted: Wanted, *, after: Sequence[str] | None, limit: int) -> list[dict[str, Any]]:
    """Levels by store and SKU. `status` is negative, out, low (at or below the reorder point) or ok."""
    status = status_of(stock_level.c.on_hand)
    coming = in_transit(stock_level.c.store_id, stock_level.c.sku)
    statement = cells(wanted, after).add_columns(stock_level, coming.label("in_transit"), status.label("status")).limit(limit)
    if wanted.status is not None:
        statement = statement.where(literal(wanted.status) == status)
    return [_level(row) for row in connection.execute(statement)]


def cells(wanted: Wanted, after: Sequence[str] | None) -> Select[Any]:
    """The cells wanted, whatever their status, by store and SKU: what the catalogue and the shop say of them."""
    level = stock_level.c
    statement = (
        select(product.c.name_fr, product.c.name_en, store_product.c.reorder_point, store_product.c.target_level)
        .select_from(stock_level)
        .outerjoin(product, product.c.sku == level.sku)
        .outerjoin(store_product, and_(store_product.c.store_id == level.store_id, store_product.c.sku == level.sku))
        .where(*holding(wanted.search or ""))
        .order_by(level.store_id, level.sku)
    )
    if wanted.stores is not None:
        statement = statement.where(level.store_id.in_(sorted(wanted.stores)))
    if wanted.sku is not None:
        statement = statement.where(level.sku == wanted.sku)
    if after:
        statement = statement.where(tuple_(level.store_id, level.sku) > tuple_(literal(after[0]), literal(after[1])))
    return statement


def status_of(on_hand: ColumnElement[int], reorder_point: ColumnElement[Any] = store_product.c.reorder_point) -> ColumnElement[str]:
    """What so many units mean for a shop: negative, out, low (at or below its reorder point) or ok."""
    low = and_(reorder_point.is_not(None), on_hand <= reorder_point)
    return case((on_hand < 0, "negative"), (on_hand == 0, "out"), (low, "low"), else_="ok")


def _level(row: Row[Any]) -> dict[str, Any]:
    return {
        "store_id": row.store_id,
        "sku": row.sku,
        "name": None if row.name_fr is None else {"fr": row.name_fr, "en": row.name_en},
        "on_hand": row.on_hand,
        "in_transit": row.in_transit,
        "reorder_point": row.reorder_point,
        "target_level": row.target_level,
        "counted_at": row.counted_at,
        "status": row.status,
    }

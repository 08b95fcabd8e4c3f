"""How many of each SKU does every store hold right now?"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Connection,
    Row,
    Select,
    Text,
    and_,
    any_,
    case,
    cast,
    exists,
    func,
    literal,
    null,
    select,
    true,
    tuple_,
    union_all,
)

from infra.database import array_text
from stock.restock import ON_THE_WAY
from stock.restocks import restock, restock_line
from stock.search import holding
from stock.tables import Instant, product, stock_level, store_product
from stock.transit import LEFT, in_transit

FEW: Final = 500
"""SKUs whose cells are all found sooner than the first ones on the way through those of all shops."""

MOSTLY: Final = "ok"
"""The status of nearly all cells: of the others some are found sooner by their SKU than on the way through all cells."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which cells of stores and SKUs; None doesn't matter. What is searched for are `skus` where they are few, else words."""

    stores: Collection[str] | None = None
    skus: Collection[str] | None = None
    search: str | None = None
    status: str | None = None


def levels(connection: Connection, wanted: Wanted, *, after: Sequence[str] | None, limit: int) -> list[dict[str, Any]]:
    """Levels by store and SKU. `status` is negative, out, low (at or below the reorder point) or ok.

    What is on its way to a store that never had it is out there, with a level of 0.
    """
    level = stock_level.c
    status = status_of(level.on_hand)
    coming = in_transit(level.store_id, level.sku)
    if wanted.status is not None:
        there = cells(wanted, after).where(literal(wanted.status) == status)
        if wanted.skus is not None and wanted.status != MOSTLY:
            there = there.order_by(None).order_by(*_unindexed(level.store_id, level.sku))
    elif wanted.skus is not None and wanted.search is None:
        there = cells(Wanted(), None).where(tuple_(level.store_id, level.sku).in_(_first(wanted, after, limit)))
    else:
        there = cells(wanted, after)
    there = there.add_columns(
        level.store_id, level.sku, level.on_hand, level.counted_at, coming.label("in_transit"), status.label("status")
    )
    parts = [select(there.limit(limit).subquery("there"))]
    if wanted.status in {None, "out"}:
        parts.append(select(_first_time(wanted, after).limit(limit).subquery("first_time")))
    every = union_all(*parts).subquery("every")
    return [_level(row) for row in connection.execute(select(every).order_by(every.c.store_id, every.c.sku).limit(limit))]


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
    return _within(statement, wanted, after, (level.store_id, level.sku))


def _first(wanted: Wanted, after: Sequence[str] | None, limit: int) -> Select[Any]:
    """The first cells of the SKUs wanted.

    Those of few SKUs are all found by the index, and put in order (left to choose, PostgreSQL walked through all cells: 370 ms for 43 of
    them). Of many SKUs the first ones are soon met on that way, each cell looked up in a table of hashes; that this is said to be *true*
    keeps PostgreSQL from looking up each SKU in shop after shop (300 ms for 729).
    """
    cell = (stock_level.c.store_id, stock_level.c.sku)
    first = select(*cell).limit(limit)
    if len(wanted.skus or ()) <= FEW:
        return _within(first.order_by(*_unindexed(*cell)), wanted, after, cell)
    among = cell[1].in_(select(func.unnest(_array(wanted.skus or ()))))
    return _within(first.where(among.is_(true())).order_by(*cell), replace(wanted, skus=None), after, cell)


def _unindexed(store_id: ColumnElement[str], sku: ColumnElement[str]) -> tuple[ColumnElement[str], ColumnElement[str]]:
    """The order of cells as no index has it, so that PostgreSQL finds all of them before it puts them in order."""
    return store_id + "", sku


def _first_time(wanted: Wanted, after: Sequence[str] | None) -> Select[Any]:
    """What is in transit of cells that have no level: the columns of `levels`.

    Few restocks are under way, so their lines are looked up restock by restock (OFFSET 0 keeps the planner from reading all lines).
    """
    of_restock = restock_line.c.restock_id == restock.c.restock_id
    line = select(restock_line.c.sku, LEFT.label("units")).where(of_restock).offset(0).lateral("line")
    store_id, sku = restock.c.to_store, line.c.sku
    units = cast(func.sum(line.c.units), BigInteger)
    statement = (
        select(
            product.c.name_fr,
            product.c.name_en,
            store_product.c.reorder_point,
            store_product.c.target_level,
            store_id.label("store_id"),
            sku,
            cast(literal(0), BigInteger).label("on_hand"),
            cast(null(), Instant).label("counted_at"),
            units.label("in_transit"),
            literal("out").label("status"),
        )
        .join_from(restock, line, true())
        .outerjoin(product, product.c.sku == sku)
        .outerjoin(store_product, and_(store_product.c.store_id == store_id, store_product.c.sku == sku))
        .where(restock.c.status.in_(ON_THE_WAY), *holding(wanted.search or ""))
        .where(~exists().where(stock_level.c.store_id == store_id, stock_level.c.sku == sku))
        .group_by(store_id, sku, product.c.sku, store_product.c.store_id, store_product.c.sku)
        .having(units > 0)
        .order_by(store_id, sku)
    )
    return _within(statement, wanted, after, (store_id, sku))


def _within(
    statement: Select[Any], wanted: Wanted, after: Sequence[str] | None, cell: tuple[ColumnElement[str], ColumnElement[str]]
) -> Select[Any]:
    """The statement for the stores and the SKU wanted, from a place on."""
    if wanted.stores is not None:
        statement = statement.where(cell[0].in_(sorted(wanted.stores)))
    if wanted.skus is not None:
        statement = statement.where(cell[1] == any_(_array(wanted.skus)))
    if after:
        statement = statement.where(tuple_(*cell) > tuple_(literal(after[0]), literal(after[1])))
    return statement


def _array(skus: Collection[str]) -> ColumnElement[Any]:
    return cast(literal(array_text(sorted(skus)), Text), ARRAY(Text))


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

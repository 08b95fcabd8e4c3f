"""Which stores and products are there?"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, text

from infra.database import dicts
from stock.search import Found, Reading, Searched, search
from stock.tables import product, store
from stock.words import search_form

FIRST_LOOK = 3_000
RARE = 1_500
FEW = 2_000
"""Products that are looked for one by one. The stock of rare words, found row by row instead, took up to 1.8 s of 750,000 rows."""
# From one category to the next by the index: 20 probes for 68,509 products.
_EVERY_CATEGORY = text("""
    WITH RECURSIVE category AS (
        (SELECT category_fr AS fr, category_en AS en FROM product ORDER BY category_fr LIMIT 1)
        UNION ALL
        SELECT following.fr, following.en
        FROM category CROSS JOIN LATERAL (
            SELECT category_fr AS fr, category_en AS en FROM product WHERE category_fr > category.fr ORDER BY category_fr LIMIT 1
        ) AS following
    )
    SELECT fr, en FROM category
""")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What products are looked for by; None doesn't matter.

    `category` is its whole name, French or English. Every word of `search` must be found in the product (see `holding`).
    """

    search: str | None = None
    category: str | None = None
    barcode: str | None = None
    sku: str | None = None

    @property
    def worded(self) -> bool:
        """Whether there are words to search for, and so more than one reading of them."""
        return bool(search_form(self.search or ""))


@dataclass(frozen=True, slots=True)
class Meant:
    """What words mean: a few products, or what to look for when they are many; and by which phrases they were found instead."""

    skus: Collection[str] | None = None
    phrase: str | None = None
    corrected: Sequence[str] = ()


def stores(connection: Connection, only: Collection[str] | None, *, after: Sequence[str] | None, limit: int) -> list[dict[str, Any]]:
    """Stores by id; `only` None means all."""
    statement = select(store).order_by(store.c.store_id).limit(limit)
    if only is not None:
        statement = statement.where(store.c.store_id.in_(sorted(only)))
    if after:
        statement = statement.where(store.c.store_id > after[0])
    return dicts(connection.execute(statement))


def products(connection: Connection, wanted: Wanted, *, after: Sequence[Any] | None, limit: int) -> Found:
    """Products by SKU; with words to search for, by reading (see `stock.search`) and SKU, and `after` is (reading, SKU)."""
    conditions = _conditions(connection, wanted)

    def ask(reading: Reading | None, place: Sequence[Any], most: int) -> list[dict[str, Any]]:
        there = [*conditions, product.c.sku > place[0]] if place else conditions
        return _page(connection, there, reading, most)

    if wanted.worded:
        return search(connection, wanted.search or "", ask, after=after, limit=limit)
    return Found(ask(None, after or (), limit))


def meant(connection: Connection, typed: str | None) -> Meant:
    """What a list of something else than products asks before it looks for its own."""
    if not search_form(typed or ""):
        return Meant()

    def ask(reading: Reading, _place: Sequence[Any], most: int) -> list[dict[str, Any]]:
        return [{"sku": sku} for sku in connection.execute(select(product.c.sku).where(*reading.conditions()).limit(most)).scalars()]

    found = search(connection, typed or "", ask, after=None, limit=FEW + 1)
    if len(found.rows) <= FEW:
        return Meant(skus={row["sku"] for row in found.rows}, corrected=found.corrected)
    return Meant(phrase=found.corrected[0] if found.corrected else typed, corrected=found.corrected)


def _page(connection: Connection, conditions: Sequence[ColumnElement[bool]], reading: Reading | None, limit: int) -> list[dict[str, Any]]:
    """The first products by SKU.

    Rare words are found by the index, all products that have them; common ones among the first products. Left to choose between the two
    by its statistics, PostgreSQL took 60 ms for a rare word of 68,509 products.
    """
    if reading is None or reading.phrase is None:
        more = [] if reading is None else reading.conditions()
        return _found(connection, select(product).where(*conditions, *more).order_by(product.c.sku).limit(limit))
    if reading.indexed:
        some = select(product).where(*conditions, *reading.conditions()).limit(RARE).subquery()
        rows = connection.execute(select(some, func.count().over().label("hits")).order_by(some.c.sku).limit(limit)).all()
        if not rows or rows[0].hits < RARE:
            return [_product(row) for row in rows]
    first = select(product).where(*conditions).order_by(product.c.sku).limit(FIRST_LOOK).subquery()
    columns = Searched(first.c.sku, first.c.barcode, first.c.search_text)
    found = _found(connection, select(first).where(*reading.conditions(columns)).order_by(first.c.sku).limit(limit))
    if len(found) == limit:
        return found
    # Not by `sku` itself: the planner would walk through all products in that order.
    return _found(connection, select(product).where(*conditions, *reading.conditions()).order_by(product.c.sku + "").limit(limit))


def _found(connection: Connection, statement: Select[Any]) -> list[dict[str, Any]]:
    return [_product(row) for row in connection.execute(statement)]


def _conditions(connection: Connection, wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.category is not None:
        conditions.append(product.c.category_fr.in_(_categories(connection, wanted.category)))
    if wanted.barcode is not None:
        conditions.append(product.c.barcode == wanted.barcode)
    if wanted.sku is not None:
        conditions.append(product.c.sku == wanted.sku)
    return conditions


def _categories(connection: Connection, asked: str) -> list[str]:
    """The French names of the categories that are called that in either language, whatever the case and accents."""
    wanted = search_form(asked)
    return [row.fr for row in connection.execute(_EVERY_CATEGORY) if wanted in {search_form(row.fr), search_form(row.en)}]


def _product(row: Row[Any]) -> dict[str, Any]:
    return {
        "sku": row.sku,
        "name": {"fr": row.name_fr, "en": row.name_en},
        "category": {"fr": row.category_fr, "en": row.category_en},
        "price": f"{row.price:.2f}",
        "barcode": row.barcode,
        "active": row.active,
    }
